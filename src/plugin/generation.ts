/**
 * Everything that one config makes: the providers with their monitors, and for each endpoint its
 * health and keyring. A changed config makes the next generation, which takes over the providers
 * that are configured as before, with all that is known of them.
 *
 * @module
 */

import { randomBytes } from 'node:crypto'
import type { Gate } from '../base/gate.ts'
import { MAX_V2_CIPHERTEXT_BYTES, SEED_BYTES } from '../base/limits.ts'
import type { Provider } from '../base/provider.ts'
import { type Endpoint, endpointsOf } from '../config/endpoints.ts'
import { ConfigError } from '../config/load.ts'
import { claimedFacts } from '../config/policy.ts'
import type { Config } from '../config/schema.ts'
import { BatchedProvider } from '../kms/batched_provider.ts'
import { inputsOf, maxEnvelopeBytes } from '../kms/envelope.ts'
import { EndpointHealth } from '../kms/health.ts'
import { Keyring } from '../kms/keyring.ts'
import { ProviderMonitor } from '../kms/provider_monitor.ts'
import type { RecoverySealer } from '../kms/recovery.ts'
import { sealedBytes, wrappedBytes } from '../kms/shares.ts'
import type { StateBook } from '../kms/state.ts'
import type { Check } from '../observe/checks.ts'
import { type FollowedSettings, ofTheProcess } from '../services/followed_settings.ts'
import type { ProviderDeps } from '../services/provider_descriptor.ts'
import { descriptorOf, type ProviderConfig } from '../services/registry.ts'
import type { ForeignFormName } from '../takeover/forms.ts'
import { type HeldPolicy, lockout, policyOf } from './policy.ts'

export interface GenerationDeps extends Omit<ProviderDeps, 'requestTimeoutMs' | 'onSettings'> {
  readonly book: StateBook
  /** Called when the settings that a key service keeps for its provider have changed. */
  readonly onSettings: () => void
}

/** A provider, and the config from which it was made. */
interface Made {
  readonly name: string
  readonly madeOf: string
  readonly provider: Provider
  readonly monitor: ProviderMonitor
  /** Undefined for a provider whose key service keeps no settings. */
  settings: FollowedSettings | undefined
}

/** What a generation is made of. */
interface Parts {
  readonly made: readonly Made[]
  readonly served: readonly Served[]
  readonly held: HeldPolicy | undefined
}

export interface Served {
  readonly endpoint: Endpoint
  readonly health: EndpointHealth
  readonly keyring: Keyring
  readonly monitors: readonly ProviderMonitor[]
  readonly gate: Gate | undefined
}

/**
 * The longest label that a key version may have (AWS's are ids of 36 characters). With it, an
 * envelope that fits now will always fit.
 */
const LONGEST_VERSION = { version: '9'.repeat(36), createdAt: 2 ** 40 }

const NOT_ASKED = 'It has not answered yet'

export class Generation {
  readonly config: Config
  readonly served: readonly Served[]
  private readonly made: readonly Made[]
  private readonly held: HeldPolicy | undefined
  readonly #deps: GenerationDeps
  /** What was reported of settings that are not in force, by provider. */
  readonly #ignored = new Map<string, string>()

  private constructor(config: Config, { made, served, held }: Parts, deps: GenerationDeps) {
    this.config = config
    this.served = served
    this.made = made
    this.held = held
    this.#deps = deps
  }

  /**
   * Makes everything and starts nothing.
   *
   * @param before the generation that serves now
   * @throws ConfigError, or KmsError when something on this node that a provider needs is missing
   */
  static async make(
    config: Config,
    recovery: RecoverySealer | undefined,
    deps: GenerationDeps,
    before?: Generation,
  ): Promise<Generation> {
    const made: Made[] = []
    const held = await policyOf(config, deps, before?.held)
    const signing = new Set(claimedFacts(config).map(({ provider }) => provider))
    try {
      for (const provider of config.providers) {
        // A login that signs facts goes with those who keep them.
        const facts = signing.has(provider.name) ? held : undefined
        const { rotation, health } = config
        const madeOf = JSON.stringify([provider, rotation, health.interval, facts?.madeOf])
        const known = before?.made.find((each) => each.madeOf === madeOf)
        const own = { ...deps, facts: facts?.policy.facts }
        made.push(known ?? (await makeProvider(provider, madeOf, config, own)))
      }
      checkIds(made, before?.made ?? [])
      const served = endpointsOf(config).map((endpoint) => {
        const gate = held?.policy.gate(endpoint.name)
        return makeEndpoint(endpoint, made, config, { recovery, gate }, deps)
      })
      return new Generation(config, { made, served, held }, deps)
    } catch (error) {
      const fresh = made.filter((each) => before?.made.includes(each) !== true)
      await closeAll(fresh.map(({ provider }) => provider))
      if (held !== before?.held) await held?.policy.close()
      throw error
    }
  }

