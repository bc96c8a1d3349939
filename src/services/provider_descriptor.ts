/**
 * What a type of provider says of itself. Whoever is outside asks this and guesses
 * nothing, so that a new type is one line in registry.ts and no other place.
 *
 * @module
 */

import type * as v from 'valibot'
import type { Clock } from '../base/clock.ts'
import type { EventSink } from '../base/events.ts'
import type { Provider, Remark } from '../base/provider.ts'
import type { FetchSvids } from '../remote/jwt_svid.ts'
import type { ForeignFormName } from '../takeover/forms.ts'
import type { FollowedSettings } from './vault/settings.ts'

export interface ProviderDeps {
  readonly clock: Clock
  readonly events: EventSink
  /** Time limit of one request to the key service, in milliseconds. */
  readonly requestTimeoutMs: number
  /** Called with settings that a key service keeps for the plugin, when they change. */
  readonly onSettings: (settings: FollowedSettings) => void
  /** The process's own, for what clouds put into it. */
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Asks a SPIFFE agent on this node. */
  readonly fetchSvids: FetchSvids
}

/** Whom a provider speaks to over the network. */
export interface Address {
  readonly url: string
  /** A `service` sees tokens or keys; proxies and metadata services speak plain http by design. */
  readonly as: 'service' | 'proxy' | 'metadata'
}

/** Absolute paths of the node that a config names to be read. */
export interface Paths {
  readonly files: readonly string[]
  readonly folders: readonly string[]
  /** On which somebody else listens. */
  readonly sockets: readonly string[]
}

/** What the service must be told before the plugin may use its key, for the command `TYPE policy`. */
export interface Policy<TConfig> {
  /** Of the command. */
  readonly about: string
  /** What the command does. */
  readonly does: string
  print(configs: readonly TConfig[]): PolicyText | Promise<PolicyText>
}

export interface PolicyText {
  readonly text: string
  /** For people, beside the text. */
  readonly warnings: readonly string[]
}

interface Starting {
  /** The provider's own keys, as lines of YAML that say what each is for. */
  readonly keys: string
  /** What is done once they are right, as a sentence. */
  readonly next: string
}

export interface ProviderDescriptor<TConfig> {
  readonly config: v.GenericSchema<unknown, TConfig>
  /** @throws KmsError where something on this node that the provider needs is missing; nothing remote is asked */
  create(config: TConfig, deps: ProviderDeps): Provider | Promise<Provider>
  addresses(config: TConfig): readonly Address[]
  paths(config: TConfig): Paths
  /** For a config to begin with. */
  readonly starting: Starting
  /** What fails or leaks with this config, in words that follow the provider's name. */
  remarks(config: TConfig): readonly Remark[]
  /** Whether the login uses itself up, so that nobody may try it. */
  logsInOnce?(config: TConfig): boolean
  /** Whether the service has the token of a ServiceAccount reviewed with that token itself. */
  asksTokenReview?(config: TConfig): boolean
  /** Whether its service keeps settings for the plugin. */
  keepsSettings?(config: TConfig): boolean
  /** What other plugins wrapped and a provider of this type opens. */
  readonly opens: readonly ForeignFormName[]
  /** What the key ids of those plugins call the key, where they name keys. */
  foreignKey?(config: TConfig): string
  readonly policy?: Policy<TConfig>
}
