/**
 * A cluster of three nodes over shared key services, driven by random events, and the properties
 * that must always hold. For `test/kms/model.solo.test.ts`.
 *
 * @module
 */

import { randomBytes } from 'node:crypto'
import { KmsError } from '../../src/base/errors.ts'
import type { KmsService } from '../../src/base/service.ts'
import { Slab } from '../../src/base/slab.ts'
import { decodeEnvelope } from '../../src/kms/envelope.ts'
import type { Protection } from '../../src/kms/health_view.ts'
import type { MonitorOptions } from '../../src/kms/provider_monitor.ts'
import type { SavedState, StateStore } from '../../src/kms/state.ts'
import { FakeClock } from '../_lib/fake_clock.ts'
import type { Etcd } from '../_lib/kms/api_server_model.ts'
import { ANY_PROTECTION } from '../_lib/kms/virtual_endpoint.ts'
import { VirtualNode } from '../_lib/kms/virtual_node.ts'
import type { SeededRandom } from '../_lib/seeded_random.ts'
import { ServiceView, SharedService } from './shared_service.ts'

const SECOND = 1_000
const MINUTE = 60_000
const DELAY_MS = 120_000
const RETURN_MS = 300_000
const HOLD_MS = 30_000
const OUTAGE_HOLD_MS = 600_000
const MAX_SKEW_MS = MINUTE
const NODES = 3
const SERVICES = ['fake:a', 'fake:b', 'fake:c'] as const

/** What one node is configured with; replaced as a whole by a roll-out. */
interface NodeConfig {
  readonly protection: Protection
  readonly monitorOf: Readonly<Record<string, Partial<MonitorOptions>>>
}

/** Asking the system for each few bytes would take half of the time. */
const POOL = { slab: new Slab(65_536, randomBytes), take: (bytes: number) => POOL.slab.take(bytes) }

/** Without copies: nobody changes a state that was told. */
class PlainStore implements StateStore {
  #saved: SavedState | undefined
  load = () => Promise.resolve(this.#saved)
  save = (state: SavedState) => {
    this.#saved = state
    return Promise.resolve()
  }
}

const ANY: Protection = { ...ANY_PROTECTION, holdMs: HOLD_MS, returnMs: RETURN_MS }
const THRESHOLD: Protection = { ...ANY, scheme: 'threshold', k: 2, minimum: 2 }
const READ_ONLY = { decryptOnly: true }

/** Where roll-outs lead to: the protection, and who is written to. */
const GOALS = [
  { protection: ANY, writes: ['fake:a'] },
  { protection: ANY, writes: ['fake:a', 'fake:b'] },
  { protection: ANY, writes: ['fake:b', 'fake:c'] },
  { protection: ANY, writes: [...SERVICES] },
  { protection: THRESHOLD, writes: [...SERVICES] },
] as const

type Goal = (typeof GOALS)[number]

/** Mistakes to be put in on purpose: the invariants must find them. */
export interface Mistakes {
  readonly between?: (keyring: KmsService) => KmsService
  readonly hidesServiceTime?: boolean
}

interface WorldOptions {
  readonly random: SeededRandom
  /** Without outages, lags, denials and lost keys: nodes must then agree all the time. */
  readonly calm: boolean
  readonly mistakes?: Mistakes
}

interface Step {
  readonly node: number
  readonly config: NodeConfig
}

export class ModelWorld {
  readonly clock = new FakeClock({ quick: true })
  readonly etcd: Etcd = new Map()
  readonly services: readonly SharedService[]
  readonly nodes: readonly VirtualNode[]
  readonly #views: readonly (readonly ServiceView[])[]
  readonly #options: WorldOptions
  readonly #values = new Map<string, string>()
  /** Generation of each service's key when the object's seed was wrapped. */
  readonly #materialOfKeyId = new Map<string, string>()
  readonly #log: string[] = []
  readonly #configs: NodeConfig[]
  #steps: Step[] = []
  #keys = 0

