/**
 * Fails when something is exported that nobody imports. `--tests` lists what tests
 * alone import, which is allowed.
 *
 * @module
 */

import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { exportReport } from './exports.ts'

const { tests } = parseArgs({ options: { tests: { type: 'boolean', default: false } } }).values
const { problems, forTests } = await exportReport(fileURLToPath(new URL('..', import.meta.url)))
for (const line of tests ? forTests : []) process.stdout.write(`${line}\n`)
for (const line of problems) process.stderr.write(`${line}\n`)
process.exitCode = problems.length > 0 ? 1 : 0
