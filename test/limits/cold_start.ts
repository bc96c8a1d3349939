/**
 * One API server, and eight at once, ask as they do when they start: all Decrypts at the same time
 * over one connection each.
 *
 * @module
 */

import { resolve } from 'node:path'
import { connectKms } from '../../src/grpc/client.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { Processes } from '../bench/processes.ts'
import { localProvider } from '../bench/starts.ts'
import { type Row, ratio, whole } from '../bench/tables.ts'
import { cpuMs, privateMb } from '../bench/usage.ts'

const DECRYPTS = 10_000
const SERVERS = [1, 8] as const
const PATIENCE_MS = 120_000
const HEAD: Row = [
  'API servers',
  'binary',
  'ms',
  'processor ms',
  'private MB',
  'time ratio',
  'processor ratio',
]

interface Start {
  readonly ms: number
  readonly cpuMs: number
  readonly mb: number
}

/** The ratios are to the last binary. */
export async function coldStarts(binaries: readonly string[], rounds: number): Promise<Row[]> {
  const rows: Row[] = [HEAD]
  for (const servers of SERVERS) {
    const medians = await mediansOf(binaries, servers, rounds)
    const last = medians.at(-1)
    for (const [at, { ms, cpuMs: cpu, mb }] of medians.entries()) {
      const ratios = [ms / (last?.ms ?? Number.NaN), cpu / (last?.cpuMs ?? Number.NaN)].map(ratio)
      rows.push([String(servers), binaries[at] ?? '', ...[ms, cpu, mb].map(whole), ...ratios])
    }
  }
  return rows
}

/** Each binary by turns, always in a new process. */
async function mediansOf(
  binaries: readonly string[],
  servers: number,
  rounds: number,
): Promise<Start[]> {
  const starts = binaries.map((): Start[] => [])
  for (let round = 0; round < rounds; round += 1) {
    for (const [at, binary] of binaries.entries()) starts[at]?.push(await startOf(binary, servers))
  }
  return starts.map((all) => ({
    ms: median(all.map(({ ms }) => ms)),
    cpuMs: median(all.map(({ cpuMs: each }) => each)),
    mb: Math.max(...all.map(({ mb }) => mb)),
  }))
}

/** Every Decrypt must be answered. */
async function startOf(binary: string, servers: number): Promise<Start> {
  await using folder = await tempFolder()
  await using processes = new Processes()
  const { socketPath, pid } = await processes.plugin({
    folder: folder.at('plugin'),
    provider: await localProvider(folder),
    binary: resolve(binary),
  })
  const clients = Array.from({ length: servers }, () =>
    connectKms(socketPath, { timeoutMs: PATIENCE_MS }),
  )
  const [first] = clients
  if (first === undefined) throw new Error('There is no API server')
  const made = await first.v2.encrypt({ plaintext: new Uint8Array(32).fill(7), uid: 'start' })
  const [start, cpuBefore] = [performance.now(), cpuMs(pid)]
  const asked = clients.map(({ v2 }) =>
    Array.from({ length: DECRYPTS / servers }, (_, at) => v2.decrypt({ ...made, uid: `${at}` })),
  )
  await Promise.all(asked.flat())
  const took = { ms: performance.now() - start, cpuMs: cpuMs(pid) - cpuBefore, mb: privateMb(pid) }
  for (const client of clients) client.close()
  return took
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}
