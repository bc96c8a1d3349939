/**
 * Builds the whole plugin from a config: providers, health loop, keyring, socket
 * and admin server, in the order of design §6: the socket answers before anything
 * remote is asked.
 *
 * @module
 */

import { randomBytes } from 'node:crypto'
import { ConfigError } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { createStateFile } from '../config/state_file.ts'
import { startGrpcServer } from '../grpc/server.ts'
import { type Clock, systemClock } from '../kms/clock.ts'
import { maxEnvelopeBytes } from '../kms/envelope.ts'
import type { EventSink } from '../kms/events.ts'
import { Health } from '../kms/health.ts'
import { Keyring } from '../kms/keyring.ts'
import { MAX_V2_CIPHERTEXT_BYTES, SEED_BYTES } from '../kms/limits.ts'
import { RingMember } from '../kms/ring_member.ts'
import { noStateStore } from '../kms/state.ts'
import { startAdmin } from '../observe/admin.ts'
import type { Logger } from '../observe/log.ts'
import { createMetrics } from '../observe/metrics.ts'
import { createStatusz } from '../observe/statusz.ts'
import { createProvider, type FollowedSettings } from '../providers/registry.ts'
import { RUNTIME, VERSION } from './version.ts'

/** How long requests under way may take once the plugin is told to stop. */
const DRAIN_MS = 5_000
const LONGEST_VERSION = { version: '9'.repeat(10), createdAt: 2 ** 40 }

export interface Plugin {
  /** Where the socket is. */
  readonly socketPath: string
  /** Settles when the providers have been asked for the first time, whatever they said. */
  readonly asked: Promise<void>
  /** Ends what was started: requests under way are answered first. */
  close(): Promise<void>
}

/** A log whose level a key service's settings may change. */
export type FollowingLog = EventSink & Partial<Pick<Logger, 'setLevel'>>

interface Deps {
  readonly clock: Clock
  readonly events: EventSink
}

/** @throws KmsError when the socket, the admin address or a local key cannot be had */
export async function startPlugin(config: Config, log: FollowingLog): Promise<Plugin> {
  const about = { version: VERSION, runtime: RUNTIME, now: systemClock.now }
  const metrics = createMetrics(about)
  const statusz = createStatusz(about)
  const events = fanOut([log, metrics.sink, statusz.sink])
  const deps = { clock: systemClock, events }
  const started = new Started()
  try {
    const follower = new SettingsFollower(log)
    const ring = await createRing(config, { ...deps, onSettings: follower.onSettings }, started)
    checkEnvelopeSize(ring)
    const health = createHealth(config, ring, deps)
    follower.health = health
    started.add(() => Promise.resolve(health.stop()))
    const server = await startGrpcServer({
      ...deps,
      socket: config.socket,
      service: new Keyring({ ring, health, random: randomBytes }),
      statusVersion: config.statusVersion,
      runtimeVersion: VERSION,
      requestTimeoutMs: config.requestTimeout,
      drainMs: DRAIN_MS,
    })
    started.add(() => server.close())
    const asked = health.start()
    if (config.admin !== undefined) {
      const admin = await startAdmin({
        listen: config.admin.listen,
        events,
        metrics,
        statusz,
        problem: () => health.problem(),
      })
      started.add(() => admin.close())
    }
    return { socketPath: server.path, asked, close: () => started.close() }
  } catch (error) {
    await started.close()
    throw error
  }
}

async function createRing(
  config: Config,
  deps: Deps & Pick<SettingsFollower, 'onSettings'>,
  started: Started,
): Promise<RingMember[]> {
  const ring: RingMember[] = []
  for (const provider of config.providers) {
    const made = await createProvider(provider, {
      ...deps,
      requestTimeoutMs: config.requestTimeout,
    })
    started.add(() => made.close())
    ring.push(new RingMember(provider.name, made, deps))
    const { type, key } = made.describe()
    const message = `Provider "${provider.name}" uses ${key}`
    const fields = { provider: provider.name, type, id: made.id }
    deps.events.emit({ type: 'notice', level: 'info', what: 'provider', message, fields })
  }
  return ring
}

/** A config whose envelopes KMS v2 could not store is refused before it makes one. */
function checkEnvelopeSize(ring: readonly RingMember[]): void {
  const members = ring.map(({ provider }) => ({ providerId: provider.id, ...LONGEST_VERSION }))
  const wraps = ring.map(({ provider }) => SEED_BYTES + provider.limits.overheadBytes)
  const bytes = maxEnvelopeBytes(members, wraps)
  if (bytes <= MAX_V2_CIPHERTEXT_BYTES) return
  throw new ConfigError([
    `providers: envelopes would have up to ${bytes} bytes, wanted at most ${MAX_V2_CIPHERTEXT_BYTES}: give providers a shorter id`,
  ])
}

function createHealth(config: Config, ring: readonly RingMember[], deps: Deps): Health {
  const { stateDir } = config
  return new Health(
    {
      ring,
      activationDelayMs: config.rotation.activationDelay,
      intervalMs: config.health.interval,
      staleAfterMs: config.health.staleAfter,
      outageHoldMs: config.health.outageHold,
      requestTimeoutMs: config.requestTimeout,
    },
    {
      ...deps,
      random: randomBytes,
      store: stateDir === undefined ? noStateStore : createStateFile(stateDir),
    },
  )
}

/** Puts settings in force that a key service keeps; the health loop is made after the providers that ask it. */
class SettingsFollower {
  readonly #log: FollowingLog
  health: Health | undefined

  constructor(log: FollowingLog) {
    this.#log = log
  }

  readonly onSettings = ({ logLevel, activationDelay, outageHold }: FollowedSettings): void => {
    this.#log.setLevel?.(logLevel)
    this.health?.adjust({
      ...(activationDelay === undefined ? {} : { activationDelayMs: activationDelay }),
      ...(outageHold === undefined ? {} : { outageHoldMs: outageHold }),
    })
  }
}

function fanOut(sinks: readonly EventSink[]): EventSink {
  return {
    emit(event) {
      for (const sink of sinks) sink.emit(event)
    },
  }
}

/** What has to be ended, last started first. */
class Started {
  readonly #closers: (() => Promise<void>)[] = []

  add(close: () => Promise<void>): void {
    this.#closers.push(close)
  }

  async close(): Promise<void> {
    for (const close of this.#closers.splice(0).reverse()) await close()
  }
}
