/**
 * Reads a cache and writes it again. V8 numbers functions in the order in which they first ran, and
 * anew as it reads a cache; so whatever the order was, the same functions give the same bytes.
 *
 * @module
 */

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { scriptOf } from './script.ts'

declare const PROGRAM_NAME: string

const [program, file] = ['program', 'cache'].map((name) => join(__dirname, name)) as [
  string,
  string,
]
const cache = readFileSync(file)
const script = scriptOf({ name: PROGRAM_NAME, text: readFileSync(program), cache })
if (script.cachedDataRejected !== false)
  throw new Error('V8 refuses the code that it has just made')
writeFileSync(file, script.createCachedData())