  constructor(options: WorldOptions) {
    this.#options = options
    const { random, mistakes = {} } = options
    this.services = SERVICES.map((id) => new SharedService(id, () => this.clock.now()))
    this.#views = Array.from({ length: NODES }, () =>
      this.services.map((service) => new ServiceView(service)),
    )
    const first = configOf(random.pick(GOALS))
    this.#configs = Array.from({ length: NODES }, () => first)
    this.nodes = this.#views.map((views) => {
      for (const view of views) view.tellsTime = mistakes.hidesServiceTime !== true
      return new VirtualNode(this.clock, this.etcd, views, {
        skewMs: this.#skew(),
        random: POOL.take,
        store: new PlainStore(),
        between: (keyring) => this.#watched(mistakes.between?.(keyring) ?? keyring),
      })
    })
  }

  /** What happened, for whoever has to understand a failure. */
  get log(): readonly string[] {
    return this.#log
  }

  async start(): Promise<void> {
    for (const [at, node] of this.nodes.entries()) {
      this.#configure(at)
      await this.#startPlugin(node)
      await node.server.start()
    }
  }

  /** One random event, and what must hold after it. */
  async step(): Promise<void> {
    const { random, calm } = this.#options
    const event = random.pick(calm ? CALM_EVENTS : EVENTS)
    this.#log.push(`${this.clock.monotonic()} ${event}`)
    await this.#events[event]()
    await this.#check()
  }

  /** Ends all faults and lets time pass; then everything must be well. */
  async settle(): Promise<void> {
    for (const views of this.#views) {
      for (const view of views)
        Object.assign(view, { away: false, hangs: false, lagsAt: undefined })
    }
    for (const service of this.services) {
      service.failure = undefined
      for (const { label } of service.versions) service.key.change(label, { mayEncrypt: true })
    }
    while (this.#steps.length > 0) await this.#rollOutStep()
    await this.clock.advance(RETURN_MS + DELAY_MS + 5 * MINUTE)
    const ids = this.#ids()
    demand(new Set(ids).size === 1, `one key id once quiet, not ${ids.join(' ')}`)
    await this.clock.advance(5 * MINUTE)
    demand(this.#ids().join() === ids.join(), 'the key id stays while nothing happens')
    for (const node of this.nodes) await this.#readAll(node)
    for (const { server } of this.nodes) server.stop()
    for (const node of this.nodes) node.stopPlugin()
  }

  readonly #events = {
    time: () => this.clock.advance(1 + this.#options.random.below(60 * SECOND)),
    write: () => this.#write(),
    read: () => this.#read(),
    rotate: () => this.#pick(this.services).rotate(),
    recreate: () => this.#recreate(),
    disable: () => this.#disable(),
    away: () => {
      const view = this.#view()
      view.away = !view.away
    },
    hang: () => {
      const view = this.#view()
      view.hangs = !view.hangs
    },
    blackout: () => {
      const at = this.#options.random.below(SERVICES.length)
      const away = this.#options.random.below(2) === 0
      for (const views of this.#views) Object.assign(views[at] ?? {}, { away })
    },
    lag: () => {
      const at = this.#options.random.below(SERVICES.length)
      const view = this.#pick(this.#views)[at]
      const known = this.services[at]?.versions.length ?? 1
      if (view !== undefined) view.lagsAt = view.lagsAt === undefined ? known : undefined
    },
    deny: () => {
      const service = this.#pick(this.services)
      const denied = new KmsError('Denied', { code: 'denied' })
      service.failure = service.failure === undefined ? denied : undefined
    },
    restart: () => this.#restart(true),
    restartWithoutState: () => this.#restart(false),
    restartApiServer: async () => {
      const node = this.#pick(this.nodes)
      node.server.stop()
      node.server = node.newServer()
      await this.#whileTimePasses(node.server.start())
    },
    clock: () => {
      this.#pick(this.nodes).clock.skewMs = this.#skew()
    },
    rollOut: () => this.#rollOut(),
    rollOutStep: () => this.#rollOutStep(),
  } satisfies Record<string, () => void | Promise<void>>

  #pick<T>(from: readonly T[]): T {
    return this.#options.random.pick(from)
  }

  #view(): ServiceView {
    return this.#pick(this.#pick(this.#views))
  }

  #skew(): number {
    return this.#options.random.below(2 * MAX_SKEW_MS) - MAX_SKEW_MS
  }

  #ids(): string[] {
    return this.nodes.map(({ service }) => statusOf(service))
  }

  /** Probes of providers that hang take time, which nobody else moves on. */
  async #whileTimePasses(work: Promise<unknown>): Promise<void> {
    let done = false
    void work.finally(() => {
      done = true
    })
    await this.clock.advance(0)
    while (!done) await this.clock.advance(500)
  }

  async #startPlugin(node: VirtualNode): Promise<void> {
    await this.#whileTimePasses(node.startPlugin())
  }

  async #restart(keepsState: boolean): Promise<void> {
    const node = this.#pick(this.nodes)
    node.stopPlugin()
    await this.clock.advance(this.#options.random.below(5 * SECOND))
    if (!keepsState) node.options = { ...node.options, store: new PlainStore() }
    await this.#startPlugin(node)
  }

  #configure(at: number): void {
    const node = this.nodes[at]
    const config = this.#configs[at]
    if (node === undefined || config === undefined) return
    node.options = {
      ...node.options,
      monitor: { activationDelayMs: DELAY_MS, intervalMs: 30 * SECOND },
      monitorOf: config.monitorOf,
      health: { protection: config.protection, outageHoldMs: OUTAGE_HOLD_MS },
    }
  }

  /** Node by node, with other events between. */
  #rollOut(): void {
    if (this.#steps.length > 0) return
    const goal = this.#pick(GOALS)
    const activeFrom = this.clock.now() + 4 * MINUTE
    this.#steps = this.#configs.map((config, node) => ({
      node,
      config: configOf(goal, { config, activeFrom }),
    }))
  }

  async #rollOutStep(): Promise<void> {
    const step = this.#steps.shift()
    const node = step && this.nodes[step.node]
    if (step === undefined || node === undefined) return
    this.#configs[step.node] = step.config
    this.#configure(step.node)
    node.stopPlugin()
    await this.#startPlugin(node)
  }

  #recreate(): void {
    if (this.#options.random.below(4) > 0) return
    this.#pick(this.services).recreate()
  }

  #disable(): void {
    const { key, versions } = this.#pick(this.services)
    const { label, mayEncrypt } = this.#pick(versions)
    const usable = versions.filter((version) => version.mayEncrypt)
    if (!mayEncrypt || usable.length > 1) key.change(label, { mayEncrypt: !mayEncrypt })
  }

  #write(): void {
    const node = this.#pick(this.nodes)
    this.#keys += 1
    const key = `/registry/secrets/${this.#keys}`
    try {
      node.server.write(key, `value ${this.#keys}`)
      this.#values.set(key, `value ${this.#keys}`)
    } catch {
      // Not acknowledged.
    }
  }

  async #read(): Promise<void> {
    const keys = [...this.#values.keys()]
    if (keys.length === 0) return
    await this.#open(this.#pick([...this.nodes.keys()]), this.#pick(keys))
  }

  /** Through the plugin, whatever an API server remembers. */
  async #open(at: number, key: string): Promise<void> {
    const node = this.nodes[at]
    const object = this.etcd.get(key)
    if (node?.service === undefined || object === undefined) return
    const { k, members } = decodeEnvelope(object.seed)
    const able = members.filter(({ providerId, version, createdAt }) => {
      const service = this.services.find(({ id }) => id === providerId)
      const view = this.#views[at]?.find(({ id }) => id === providerId)
      const known = service?.versions.some(
        (each) => each.label === version && each.createdAt === createdAt,
      )
      return view?.well === true && known === true
    })
    if (able.length < k) return
    const { seed: ciphertext, keyId, annotations } = object
    const call = {
      signal: new AbortController().signal,
      deadline: this.clock.monotonic() + 2_500,
    }
    const opened = node.service.decrypt({ api: 'v2', ciphertext, keyId, annotations }, call)
    let failure: unknown
    await this.#whileTimePasses(
      opened.catch((error: unknown) => {
        failure = error
      }),
    )
    demand(failure === undefined, `${key} opens at node ${at}: ${String(failure)}`)
  }

  async #readAll(node: VirtualNode): Promise<void> {
    node.server.stop()
    node.server = node.newServer()
    await this.#whileTimePasses(node.server.start())
    demand(await node.server.ready(), 'an API server is ready once quiet')
    for (const [key, value] of this.#values) {
      const { members, k } = decodeEnvelope(this.etcd.get(key)?.seed ?? new Uint8Array())
      const able = members.filter(({ providerId, version, createdAt }) =>
        this.services
          .find(({ id }) => id === providerId)
          ?.versions.some((each) => each.label === version && each.createdAt === createdAt),
      )
      // Its keys were destroyed by an event.
      if (able.length < k) continue
      const read = await node.server.read(key).catch(String)
      demand(read === value, `${key} reads as it was written, not ${read}`)
    }
  }

  /** What must hold at every moment. */
  async #check(): Promise<void> {
    for (const { server } of this.nodes) {
      demand(server.violations.length === 0, server.violations.join('; '))
      demand(server.races === 0, 'Status and Encrypt agree')
    }
    if (!this.#options.calm || this.#steps.length > 0) return
    if (new Set(this.#ids()).size === 1) return
    // A switch may be under way: it takes no longer than this.
    await this.clock.advance(2 * SECOND)
    const ids = this.#ids()
    demand(new Set(ids).size === 1, `nodes switch together, not ${ids.join(' ')}`)
  }

  /** Every key id stands for one key material for ever. */
  #watched(service: KmsService): KmsService {
    return {
      status: () => service.status(),
      decrypt: (request, call) => service.decrypt(request, call),
      encrypt: async (request, call) => {
        const reply = await service.encrypt(request, call)
        const { members, scheme, k } = decodeEnvelope(reply.ciphertext)
        const material = members
          .map(({ providerId, version }) => {
            const shared = this.services.find(({ id }) => id === providerId)
            return shared?.materialOf(version) ?? ''
          })
          .join(' ')
        const whole = `${scheme} ${k} ${material}`
        const before = this.#materialOfKeyId.get(reply.keyId)
        demand(before === undefined || before === whole, `${reply.keyId} names one key material`)
        this.#materialOfKeyId.set(reply.keyId, whole)
        return reply
      },
    }
  }
}

