/**
 * `npm run footprint` measures the binary and the image: bytes, memory, and the time to the first
 * answer, compared with an empty grpc-js service that is built in the same way. Each `--v8=FLAG` is
 * measured as well, in a binary that has it built in.
 *
 * @module
 */

import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { buildBinary } from '../../build/binary_file.ts'
import { V8_FLAGS } from '../../build/binary_options.ts'
import { createKeyFile } from '../../src/services/local/key_file.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { Generators } from './generators.ts'
import { prepared, socketPrepares } from './operations.ts'
import { floorBundle, Processes, type ServerProcess } from './processes.ts'
import { machine } from './report.ts'
import { type Row, ratio, table, whole } from './tables.ts'
import { peakMb, rssMb } from './usage.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const CONCURRENCY = 64
const GENERATORS = 2
const SHIPPED = ['trousseau.mjs', 'trousseau-linux-x64', 'trousseau-linux-arm64']

const { values } = parseArgs({
  options: {
    v8: { type: 'string', multiple: true, default: [] },
    starts: { type: 'string', default: '15' },
    requests: { type: 'string', default: '100000' },
  },
})

const architecture = process.arch === 'arm64' ? 'arm64' : 'x64'
await using folder = await tempFolder()
await using processes = new Processes()
await using generators = new Generators(GENERATORS)
const provider = { type: 'local', keyFile: folder.at('keys') }
await createKeyFile(provider.keyFile, Date.now)
const plugin = join(ROOT, 'dist', `trousseau-linux-${architecture}`)
const floor = folder.at('floor-binary')
await buildBinary({ architecture, main: await floorBundle(folder.path), output: floor })

let started = 0
const start = (binary: string): Promise<ServerProcess> => {
  started += 1
  const options = { folder: folder.at(`${started}`), binary }
  return binary === floor ? processes.floor(options) : processes.plugin({ ...options, provider })
}

process.stdout.write(`${machine()}\n\n${table(await sizes(), true)}\n\n`)
process.stdout.write(`${table(await startUps(), true)}\n\n`)
process.stdout.write(`${table(await memory(), true)}\n`)

async function sizes(): Promise<Row[]> {
  const rows = SHIPPED.map(async (file) => {
    const { size } = await stat(join(ROOT, 'dist', file))
    return [file, (size / 2 ** 20).toFixed(1)]
  })
  return [['file', 'MiB'], ...(await Promise.all(rows))]
}

/** By turns, so that a change of the machine meets both. */
async function startUps(): Promise<Row[]> {
  const times = new Map<string, number[]>([
    [floor, []],
    [plugin, []],
  ])
  for (let round = 0; round < Number(values.starts); round += 1) {
    for (const [binary, taken] of times) {
      const server = await start(binary)
      taken.push(server.readyMs)
      await server.stop()
    }
  }
  const [ofFloor, ofPlugin] = [...times.values()].map(median)
  if (ofFloor === undefined || ofPlugin === undefined) throw new Error('Nothing was started')
  return [
    ['to the first good Status', 'median ms', 'ratio'],
    ['empty service', whole(ofFloor), ratio(1)],
    ['trousseau', whole(ofPlugin), ratio(ofPlugin / ofFloor)],
  ]
}

async function memory(): Promise<Row[]> {
  const rows = [await memoryOf('empty service', floor), await memoryOf('trousseau', plugin)]
  for (const flag of values.v8) {
    const output = folder.at(`flag-${rows.length}`)
    const v8Flags = [...V8_FLAGS, ...flag.split(' ')]
    await buildBinary({ architecture, main: 'dist/trousseau.mjs', output, v8Flags })
    rows.push(await memoryOf(`trousseau ${flag}`, output))
  }
  return [['server', 'idle MB', 'loaded MB', 'peak MB', 'requests/s'], ...rows]
}

async function memoryOf(name: string, binary: string): Promise<Row> {
  const { socketPath, pid, stop } = await start(binary)
  const idle = rssMb(pid)
  const prepares = socketPrepares(socketPath)
  const requests = Number(values.requests) / 2
  let seconds = 0
  for (const operation of ['Encrypt', 'Decrypt'] as const) {
    const bodies = await prepared(prepares, operation)
    const endpoint = { kind: 'socket', path: socketPath } as const
    const load = { endpoint, ...bodies, concurrency: CONCURRENCY, requests }
    seconds += (await generators.run(load, GENERATORS)).elapsedMs / 1000
  }
  const [loaded, peak] = [rssMb(pid), peakMb(pid)]
  await stop()
  return [name, ...[idle, loaded, peak, (2 * requests) / seconds].map(whole)]
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}
