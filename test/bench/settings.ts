/**
 * `npm run bench -- --settings`: the plugin and the empty service under settings of
 * V8, malloc and libuv, one after another: speed against memory.
 *
 * @module
 */

import process from 'node:process'
import { median } from '../../src/tools/load/quantile.ts'
import { Generators } from './generators.ts'
import { prepared, socketPrepares } from './operations.ts'
import type { ServerOptions, ServerProcess } from './processes.ts'
import { machine } from './report.ts'
import { type Setup, vaultProvider, withSetup } from './setup.ts'
import { type Row, table, whole } from './tables.ts'
import { cpuMs, peakMb, rssMb } from './usage.ts'

/** Besides the flags that ship; each is flags of Node and variables of the environment. */
export const SETTINGS: readonly string[] = [
  '',
  '--enable-source-maps',
  '--max-semi-space-size=1',
  '--max-semi-space-size=2',
  '--max-semi-space-size=4',
  '--max-semi-space-size=8',
  '--max-old-space-size=64',
  '--single-threaded-gc',
  '--optimize-for-size',
  'MALLOC_ARENA_MAX=1',
  'MALLOC_TRIM_THRESHOLD_=65536',
  'UV_THREADPOOL_SIZE=1',
  '--max-semi-space-size=2 --optimize-for-size',
  '--max-semi-space-size=4 MALLOC_ARENA_MAX=1 UV_THREADPOOL_SIZE=1',
]

const SERVERS = ['floor', 'vault'] as const
type ServerName = (typeof SERVERS)[number]

interface SettingNumbers {
  readonly perSecond: number
  readonly cpuUs: number
  readonly idleMb: number
  readonly loadedMb: number
  readonly peakMb: number
}

interface SettingsReport {
  readonly machine: string
  readonly method: string
  /** A server that a setting brings down has no numbers. */
  readonly settings: readonly {
    readonly setting: string
    readonly servers: Readonly<Record<ServerName, SettingNumbers | undefined>>
  }[]
}

const ROUNDS = 2
/** Counted and not timed, so that memory is compared after the same work. */
const WARM_UP_REQUESTS = 2_000
const REQUESTS = 10_000
const CONCURRENCY = 64
const GENERATORS = 2
const FIELDS = ['perSecond', 'cpuUs', 'idleMb', 'loadedMb', 'peakMb'] as const

/** `--flag` and `NAME=value`, between spaces. */
export function parseSetting(text: string): Pick<ServerOptions, 'nodeFlags' | 'environment'> {
  const words = text.split(' ').filter((word) => word !== '')
  const variables = words.filter((word) => !word.startsWith('-'))
  return {
    nodeFlags: words.filter((word) => word.startsWith('-')),
    environment: Object.fromEntries(
      variables.map((word) => {
        const at = word.indexOf('=')
        if (at < 1) throw new Error(`Setting "${word}" is neither --flag nor NAME=value`)
        return [word.slice(0, at), word.slice(at + 1)]
      }),
    ),
  }
}

export async function measureSettings(settings: readonly string[]): Promise<SettingsReport> {
  const runs = await withSetup(async (setup) => {
    await using generators = new Generators(GENERATORS)
    return await runsOf(settings, { setup, generators })
  })
  const of = (server: ServerName, setting: string) =>
    mediansOf(runs.filter((run) => run.server === server && run.setting === setting))
  return {
    machine: machine(),
    method: `Encrypt, ${CONCURRENCY} at once, ${REQUESTS} requests after ${WARM_UP_REQUESTS} to warm up, in a new process each time; medians of ${ROUNDS}`,
    settings: settings.map((setting) => ({
      setting,
      servers: { floor: of('floor', setting), vault: of('vault', setting) },
    })),
  }
}