  /** Asks the providers for the first time. Settles when each was asked, whatever it answered. */
  async probe(): Promise<void> {
    const fresh = this.made.filter(({ monitor }) => !monitor.started)
    for (const { provider, name } of fresh) {
      const { type, key } = provider.describe()
      const message = `Provider "${name}" uses ${key}`
      const fields = { provider: name, type, id: provider.id }
      this.#deps.events.emit({ type: 'notice', level: 'info', what: 'provider', message, fields })
    }
    await Promise.all([this.held?.policy.ready, ...fresh.map(({ monitor }) => monitor.probe())])
  }

  /** From now on, the answers of the providers decide what the endpoints answer. */
  start(): void {
    for (const { health } of this.served) health.start()
  }

  /** Names of endpoints that could not answer yet. */
  unready(): string[] {
    return this.served.flatMap(({ endpoint, health }) => (health.canServe() ? [] : endpoint.name))
  }

  /** By endpoint, what the rules would refuse now. */
  lockouts(): Map<string, string> {
    const all = this.served.flatMap(({ endpoint: { name }, gate, monitors }) => {
      const why = lockout(gate, monitors)
      return why === undefined ? [] : [[name, why] as const]
    })
    return new Map(all)
  }

  /**
   * The settings that a key service keeps for the whole process: those of the first provider with
   * settings, and of no other.
   */
  get settings(): FollowedSettings {
    return this.#keepers()[0]?.settings ?? {}
  }

  /** Puts those settings in force, and reports the ones that are not. */
  adopt(): void {
    for (const { health } of this.served) health.adjust(this.settings.outageHold)
    const [owner, ...others] = this.#keepers()
    for (const { name, settings } of others) {
      const ignored = ofTheProcess(settings).join(' and ')
      if (ignored !== '' && this.#ignored.get(name) !== ignored) {
        this.#sayIgnored(name, ignored, owner?.name ?? '')
      }
      this.#ignored.set(name, ignored)
    }
  }

  #keepers() {
    return this.made.flatMap(({ name, settings }) =>
      settings === undefined ? [] : { name, settings },
    )
  }

  #sayIgnored(provider: string, keys: string, owner: string): void {
    const message = `Settings of provider "${provider}" hold ${keys}, which is not in force: it is for the whole process and comes from provider "${owner}", the first in the config with settingsFrom. Take it out there, or put the providers into another order`
    const [level, what, fields] = ['warn', 'settings_ignored', { provider }] as const
    this.#deps.events.emit({ type: 'notice', level, what, message, fields })
  }

  /** What is wrong now; undefined when every endpoint is ready. */
  problem(): string | undefined {
    const problems = this.served.flatMap(({ endpoint, health, gate, monitors }) => {
      const problem = health.problem() ?? lockout(gate, monitors)
      if (problem === undefined) return []
      return this.served.length === 1 ? problem : `${endpoint.name}: ${problem}`
    })
    return problems.length === 0 ? undefined : problems.join('\n')
  }

  /**
   * One for each endpoint, and one for each provider.
   *
   * @param unheard why an endpoint has no socket
   */
  checks(unheard: ReadonlyMap<string, string>): Check[] {
    const endpoints = this.served.map(({ endpoint, health, gate, monitors }) => ({
      name: `endpoint/${endpoint.name}`,
      problem: unheard.get(endpoint.name) ?? health.problem() ?? lockout(gate, monitors),
      spare: false,
    }))
    // What an endpoint cannot do without is that endpoint's problem too.
    const spare = endpoints.every(({ problem }) => problem === undefined)
    const providers = this.made.map(({ name, monitor }) => {
      const { ok, error } = monitor.observation
      return { name, problem: ok ? undefined : (error?.message ?? NOT_ASKED), spare }
    })
    return [...endpoints, ...providers]
  }

  /** What the unhealthy providers report. */
  trouble(): string {
    return this.made
      .flatMap(({ name, monitor }) => {
        const { error } = monitor.observation
        return error === undefined ? [] : `"${name}": ${error.message}`
      })
      .join('; ')
  }

  /**
   * Ends what `after` did not take over. {@link close} ends requests that are under way at a
   * provider.
   */
  retire(after?: Generation): Closable[] {
    for (const { health } of this.served) health.stop()
    const policy = this.held === after?.held ? undefined : this.held?.policy
    const left = this.made.filter((each) => after?.made.includes(each) !== true)
    for (const { monitor } of left) monitor.stop()
    return [...left.map(({ provider }) => provider), ...(policy === undefined ? [] : [policy])]
  }

  /** Ends everything. It takes at most `limitMs`, where that is given. */
  async close(limitMs?: number): Promise<void> {
    await closeAll(this.retire(), limitMs)
  }
}

/** A provider or a policy that nobody uses any more. */
interface Closable {
  close(limitMs?: number): Promise<void>
}

export async function closeAll(left: readonly Closable[], limitMs?: number): Promise<void> {
  await Promise.all(left.map((each) => each.close(limitMs)))
}

