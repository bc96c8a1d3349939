/**
 * `npm run bench -- --memory` measures a server's memory over very many requests, and over a long
 * time with few.
 *
 * @module
 */

import process from 'node:process'
import { Generators, type Load } from './generators.ts'
import { prepared, socketPrepares } from './operations.ts'
import type { ServerProcess } from './processes.ts'
import { machine } from './report.ts'
import { vaultProvider, withSetup } from './setup.ts'
import { type Point, type Slope, slopeOf } from './statistics.ts'
import { type Row, table, whole } from './tables.ts'
import { peakMb, rssMb } from './usage.ts'

interface MemoryOptions {
  /** Under full load, for each server. */
  readonly requests: number
  readonly soakMinutes: number
}

interface MemoryOfServer {
  readonly server: 'floor' | 'vault'
  readonly idleMb: number
  readonly requests: number
  readonly seconds: number
  readonly loadedMb: number
  readonly peakMb: number
}

interface Soak extends Slope {
  readonly requests: number
  readonly endMb: number
  /** The lowest of either half: what is left when garbage has been collected, where a leak shows first. */
  readonly lowestMb: readonly [first: number, second: number]
  /** Hours since its start, and MB; slope and error leave out the first fifth. */
  readonly samples: readonly Point[]
}

interface MemoryReport {
  readonly machine: string
  readonly options: MemoryOptions
  readonly servers: readonly MemoryOfServer[]
  /** Of the plugin, after its load. */
  readonly soak: Soak
}

const GENERATORS = 2
const CONCURRENCY = 64
const SLICE_MS = 5_000
const SOAK_CONCURRENCY = 8
const SOAK_PAUSE_MS = 40
/** The part of the soak in which what the load left behind may still go; the slope is of the rest. */
const SETTLING = 0.2
const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS

export async function measureMemory(options: MemoryOptions): Promise<MemoryReport> {
  return await withSetup(async ({ folder, transit, processes }) => {
    await using generators = new Generators(GENERATORS)
    const { requests, soakMinutes } = options
    const floor = await processes.floor({ folder: folder.at('floor') })
    const ofFloor = await load('floor', floor, { generators, requests })
    await floor.stop()
    const provider = vaultProvider(transit)
    const vault = await processes.plugin({ folder: folder.at('vault'), provider })
    const ofVault = await load('vault', vault, { generators, requests })
    const soak = await soakOf(vault, generators, soakMinutes * MINUTE_MS)
    return { machine: machine(), options, servers: [ofFloor, ofVault], soak }
  })
}

export function printMemory(report: MemoryReport, markdown: boolean): string {
  const { machine: where, options, servers, soak } = report
  const notes = [
    `${where}. Encrypt and Decrypt by turns, ${CONCURRENCY} at once; then, for the plugin, a soak of ${options.soakMinutes} minutes at ${whole(soak.requests / options.soakMinutes / 60)} requests/s.`,
    `At the end of the soak: ${whole(soak.endMb)} MB; the lowest in its first half ${whole(soak.lowestMb[0])} MB, in its second ${whole(soak.lowestMb[1])} MB.`,
    `Slope over its last four fifths: ${soak.slope.toFixed(1)} MB an hour, with a standard error of ${soak.error.toFixed(1)}.`,
  ]
  return [notes.join('\n'), table([HEAD, ...servers.map(rowOf)], markdown)].join('\n\n')
}

const HEAD: Row = ['server', 'idle MB', 'requests', 'seconds', 'loaded MB', 'peak MB']

function rowOf(of: MemoryOfServer): Row {
  const { server, idleMb, requests, seconds, loadedMb, peakMb: peak } = of
  return [server, ...[idleMb, requests, seconds, loadedMb, peak].map(whole)]
}

async function load(
  name: MemoryOfServer['server'],
  { socketPath, pid }: ServerProcess,
  options: { readonly generators: Generators; readonly requests: number },
): Promise<MemoryOfServer> {
  const idleMb = rssMb(pid)
  const start = performance.now()
  let requests = 0
  for await (const slice of slices(socketPath, { concurrency: CONCURRENCY })) {
    requests += (await options.generators.run(slice, GENERATORS)).latencies.length
    progress(`${name}: ${requests} requests, ${whole(rssMb(pid))} MB`)
    if (requests >= options.requests) break
  }
  const seconds = (performance.now() - start) / 1000
  return { server: name, idleMb, requests, seconds, loadedMb: rssMb(pid), peakMb: peakMb(pid) }
}

async function soakOf(
  { socketPath, pid }: ServerProcess,
  generators: Generators,
  durationMs: number,
): Promise<Soak> {
  const start = performance.now()
  const samples: Point[] = []
  const shape = { concurrency: SOAK_CONCURRENCY, pauseMs: SOAK_PAUSE_MS }
  let requests = 0
  for await (const slice of slices(socketPath, shape)) {
    requests += (await generators.run(slice, 1)).latencies.length
    const elapsedMs = performance.now() - start
    samples.push({ x: elapsedMs / HOUR_MS, y: rssMb(pid) })
    progress(`soak: ${whole(elapsedMs / 1000)} s, ${whole(rssMb(pid))} MB`)
    if (elapsedMs >= durationMs) break
  }
  const settled = samples.filter(({ x }) => x * HOUR_MS >= durationMs * SETTLING)
  const lowest = (isWanted: (ms: number) => boolean) =>
    Math.min(...samples.filter(({ x }) => isWanted(x * HOUR_MS)).map(({ y }) => y))
  const half = durationMs / 2
  const lowestMb = [lowest((ms) => ms < half), lowest((ms) => ms >= half)] as const
  return { ...slopeOf(settled), requests, endMb: rssMb(pid), lowestMb, samples }
}

/** Loads of Encrypt and Decrypt by turns, without end. */
async function* slices(
  socketPath: string,
  shape: Pick<Load, 'concurrency' | 'pauseMs'>,
): AsyncGenerator<Load> {
  const prepares = socketPrepares(socketPath)
  for (;;) {
    for (const operation of ['Encrypt', 'Decrypt'] as const) {
      const requests = await prepared(prepares, operation)
      const endpoint = { kind: 'socket', path: socketPath } as const
      yield { endpoint, ...requests, ...shape, durationMs: SLICE_MS }
    }
  }
}

function progress(line: string): void {
  process.stderr.write(`${line}\n`)
}
