/** Runs the comparison of all targets. @module */

import { Generators } from './generators.ts'
import { measureHedging } from './hedging.ts'
import { measure, type Plan } from './measure.ts'
import { createReport, type Report } from './report.ts'
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
/** Shows that it works, and no more. */
const QUICK: Plan = {
  rounds: 1,
  durationMs: 60,
  warmUpMs: 60,
  concurrencies: CONCURRENCIES,
  coldItems: 200,
}

/** @param peer the command of another plugin, which is measured in the same rounds */
export async function runBench(quick: boolean, peer: string | undefined): Promise<Report> {
  const plan = quick ? QUICK : FULL
  return await withSetup(async (setup) => {
    await using generators = new Generators(2)
    const statusRequests = await countStatusRequests(setup, generators, plan.durationMs)
    const hedging = await measureHedging(setup, generators, plan)
    const targets = await startTargets(setup, peer)
    const measured = await measure(targets, generators, plan)
    return createReport(measured, { statusRequests, hedging, plan, targets })
  })
}