async function makeProvider(
  config: ProviderConfig,
  madeOf: string,
  { requestTimeout, rotation, health }: Config,
  deps: GenerationDeps,
): Promise<Made> {
  const { name, decryptOnly, activeFrom, formerIds } = config
  const descriptor = descriptorOf(config)
  const provider = await descriptor.create(config, {
    ...deps,
    requestTimeoutMs: requestTimeout,
    onSettings(settings) {
      made.settings = settings
      made.monitor.adjust(settings.activationDelay)
      deps.onSettings()
    },
  })
  const options = {
    activationDelayMs: rotation.activationDelay,
    intervalMs: health.interval,
    requestTimeoutMs: requestTimeout,
    decryptOnly: decryptOnly ?? false,
    activeFrom,
    formerIds: formerIds ?? [],
  }
  const batched = new BatchedProvider(name, provider, deps)
  const monitor = new ProviderMonitor(batched, options, { ...deps, random: randomBytes })
  const settings = descriptor.keepsSettings?.(config) === true ? {} : undefined
  const made: Made = { name, madeOf, provider, monitor, settings }
  return made
}

/**
 * Two keys with one id could not be told apart, and another id under an old name would lose the way
 * to its data (rule R8).
 */
function checkIds(made: readonly Made[], before: readonly Made[]): void {
  const owners = new Map<string, string>()
  for (const { name, id } of made.flatMap(idsOf)) {
    const other = owners.get(id)
    if (other !== undefined) {
      throw new ConfigError([
        `providers: "${other}" and "${name}" both have the id "${id}": give each an id of its own`,
      ])
    }
    owners.set(id, name)
  }
  for (const { name, monitor } of before) {
    const now = made.find((each) => each.name === name)
    if (now === undefined || idsOf(now).some(({ id }) => id === monitor.id)) continue
    throw new ConfigError([
      `providers: "${name}" would be another key, with the id "${now.monitor.id}" instead of "${monitor.id}": give the new key a new name, and keep the old one with decryptOnly`,
    ])
  }
}

function idsOf({ name, monitor }: Made) {
  return [monitor.id, ...(monitor.options.formerIds ?? [])].map((id) => ({ name, id }))
}

function makeEndpoint(
  endpoint: Endpoint,
  made: readonly Made[],
  config: Config,
  { recovery, gate }: { recovery: RecoverySealer | undefined; gate: Gate | undefined },
  { clock, events, book }: GenerationDeps,
): Served {
  const names = endpoint.providers.map(({ name }) => name)
  const monitors = made.filter(({ name }) => names.includes(name)).map(({ monitor }) => monitor)
  const recipients = recovery?.thumbprints ?? []
  checkSizes(endpoint, monitors, recipients)
  const { staleAfter: staleAfterMs, outageHold: outageHoldMs } = config.health
  const { name, protection, decryptPreference } = endpoint
  const health = new EndpointHealth(
    { name, monitors, protection, recipients, staleAfterMs, outageHoldMs },
    { clock, events, book },
  )
  const random = randomBytes
  const foreign = made.flatMap(({ name: reader, monitor }) => {
    const provider = endpoint.providers.find((each) => each.name === reader)
    return provider?.reads === undefined ? [] : { ...readerOf(provider, provider.reads), monitor }
  })
  const keyring = new Keyring({
    monitors,
    health,
    decryptPreference,
    recovery,
    gate,
    foreign,
    clock,
    events,
    random,
  })
  return { endpoint, health, keyring, monitors, gate }
}

function readerOf(config: ProviderConfig, reads: readonly ForeignFormName[]) {
  const { name, type } = config
  return { name, type, reads, key: descriptorOf(config).foreignKey?.(config) }
}

/** Refuses a config whose envelopes KMS v2 could not store, before it makes one. */
function checkSizes(
  { name, protection }: Endpoint,
  all: readonly ProviderMonitor[],
  recipients: readonly string[],
): void {
  const monitors = all.filter(({ writesInMs }) => writesInMs !== undefined)
  const wrapped = wrappedBytes(protection, SEED_BYTES)
  for (const { batched } of monitors) {
    const { plaintextBytes } = batched.provider.limits
    if (plaintextBytes >= wrapped) continue
    throw new ConfigError([
      `providers: the key of "${batched.name}" takes ${plaintextBytes} bytes, wanted at least ${wrapped}: use a longer key`,
    ])
  }
  const members = monitors.map(({ id }) => ({ providerId: id, ...LONGEST_VERSION }))
  const wraps = monitors.map(({ batched }) => wrapped + batched.provider.limits.overheadBytes)
  const inputs = inputsOf(protection, members, recipients)
  const bytes = maxEnvelopeBytes(inputs, wraps, sealedBytes(protection, SEED_BYTES))
  if (bytes <= MAX_V2_CIPHERTEXT_BYTES) return
  throw new ConfigError([
    `providers: envelopes of endpoint "${name}" would have up to ${bytes} bytes, wanted at most ${MAX_V2_CIPHERTEXT_BYTES}: use fewer providers or recipients, smaller keys or shorter ids`,
  ])
}