async function runsOf(settings: readonly string[], tools: Tools): Promise<Run[]> {
  const round = settings.flatMap((setting) => SERVERS.map((server) => ({ server, setting })))
  // Nobody is always first.
  const rounds = Array.from({ length: ROUNDS }, (_, n) =>
    n % 2 === 0 ? round : round.toReversed(),
  )
  const runs: Run[] = []
  for (const { server, setting } of rounds.flat()) {
    // What does not start waits long to be believed; once is enough.
    if (runs.some((run) => isFailure(run, server, setting))) continue
    const folder = tools.setup.folder.at(String(runs.length))
    const numbers = await numbersOf(server, { folder, ...parseSetting(setting) }, tools)
    runs.push({ server, setting, numbers })
  }
  return runs
}

export function printSettings(report: SettingsReport, markdown: boolean): string {
  const { machine: where, method, settings } = report
  const code = (text: string) => (markdown ? `\`${text}\`` : text)
  const numbers = (of: SettingNumbers | undefined) =>
    of === undefined ? FIELDS.map(() => 'fails') : FIELDS.map((field) => whole(of[field]))
  const rows = settings.map(({ setting, servers: { floor, vault } }) => [
    setting === '' ? 'as shipped' : code(setting),
    ...numbers(vault),
    ...numbers(floor),
  ])
  return `${where}. ${method}.\n\n${table([HEAD, ...rows], markdown)}`
}

const HEAD: Row = [
  'setting',
  ...['vault', 'floor'].flatMap((server) => [
    `${server} requests/s`,
    'CPU µs',
    'idle MB',
    'loaded MB',
    'peak MB',
  ]),
]

interface Tools {
  readonly setup: Setup
  readonly generators: Generators
}

interface Run {
  readonly server: ServerName
  readonly setting: string
  /** Undefined where the setting brought it down. */
  readonly numbers: SettingNumbers | undefined
}

function isFailure(run: Run, server: ServerName, setting: string): boolean {
  return run.server === server && run.setting === setting && run.numbers === undefined
}

async function numbersOf(
  name: ServerName,
  options: ServerOptions,
  { setup: { processes, transit }, generators }: Tools,
): Promise<SettingNumbers | undefined> {
  try {
    const server = await (name === 'floor'
      ? processes.floor(options)
      : processes.plugin({ ...options, provider: vaultProvider(transit) }))
    const numbers = await loaded(server, generators)
    await server.stop('SIGKILL')
    return numbers
  } catch (error) {
    const flags = JSON.stringify([options.nodeFlags, options.environment])
    process.stderr.write(`${name} with ${flags}: ${String(error)}\n`)
    return undefined
  }
}

async function loaded(
  { socketPath, pid }: ServerProcess,
  generators: Generators,
): Promise<SettingNumbers> {
  const idleMb = rssMb(pid)
  const encrypts = await prepared(socketPrepares(socketPath), 'Encrypt')
  const endpoint = { kind: 'socket', path: socketPath } as const
  const load = { endpoint, ...encrypts, concurrency: CONCURRENCY }
  await generators.run({ ...load, requests: WARM_UP_REQUESTS }, GENERATORS)
  const before = cpuMs(pid)
  const outcome = await generators.run({ ...load, requests: REQUESTS }, GENERATORS)
  const requests = outcome.latencies.length
  return {
    perSecond: (requests * 1000) / outcome.elapsedMs,
    cpuUs: ((cpuMs(pid) - before) * 1000) / requests,
    idleMb,
    loadedMb: rssMb(pid),
    peakMb: peakMb(pid),
  }
}

function mediansOf(runs: readonly Run[]): SettingNumbers | undefined {
  const good = runs.flatMap(({ numbers }) => (numbers === undefined ? [] : [numbers]))
  if (good.length < runs.length) return undefined
  const of = (field: (typeof FIELDS)[number]) => median(good.map((run) => run[field]))
  return {
    perSecond: of('perSecond'),
    cpuUs: of('cpuUs'),
    idleMb: of('idleMb'),
    loadedMb: of('loadedMb'),
    peakMb: of('peakMb'),
  }
}
