/**
 * `npm run footprint` measures the binary: bytes, what a start costs, and memory, compared with an
 * empty grpc-js service that is built in the same way. `--beside=FILE` measures another binary in
 * the same rounds, such as one of an earlier commit. Each `--v8=FLAG` is measured as well, in a
 * binary that has it built in.
 *
 * @module
 */

import { stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { buildBinary } from '../../build/binary_file.ts'
import { V8_FLAGS } from '../../build/binary_options.ts'
import { warmUpPlugin } from '../../build/start/warm_up.ts'
import { Generators } from './generators.ts'
import { GENERATORS, loaded } from './loaded.ts'
import { machine } from './report.ts'
import { vaultProvider, withSetup } from './setup.ts'
import {
  ARCHITECTURE,
  buildFloor,
  localProvider,
  type Starter,
  startersIn,
  startsByTurns,
} from './starts.ts'
import { type Row, ratio, table, whole } from './tables.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const SHIPPED = ['trousseau.mjs', 'trousseau-linux-x64', 'trousseau-linux-arm64']
const PLUGIN = join(ROOT, 'dist', `trousseau-linux-${ARCHITECTURE}`)

const { values } = parseArgs({
  options: {
    v8: { type: 'string', multiple: true, default: [] },
    beside: { type: 'string', multiple: true, default: [] },
    starts: { type: 'string', default: '15' },
    requests: { type: 'string', default: '100000' },
  },
})

// It reads all authorities of the machine at a start.
delete process.env['NODE_EXTRA_CA_CERTS']

await withSetup(async ({ folder, processes, transit }) => {
  await using generators = new Generators(GENERATORS)
  const make = startersIn(folder, processes)
  const floor = make.floor(await buildFloor(folder))
  const plugins: [name: string, binary: string][] = [
    ['trousseau', PLUGIN],
    ...values.beside.map((file): [string, string] => [file, resolve(file)]),
  ]
  for (const [at, flag] of values.v8.entries()) {
    const output = folder.at(`flag-${at}`)
    const v8Flags = [...V8_FLAGS, ...flag.split(' ')]
    const main = 'dist/trousseau.mjs'
    await buildBinary({
      architecture: ARCHITECTURE,
      main,
      output,
      v8Flags,
      warmUp: warmUpPlugin,
    })
    plugins.push([`trousseau ${flag}`, output])
  }
  const local = await localProvider(folder)
  const withLocal = plugins.map(([name, binary]): [string, Starter] => [
    name,
    make.plugin(binary, local),
  ])
  const withVault = plugins.map(([name, binary]): [string, Starter] => [
    `${name}, OpenBao`,
    make.plugin(binary, vaultProvider(transit)),
  ])
  const empty: [string, Starter] = ['empty service', floor]
  process.stdout.write(`${machine()}\n\n${table(await sizes(), true)}\n\n`)
  process.stdout.write(`${table(await starts([empty, ...withLocal, ...withVault]), true)}\n\n`)
  const memory: Row[] = []
  for (const [name, start] of [empty, ...withLocal]) {
    memory.push(await memoryOf(name, start, generators))
  }
  const head = [
    'server',
    'private idle MB',
    'loaded',
    'most',
    'resident idle MB',
    'most',
    'requests/s',
  ]
  process.stdout.write(`${table([head, ...memory], true)}\n`)
})

async function sizes(): Promise<Row[]> {
  const rows = SHIPPED.map(async (file) => {
    const { size } = await stat(join(ROOT, 'dist', file))
    return [file, (size / 2 ** 20).toFixed(1)]
  })
  return [['file', 'MiB'], ...(await Promise.all(rows))]
}

/** The ratios are to the first one. */
async function starts(starters: readonly [name: string, start: Starter][]): Promise<Row[]> {
  const all = await startsByTurns(
    starters.map(([, start]) => start),
    Number(values.starts),
  )
  const [floor] = all
  if (floor === undefined) throw new Error('Nothing was started')
  const rows = all.map(({ listensMs, readyMs, cpuMs, privateMb: mb }, at) => [
    starters[at]?.[0] ?? '',
    ...[listensMs, readyMs, cpuMs].map(whole),
    ratio(cpuMs / floor.cpuMs),
    mb.toFixed(1),
    ratio(mb / floor.privateMb),
  ])
  const head = ['start', 'socket ms', 'Status ms', 'CPU ms', 'ratio', 'private MB', 'ratio']
  return [head, ...rows]
}

async function memoryOf(name: string, start: Starter, generators: Generators): Promise<Row> {
  const found = await loaded(start, generators, Number(values.requests))
  const { idleMb, loadedMb, mostMb, residentMb, peakMb, perSecond } = found
  return [name, ...[idleMb, loadedMb, mostMb, residentMb, peakMb, perSecond].map(whole)]
}
