/**
 * The whole plugin from a config: sockets, providers, health and admin server. The
 * sockets answer before anything remote is asked, so that nothing waits for anything
 * at a boot (rule F2).
 *
 * @module
 */

import { systemClock } from '../base/clock.ts'
import { KmsError } from '../base/errors.ts'
import type { EventSink } from '../base/events.ts'
import { endpointsOf } from '../config/endpoints.ts'
import { ConfigError } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { createStateFile } from '../config/state_file.ts'
import type { RecoverySealer } from '../kms/recovery.ts'
import { noStateStore, StateBook } from '../kms/state.ts'
import type { Check } from '../observe/checks.ts'
import type { Logger } from '../observe/log.ts'
import { loadRecoverySealer } from '../recovery/key_file.ts'
import type { ProviderDeps } from '../services/provider_descriptor.ts'
import { AdminKeeper } from './admin_keeper.ts'
import { closeAll, Generation } from './generation.ts'
import type { GenerationDeps } from './made_provider.ts'
import { type Recorder, recordersOf } from './recorders.ts'
import type { RunningSigner } from './signer.ts'
import { DRAIN_MS, Sockets } from './sockets.ts'
import { fetchSvids } from './svids.ts'
import { RUNTIME, VERSION } from './version.ts'

/**
 * Providers that are no longer configured get this much more time than a request may take, to
 * answer what is under way.
 */
const RETIRE_MS = 1_000

export interface Plugin {
  /** Where the sockets are. */
  readonly socketPaths: readonly string[]
  /** Log, metrics and pages: where whoever runs the plugin tells what happens around it. */
  readonly events: EventSink
  /** Settles when the providers have been asked for the first time, whatever they answered. */
  readonly asked: Promise<void>
  /**
   * Puts another config in force without dropping a request.
   *
   * @throws ConfigError or KmsError; everything then stays as it was
   */
  apply(config: Config): Promise<void>
  /** Ends what was started; requests under way are answered first. */
  close(): Promise<void>
}

/** A log whose level can be changed by settings that a key service keeps, and that tells its losses. */
type FollowingLog = EventSink & Partial<Pick<Logger, 'setLevel' | 'tellLosses'>>

interface StartOptions {
  readonly environment?: ProviderDeps['environment']
  /** The file that the config is from, for commands that are suggested; absent where it is none. */
  readonly configPath?: string | undefined
  /** Takes over the sockets of a running plugin, but only once this one is ready to answer. */
  readonly takeOver?: boolean
  /** Called with a function that tells whether a file system or the resolver blocks the process. */
  readonly mayHang?: (stuck: () => boolean) => void
}

/** @throws KmsError when no socket can be opened or a local key cannot be read */
export async function startPlugin(
  config: Config,
  log: FollowingLog,
  { environment = {}, configPath, takeOver = false, mayHang }: StartOptions = {},
): Promise<Plugin> {
  const { admin, probes } = config
  const metrics =
    admin &&
    (await import('../observe/admin_metrics.ts')).createAdminMetrics(aboutOf(config, configPath))
  const told = fanOut([log, ...(metrics?.sinks ?? [])])
  const recorders = await recordersOf(config, { clock: systemClock, events: told, mayHang })
  const events = fanOut([told, ...recorders])
  if (metrics !== undefined) log.tellLosses?.(fanOut(metrics.sinks))
  const file = config.stateDir === undefined ? undefined : createStateFile(config.stateDir)
  if (file !== undefined) mayHang?.(file.stuck)
  const book = new StateBook(file ?? noStateStore, events)
  const deps = { clock: systemClock, events, book, environment, fetchSvids }
  const plugin = new RunningPlugin(log, deps, { takeOver, recorders, mayHang })
  try {
    await book.load()
    await plugin.start(config)
    const keep = async (start: () => Promise<{ close(): Promise<void> }>) => {
      const keeper = new AdminKeeper(start, { clock: systemClock, events, takeOver })
      await plugin.atEnd(keeper)
      mayHang?.(() => keeper.trying)
      // A name that cannot be resolved holds up neither the start nor the end.
      void keeper.open()
    }
    const problem = () => plugin.problem()
    if (admin !== undefined && metrics !== undefined) {
      const checks = () => plugin.checks()
      await keep(() => metrics.start({ listen: admin.listen, events, problem }, checks))
    }
    if (probes !== undefined) {
      const { startAdmin } = await import('../observe/admin.ts')
      await keep(() => startAdmin({ listen: probes.listen, of: 'probes', events, problem }))
    }
    return plugin
  } catch (error) {
    await plugin.close()
    throw error
  }
}

