/**
 * What starts cost: the plugin's binary with a key file beside an empty grpc-js service that is
 * built in the same way, by turns, so that a change of the machine meets both.
 *
 * @module
 */

import { once } from 'node:events'
import { access } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { buildBinary } from '../../build/binary_file.ts'
import type { WarmUp } from '../../build/start/warm_cache.ts'
import { connectKms } from '../../src/grpc/client.ts'
import { createKeyFile } from '../../src/services/local/key_file.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { until } from '../_lib/wait.ts'
import { floorBundle, type Processes, type ServerProcess } from './processes.ts'
import { privateMb, threadsCpuMs } from './usage.ts'

export const ARCHITECTURE = process.arch === 'arm64' ? 'arm64' : 'x64'
/** After so long in idleness, memory is measured. */
const REST_MS = 1_000

export interface Start {
  readonly listensMs: number
  readonly readyMs: number
  /** Until the first good Status. */
  readonly cpuMs: number
  readonly privateMb: number
}

/** Starts a binary, and resolves to what runs. */
export type Starter = () => Promise<ServerProcess>

/** Medians over the rounds, in the order of the starters. */
export async function startsByTurns(
  starters: readonly Starter[],
  rounds: number,
): Promise<Start[]> {
  const starts: Start[][] = starters.map(() => [])
  for (let round = 0; round < rounds; round += 1) {
    for (const [at, starter] of starters.entries()) starts[at]?.push(await startOnce(starter))
  }
  return starts.map((all) => ({
    listensMs: median(all.map(({ listensMs }) => listensMs)),
    readyMs: median(all.map(({ readyMs }) => readyMs)),
    cpuMs: median(all.map(({ cpuMs }) => cpuMs)),
    privateMb: median(all.map(({ privateMb: mb }) => mb)),
  }))
}

async function startOnce(starter: Starter): Promise<Start> {
  const { pid, listensMs, readyMs, stop } = await starter()
  const cpuMs = threadsCpuMs(pid)
  await new Promise((resolve) => {
    setTimeout(resolve, REST_MS)
  })
  const start = { listensMs, readyMs, cpuMs, privateMb: privateMb(pid) }
  await stop()
  return start
}

/** How binaries are started, each time in a folder of its own. */
export function startersIn(folder: TempFolder, processes: Processes) {
  let started = 0
  const next = (binary: string) => {
    started += 1
    return { folder: folder.at(`start-${started}`), binary }
  }
  return {
    plugin(binary: string, provider: Readonly<Record<string, unknown>>): Starter {
      return () => processes.plugin({ ...next(binary), provider })
    },
    floor(binary: string): Starter {
      return () => processes.floor(next(binary))
    },
  }
}

/** The config of a provider with a key file. */
export async function localProvider(folder: TempFolder) {
  const provider = { type: 'local', keyFile: folder.at('keys') }
  await createKeyFile(provider.keyFile, Date.now)
  return provider
}

/** The binary of the empty service, built as the plugin's is. */
export async function buildFloor(folder: TempFolder): Promise<string> {
  const output = folder.at('floor-binary')
  const main = await floorBundle(folder.path)
  await buildBinary({ architecture: ARCHITECTURE, main, output, warmUp: warmUpFloor })
  return output
}

/** The same requests as the plugin's warm-up makes. */
const warmUpFloor: WarmUp = async (start) => {
  await using folder = await tempFolder()
  const socket = join(folder.path, 'kms.sock')
  const child = start([socket])
  const ended = once(child, 'close')
  const listens = () =>
    access(socket).then(
      () => true,
      () => false,
    )
  await until('the empty service listens', listens)
  const { v2, close } = connectKms(socket, { timeoutMs: 60_000 })
  try {
    const { keyId } = await v2.status()
    const { ciphertext } = await v2.encrypt({ plaintext: new Uint8Array(32), uid: 'warm-up' })
    await v2.decrypt({ ciphertext, annotations: {}, keyId, uid: 'warm-up' })
  } finally {
    close()
    child.kill('SIGTERM')
    await ended
  }
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}
