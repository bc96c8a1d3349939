/**
 * `npm run bench`: what Trousseau costs on this machine, as ratios to an empty gRPC
 * service and to asking OpenBao directly. `--quick` only shows that it works;
 * `--json` prints everything; `--markdown` writes the tables into docs/performance.md.
 *
 * @module
 */

import process from 'node:process'
import { parseArgs } from 'node:util'
import { Generators } from './generators.ts'
import { measure, type Plan } from './measure.ts'
import { writePart } from './page.ts'
import { createReport, print } from './report.ts'
import { withSetup } from './setup.ts'
import { countStatusRequests } from './status_requests.ts'
import { startTargets } from './targets.ts'

const CONCURRENCIES = [1, 16, 64]
const FULL: Plan = {
  rounds: 5,
  durationMs: 1_000,
  warmUpMs: 1_000,
  concurrencies: CONCURRENCIES,
  coldItems: 10_000,
}
const QUICK: Plan = {
  rounds: 1,
  durationMs: 60,
  warmUpMs: 60,
  concurrencies: CONCURRENCIES,
  coldItems: 200,
}

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    markdown: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
  },
})

const plan = values.quick ? QUICK : FULL
const report = await withSetup(async (setup) => {
  await using generators = new Generators(2)
  const statusRequests = await countStatusRequests(setup, generators, plan.durationMs)
  const targets = await startTargets(setup)
  const measured = await measure(targets, generators, plan)
  return createReport(measured, { statusRequests, plan, targets })
})
if (values.markdown) await writePart('bench', print(report, true))
process.stdout.write(
  values.json ? `${JSON.stringify(report, null, 2)}\n` : `${print(report, false)}\n`,
)