function aboutOf(config: Config, configPath: string | undefined) {
  const all = endpointsOf(config)
  return {
    version: VERSION,
    runtime: RUNTIME,
    now: systemClock.now,
    endpoints: all.map(({ name }) => name),
    runtimeMetrics: config.admin?.runtimeMetrics ?? true,
    target: { configPath, socketPath: all[0]?.socket.path },
  }
}

interface PluginOptions {
  readonly takeOver: boolean
  /** They end after all that they hear of. */
  readonly recorders: readonly Recorder[]
  /** Called with a function that tells whether a file system blocks the process. */
  readonly mayHang?: ((stuck: () => boolean) => void) | undefined
}

/** The plugin from its start to its end. */
export class RunningPlugin implements Plugin {
  socketPaths: readonly string[] = []
  asked: Promise<void> = Promise.resolve()
  readonly #log: FollowingLog
  readonly #deps: GenerationDeps
  readonly #takeOver: boolean
  readonly #records: boolean
  readonly #sockets: Sockets
  /** What has to be ended, last started first. */
  readonly #atEnd: (() => Promise<void>)[]
  /** Each function ends providers that are no longer configured. */
  readonly #retired = new Set<(limitMs: number) => Promise<void>>()
  #closed = false
  /** When a plugin that is stopping should have ended, in monotonic time. */
  #leaveBy = 0
  #generation: Generation | undefined
  #signer: RunningSigner | undefined
  readonly #mayHang: PluginOptions['mayHang']

  constructor(
    log: FollowingLog,
    deps: Omit<GenerationDeps, 'onSettings'>,
    { takeOver, recorders, mayHang }: PluginOptions,
  ) {
    this.#log = log
    this.#takeOver = takeOver
    this.#mayHang = mayHang
    this.#deps = { ...deps, onSettings: () => this.#follow() }
    this.#records = recorders.length > 0
    this.#sockets = new Sockets({ ...deps, takeOver, records: this.#records })
    this.#atEnd = recorders.map((recorder) => () => recorder.close())
  }

  get events(): EventSink {
    return this.#deps.events
  }

