/**
 * `npm run bench`: what Trousseau costs on this machine, as ratios to an empty gRPC
 * service and to asking OpenBao directly. `--quick` only shows that it works;
 * `--json` prints everything; `--markdown` writes the tables into docs/performance.md.
 *
 * @module
 */

import { readFile, writeFile } from 'node:fs/promises'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Generators } from './generators.ts'
import { measure, type Plan } from './measure.ts'
import { createReport, print } from './report.ts'
import { withTargets } from './targets.ts'

const PAGE = fileURLToPath(new URL('../../docs/performance.md', import.meta.url))
const PLACE = /(?<=<!-- bench -->\n)[\s\S]*(?=<!-- \/bench -->)/
const CONCURRENCIES = [1, 16, 64]
const FULL: Plan = {
  rounds: 5,
  durationMs: 1_000,
  warmUpMs: 1_000,
  concurrencies: CONCURRENCIES,
}
const QUICK: Plan = { rounds: 1, durationMs: 60, warmUpMs: 60, concurrencies: CONCURRENCIES }

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    markdown: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
  },
})

const plan = values.quick ? QUICK : FULL
const report = await withTargets(async (targets) => {
  await using generators = new Generators(2)
  return createReport(await measure(targets, generators, plan), plan, targets)
})

if (values.markdown) {
  const page = await readFile(PAGE, 'utf8')
  await writeFile(
    PAGE,
    page.replace(PLACE, () => `\n${print(report, true)}\n\n`),
  )
}
process.stdout.write(
  values.json ? `${JSON.stringify(report, null, 2)}\n` : `${print(report, false)}\n`,
)
