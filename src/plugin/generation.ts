/**
 * Everything that one config makes: the providers with their monitors, and for each endpoint its
 * health and keyring. A changed config makes the next generation, which takes over the providers
 * that are configured as before, with all that is known of them.
 *
 * @module
 */

import { endpointsOf } from '../config/endpoints.ts'
import { claimedFacts } from '../config/policy.ts'
import type { Config } from '../config/schema.ts'
import type { RecoverySealer } from '../kms/recovery.ts'
import type { Check } from '../observe/checks.ts'
import { type FollowedSettings, ofTheProcess } from '../services/followed_settings.ts'
import { checkIds, type GenerationDeps, type Made, makeProvider } from './made_provider.ts'
import { type HeldPolicy, policyOf } from './policy.ts'
import { lockoutOf, makeEndpoint, type Served } from './served.ts'

/** What a generation is made of. */
interface Parts {
  readonly made: readonly Made[]
  readonly served: readonly Served[]
  readonly held: HeldPolicy | undefined
}

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
    const all = this.served.flatMap((served) => {
      const why = lockoutOf(served)
      return why === undefined ? [] : [[served.endpoint.name, why] as const]
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
    const problems = this.served.flatMap((served) => {
      const problem = served.health.problem() ?? lockoutOf(served)
      if (problem === undefined) return []
      return this.served.length === 1 ? problem : `${served.endpoint.name}: ${problem}`
    })
    return problems.length === 0 ? undefined : problems.join('\n')
  }

  /**
   * One for each endpoint, and one for each provider.
   *
   * @param unheard why an endpoint has no socket
   */
  checks(unheard: ReadonlyMap<string, string>): Check[] {
    const endpoints = this.served.map((served) => ({
      name: `endpoint/${served.endpoint.name}`,
      problem: unheard.get(served.endpoint.name) ?? served.health.problem() ?? lockoutOf(served),
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