  /** Closes at once what was begun before the end and became ready only after it. */
  async atEnd(started: { close(): Promise<void> }): Promise<void> {
    if (this.#closed) await started.close()
    else this.#atEnd.push(() => started.close())
  }

  async start(config: Config): Promise<void> {
    const generation = await Generation.make(config, await sealerOf(config), this.#deps)
    this.#generation = generation
    this.#atEnd.push(async () => {
      await Promise.all([...this.#retired].map((end) => end(this.#leftMs())))
      await this.#generation?.close(this.#leftMs())
      await this.#deps.book.saved()
    })
    if (this.#takeOver) await this.#proveReady(generation)
    await this.#prepareSigner(config)
    await this.atEnd(this.#sockets)
    await this.#sockets.open(config, generation.served)
    await this.#signer?.open()
    this.socketPaths = [
      ...generation.served.map(({ endpoint }) => endpoint.socket.path),
      ...(config.signer === undefined ? [] : [config.signer.socket.path]),
    ]
    generation.start()
    this.asked = generation.probe()
  }

  /** Before any socket is taken over from a plugin that signs. */
  async #prepareSigner(config: Config): Promise<void> {
    if (config.signer === undefined) return
    const { hasSigner, prepareSigner } = await import('./signer.ts')
    if (!hasSigner(config)) return
    const options = { takeOver: this.#takeOver, mayHang: this.#mayHang, records: this.#records }
    this.#signer = await prepareSigner(config, { ...this.#deps, ...options })
    await this.atEnd(this.#signer)
  }

  async #proveReady(generation: Generation): Promise<void> {
    await generation.probe()
    const unready = generation.unready()
    if (unready.length === 0) return
    throw new KmsError(
      `Took nothing over, the plugin that runs goes on: ${unready.join(', ')} could write nothing now: ${generation.trouble()}`,
      { code: 'unavailable' },
    )
  }

  async apply(config: Config): Promise<void> {
    const before = this.#generation
    if (before === undefined || this.#closed) throw notRunning()
    checkKept(before.config, config)
    const next = await Generation.make(config, await sealerOf(config), this.#deps, before)
    await next.probe()
    if (this.#closed) {
      await closeAll(next.retire(before))
      throw notRunning()
    }
    const unready = next.unready().filter((name) => !before.unready().includes(name))
    if (unready.length > 0) {
      await closeAll(next.retire(before))
      throw new KmsError(
        `With this config ${unready.join(', ')} could write nothing now: ${next.trouble()}`,
        { code: 'unavailable' },
      )
    }
    const already = before.lockouts()
    const locked = [...next.lockouts()].filter(([name]) => !already.has(name))
    if (locked.length > 0) {
      await closeAll(next.retire(before))
      const whom = locked.map(([name, why]) => `${name}: ${why}`).join('; ')
      const message = `With this config the rules would refuse what API servers ask for now: ${whom}`
      throw new KmsError(message, { code: 'policy_denied' })
    }
    await this.#signer?.apply(config).catch(async (error: unknown) => {
      await closeAll(next.retire(before))
      throw error
    })
    this.#generation = next
    this.#follow()
    const left = before.retire(next)
    next.start()
    this.#sockets.switchTo(next.served)
    this.#retire(left, config.requestTimeout + RETIRE_MS)
  }

  /** Closes them after `ms`, or at the end of the plugin where that comes first. */
  #retire(left: Parameters<typeof closeAll>[0], ms: number): void {
    const end = async (limitMs?: number) => {
      cancel()
      this.#retired.delete(end)
      await this.#closeLeft(left, limitMs)
    }
    const cancel = this.#deps.clock.after(ms, () => void end())
    this.#retired.add(end)
  }

  /** A failure in closing something unused is no reason to end the process. */
  async #closeLeft(left: Parameters<typeof closeAll>[0], limitMs?: number): Promise<void> {
    try {
      await closeAll(left, limitMs)
    } catch (error) {
      const message = 'A provider that is not configured any more could not be closed'
      const what = 'provider_not_closed'
      this.#deps.events.emit({ type: 'notice', level: 'warn', what, message, error })
    }
  }

  /** What is left of the time for stopping. */
  #leftMs(): number {
    return Math.max(this.#leaveBy - this.#deps.clock.monotonic(), 0)
  }

  problem(): string | undefined {
    const signer = this.#signer?.problem
    const problems = [
      ...[this.#generation?.problem() ?? [], this.#sockets.problems()].flat(),
      ...(signer === undefined ? [] : [`signer: ${signer}`]),
    ]
    return problems.length === 0 ? undefined : problems.join('\n')
  }

  /** What {@link problem} is made of, and each provider. */
  checks(): Check[] {
    const checks = this.#generation?.checks(this.#sockets.unheard()) ?? []
    if (this.#signer === undefined) return checks
    return [...checks, { name: 'signer', problem: this.#signer.problem, spare: false }]
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#leaveBy = this.#deps.clock.monotonic() + DRAIN_MS
    for (const close of this.#atEnd.splice(0).reverse()) await close()
  }

  /** Puts in force the settings that key services keep for the whole process. */
  #follow(): void {
    const generation = this.#generation
    if (generation === undefined) return
    generation.adopt()
    this.#log.setLevel?.(generation.settings.logLevel ?? generation.config.log.level)
  }
}

/** @throws KmsError `request_invalid` */
async function sealerOf({ recovery }: Config): Promise<RecoverySealer | undefined> {
  return recovery && (await loadRecoverySealer(recovery.recipients))
}

function notRunning(): KmsError {
  const message = 'Plugin does not run: a config is put in force between its start and its end'
  return new KmsError(message, { code: 'unavailable' })
}

/** What sockets and files were opened with cannot change without a restart. */
function checkKept(before: Config, after: Config): void {
  const kept = (config: Config) => ({
    socket: config.socket,
    endpoints: config.endpoints?.map(({ name, socket }) => ({ name, socket })),
    admin: config.admin,
    probes: config.probes,
    traces: config.traces,
    stateDir: config.stateDir,
    audit: config.audit,
    'signer.socket': config.signer?.socket,
    statusVersion: config.statusVersion,
    requestTimeout: config.requestTimeout,
    'log.format': config.log.format,
  })
  const [old, young] = [kept(before), kept(after)] as [
    Record<string, unknown>,
    Record<string, unknown>,
  ]
  const problems = Object.keys(old).filter(
    (key) => JSON.stringify(old[key]) !== JSON.stringify(young[key]),
  )
  if (problems.length === 0) return
  throw new ConfigError(problems.map((key) => `${key}: changes only with a restart`))
}

function fanOut(sinks: readonly EventSink[]): EventSink {
  const [only] = sinks
  if (only !== undefined && sinks.length === 1) return only
  return {
    emit(event) {
      for (const sink of sinks) sink.emit(event)
    },
  }
}