/**
 * Every provider is configured on every node, and read. One that is new to writing begins at one
 * time on all nodes (docs/migration.md, "The order").
 */
function configOf(
  { protection, writes }: Goal,
  before?: { readonly config: NodeConfig; readonly activeFrom: number },
): NodeConfig {
  const monitorOf = Object.fromEntries(
    SERVICES.map((id) => {
      const was = before?.config.monitorOf[id]
      if (!(writes as readonly string[]).includes(id)) return [id, READ_ONLY]
      const isNew = before !== undefined && was?.decryptOnly === true
      return [id, isNew ? { activeFrom: before.activeFrom } : (was ?? {})]
    }),
  )
  return { protection, monitorOf }
}

const CALM_EVENTS = [
  ...repeat('time', 10),
  ...repeat('write', 5),
  ...repeat('read', 4),
  'rotate',
  'restart',
  'restartWithoutState',
  'restartApiServer',
  'clock',
] as const

const EVENTS = [
  ...repeat('time', 12),
  ...repeat('write', 6),
  ...repeat('read', 6),
  'rotate',
  'recreate',
  'disable',
  'away',
  'away',
  'hang',
  'blackout',
  'lag',
  'deny',
  'restart',
  'restartWithoutState',
  'restartApiServer',
  'clock',
  'rollOut',
  ...repeat('rollOutStep', 2),
] as const

function repeat<T extends string>(event: T, times: number): T[] {
  return Array.from({ length: times }, () => event)
}

function statusOf(service: KmsService | undefined): string {
  try {
    return service?.status() ?? 'no plugin'
  } catch (error) {
    return error instanceof KmsError ? error.code : 'thrown'
  }
}

/** Thrown where something does not hold. */
export class BrokenInvariant extends Error {
  override readonly name = 'BrokenInvariant'
}

function demand(holds: boolean, what: string): void {
  if (!holds) throw new BrokenInvariant(what)
}
