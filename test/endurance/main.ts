/**
 * `npm run test:endurance -- --minutes N`: the built binary on the real key service under the load of
 * API servers of both protocols, for hours, while keys are rotated, the config changes, tokens end and
 * the key service goes and comes. At the end its memory, file descriptors and timers must not have
 * grown with its age, and no answer may have been wrong.
 *
 * @module
 */

import { readdirSync } from 'node:fs'
import process from 'node:process'
import { clearInterval, setInterval } from 'node:timers'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { metricSum } from '../_lib/cluster/metrics.ts'
import { adminPage } from '../_lib/plugin/admin_page.ts'
import { KmsLoad } from '../_lib/plugin/kms_load.ts'
import { type PluginProcess, startWellPlugin } from '../_lib/plugin/process.ts'
import { startOpenBao, type Transit } from '../_lib/services/vault/openbao.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import type { Point } from '../bench/statistics.ts'
import { privateMb } from '../bench/usage.ts'
import { type CycleResult, liveThrough } from './cycle.ts'
import { agedGrowthOf, growthOf } from './growth.ts'

const BINARY = fileURLToPath(new URL(`../../dist/trousseau-linux-${process.arch}`, import.meta.url))
const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const SAMPLE_MS = 2_000
/** So short that many tokens end in an hour, and none lives through two cycles. */
const LIFE = { tokenTtl: '10s', tokenMaxTtl: '20s' }
/** So that each block of time has a cycle in it. */
const LEAST_MINUTES = 10
/** Where V8 has what outlived two collections; what is lowest there was in use. */
const HEAP = 'nodejs_heap_space_size_used_bytes'
/** The heap takes its size in them, whatever is kept. */
const SETTLING_MINUTES = 5
/** Of a log that has a line for each request. */
const REMEMBERED = 1_000_000

const FIGURES = ['private MB', 'heap MB', 'file descriptors', 'timers'] as const
type Figure = (typeof FIGURES)[number]
/** V8 has its lists of what code depends on which shapes there too; `e2e/kept` counts the program's own objects. */
const ONLY_TOLD: Figure = 'heap MB'
type Samples = Record<Figure, Point[]>

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '240' } } })
const minutes = Number(values.minutes)
if (!(minutes >= LEAST_MINUTES)) {
  throw new Error(`--minutes is ${values.minutes}: wanted a number of at least ${LEAST_MINUTES}`)
}
process.exitCode = (await endure(minutes * MINUTE_MS)) ? 0 : 1

async function endure(lengthMs: number): Promise<boolean> {
  await using folder = await tempFolder()
  await using bao = await startOpenBao()
  const transit = await bao.setupTransit({ folder: folder.path, ...LIFE })
  const adminSocket = folder.at('admin.sock')
  const configOf = (cycle: number) => configWith(transit, adminSocket, cycle)
  await using plugin = await startWellPlugin({
    folder: folder.path,
    config: configOf(0),
    command: [BINARY],
    remembers: REMEMBERED,
  })
  await using load = new KmsLoad(plugin.socketPath)
  const samples: Samples = { 'private MB': [], 'heap MB': [], 'file descriptors': [], timers: [] }
  const begun = performance.now()
  const sampling = setInterval(() => {
    sample(plugin, adminSocket, performance.now() - begun, samples).catch(tell)
  }, SAMPLE_MS)
  const life = { bao, transit, plugin, load, adminSocket, configOf }
  const results: CycleResult[] = []
  try {
    for (let cycle = 1; performance.now() - begun < lengthMs; cycle += 1) {
      const result = await liveThrough(life, cycle)
      results.push(result)
      tell(lineOf(cycle, performance.now() - begun, result, samples))
      for (const failure of result.failures) tell(`  failed while nothing was wrong: ${failure}`)
    }
  } finally {
    clearInterval(sampling)
  }
  return verdict(results, load.wrong, samples)
}

function configWith(transit: Transit, adminSocket: string, cycle: number) {
  const provider = { name: 'vault', type: 'vault', allowInsecureHttp: true, ...transit.provider }
  return {
    providers: [provider],
    rotation: { activationDelay: '0s' },
    health: { interval: '1s', staleAfter: `${90 + (cycle % 2)}s` },
    admin: { listen: `unix://${adminSocket}` },
    log: { level: 'info', format: 'json' },
  }
}

async function sample(
  { pid }: PluginProcess,
  adminSocket: string,
  ageMs: number,
  samples: Samples,
): Promise<void> {
  const x = ageMs / HOUR_MS
  const metrics = await adminPage(adminSocket, '/metrics')
  samples['private MB'].push({ x, y: privateMb(pid) })
  samples['heap MB'].push({ x, y: metricSum(metrics, HEAP, { space: 'old' }) / 2 ** 20 })
  samples['file descriptors'].push({ x, y: readdirSync(`/proc/${pid}/fd`).length })
  samples.timers.push({ x, y: metricSum(metrics, 'nodejs_active_resources', { type: 'Timeout' }) })
}

function lineOf(cycle: number, ageMs: number, result: CycleResult, samples: Samples): string {
  const { requests, failedInOutage, recoveryMs } = result
  const last = FIGURES.map((name) => `${samples[name].at(-1)?.y.toFixed(0)} ${name}`).join(', ')
  return `${(ageMs / 1_000).toFixed(0)} s, cycle ${cycle}: ${requests} requests, ${failedInOutage} failed in the outage, well again ${recoveryMs.toFixed(0)} ms after it; ${last}`
}

function verdict(
  results: readonly CycleResult[],
  wrong: readonly string[],
  samples: Samples,
): boolean {
  const sum = (of: (result: CycleResult) => number) =>
    results.reduce((total, each) => total + of(each), 0)
  const failures = sum((each) => each.failures.length)
  const slowest = Math.max(...results.map(({ recoveryMs }) => recoveryMs))
  tell(
    `${results.length} cycles, ${sum((each) => each.requests)} requests: ${wrong.length} wrong answers, ${failures} failed while nothing was wrong, ${sum((each) => each.failedInOutage)} in outages; well again ${(slowest / 1_000).toFixed(1)} s after one at the latest`,
  )
  for (const answer of wrong) tell(`  wrong: ${answer}`)
  const settled = (SETTLING_MINUTES * MINUTE_MS) / HOUR_MS
  const growths = FIGURES.map((name) => {
    const late = samples[name].filter(({ x }) => x >= settled)
    if (name !== 'private MB') return { name, aging: '', ...growthOf(late) }
    const aged = agedGrowthOf(late)
    const aging = `${aged.perDoubling.toFixed(2)} with each doubling of its age, and `
    return { name, aging, ...aged }
  })
  for (const { name, first, last, aging, slope, margin, grows } of growths) {
    const told = `${aging}${slope.toFixed(2)} an hour, ± ${margin.toFixed(2)}`
    const judged = name === ONLY_TOLD ? '' : `: ${grows ? 'GROWS' : 'flat'}`
    tell(`${name}: ${first.toFixed(1)} to ${last.toFixed(1)}, ${told}${judged}`)
  }
  const leaks = growths.some(({ name, grows }) => grows && name !== ONLY_TOLD)
  return wrong.length === 0 && failures === 0 && !leaks
}

function tell(line: unknown): void {
  process.stdout.write(`${line}\n`)
}
