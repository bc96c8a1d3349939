/**
 * The plugin as a history sees it: in this process, with the sources themselves on a virtual clock,
 * or as the built bundle in a process of its own.
 *
 * @module
 */

import { writeFile } from 'node:fs/promises'
import process from 'node:process'
import { loadConfig } from '../../src/config/load.ts'
import { createStateFile } from '../../src/config/state_file.ts'
import { noStateStore, StateBook } from '../../src/kms/state.ts'
import { createLogger } from '../../src/observe/log.ts'
import { RunningPlugin } from '../../src/plugin/plugin.ts'
import { ConfigFollower } from '../../src/plugin/reload.ts'
import { fetchSvids } from '../../src/plugin/svids.ts'
import { startPluginProcess } from '../_lib/plugin/process.ts'
import { NodeClock, type VirtualTime } from './virtual_time.ts'

export interface Place {
  readonly folder: string
  readonly socketPath: string
  readonly configPath: string
}

export interface ChaosPlugin {
  readonly socketPath: string
  /** Undefined where it is this process. */
  readonly pid: number | undefined
  /** Its log so far, over all restarts. */
  output(): string
  /** As SIGHUP does. */
  reload(): void
  /** Sets its clock. */
  jump(ms: number): Promise<void>
  /** Ends it, and starts it again in the same place. */
  restart(how: 'kindly' | 'killed'): Promise<void>
  close(): Promise<void>
}

export async function startHere(place: Place, time: VirtualTime): Promise<ChaosPlugin> {
  const clock = new NodeClock(time)
  const lines: string[] = []
  let running = await run(place, clock, lines)
  return {
    socketPath: place.socketPath,
    pid: undefined,
    output: () => lines.join(''),
    reload: () => running.follower.reload(),
    jump(ms) {
      clock.jumpedMs += ms
      return Promise.resolve()
    },
    async restart() {
      await running.end()
      running = await run(place, clock, lines)
    },
    close: () => running.end(),
  }
}

/** As `plugin/serve.ts` puts it together, but for the process. */
async function run(place: Place, clock: NodeClock, lines: string[]) {
  const config = await loadConfig(place.configPath)
  const log = createLogger({
    level: 'debug',
    format: 'json',
    output: { write: (line) => lines.push(line) },
    monotonic: () => clock.monotonic(),
  })
  const { stateDir } = config
  const book = new StateBook(stateDir === undefined ? noStateStore : createStateFile(stateDir), log)
  const deps = { clock, events: log, book, environment: {}, fetchSvids }
  const plugin = new RunningPlugin(log, deps, { takeOver: false, recorders: [] })
  try {
    await book.load()
    await plugin.start(config)
  } catch (error) {
    await plugin.close()
    throw error
  }
  const follower = new ConfigFollower(place.configPath, config, plugin, { clock, events: log })
  follower.start()
  const end = async () => {
    await follower.stop()
    await plugin.close()
  }
  return { follower, end }
}

/** Processes of plugins, which end with this one. */
const processes = new Set<number>()
process.on('exit', () => {
  for (const pid of processes) endNow(pid)
})

/** It may have ended already. */
export function endNow(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // Then nothing is left to do.
  }
}

/** So much memory has to suffice for objects. */
const HEAP_MB = 64

/** The config file is written by whoever starts it. */
export async function startProcess(
  place: Place,
  config: () => Readonly<Record<string, unknown>>,
): Promise<ChaosPlugin> {
  const clockFile = `${place.folder}/clock`
  const nodeFlags = [`--max-old-space-size=${HEAP_MB}`, ...(await clockFlags(place, clockFile))]
  let jumpedMs = 0
  let before = ''
  const { folder, socketPath } = place
  const start = async () => {
    const made = await startPluginProcess({ folder, config: config(), socketPath, nodeFlags })
    processes.add(made.pid)
    return made
  }
  const end = async (signal?: 'SIGKILL') => {
    await plugin.stop(signal)
    processes.delete(plugin.pid)
    before += plugin.output()
    plugin.client.close()
  }
  let plugin = await start()
  return {
    socketPath: place.socketPath,
    get pid() {
      return plugin.pid
    },
    output: () => before + plugin.output(),
    reload: () => process.kill(plugin.pid, 'SIGHUP'),
    async jump(ms) {
      jumpedMs += ms
      await writeFile(clockFile, String(jumpedMs))
    },
    async restart(how) {
      await end(how === 'killed' ? 'SIGKILL' : undefined)
      plugin = await start()
    },
    close: () => end(),
  }
}

/** Its `Date` follows a file, as the machine's clock follows whoever sets it. */
async function clockFlags({ folder }: Place, clockFile: string): Promise<string[]> {
  const path = `${folder}/clock.mjs`
  await writeFile(clockFile, '0')
  await writeFile(
    path,
    `import { readFileSync } from 'node:fs'
const RealDate = globalThis.Date
let ms = 0
const look = () => {
  try {
    ms = Number(readFileSync(${JSON.stringify(clockFile)}, 'utf8'))
  } catch {}
}
look()
setInterval(look, 50).unref()
globalThis.Date = class Date extends RealDate {
  constructor(...args) {
    super(...(args.length === 0 ? [RealDate.now() + ms] : args))
  }
  static now() {
    return RealDate.now() + ms
  }
}
`,
  )
  return ['--import', path]
}
