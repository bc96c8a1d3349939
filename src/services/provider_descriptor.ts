/**
 * Everything that a type of provider says about itself. Code outside the type's folder asks this,
 * so a new type needs its folder and one line in registry.ts.
 *
 * @module
 */

import type * as v from 'valibot'
import type { Clock } from '../base/clock.ts'
import type { EventSink } from '../base/events.ts'
import type { NodeFacts } from '../base/facts.ts'
import type { Call, NodeRemark, Provider, Remark } from '../base/provider.ts'
import type { LoginKeyPlace } from '../remote/assertion.ts'
import type { FetchSvids } from '../remote/jwt_svid.ts'
import type { ForeignFormName } from '../takeover/forms.ts'
import type { FollowedSettings } from './followed_settings.ts'

export interface ProviderDeps {
  readonly clock: Clock
  readonly events: EventSink
  /** Time limit of one request to the key service, in milliseconds. */
  readonly requestTimeoutMs: number
  /** Called when settings change that a key service keeps for the plugin. */
  readonly onSettings: (settings: FollowedSettings) => void
  /** The environment of the process, for what clouds put into it. */
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Asks a SPIFFE agent on this node. */
  readonly fetchSvids: FetchSvids
  /** Where a login signs facts about this node. */
  readonly facts?: NodeFacts | undefined
}

/** A host that a provider connects to. */
export interface Address {
  readonly url: string
  /** A `service` sees tokens or keys. Proxies and metadata services use plain http by design. */
  readonly as: 'service' | 'proxy' | 'metadata'
}

/** Absolute paths of files, folders and sockets that a config names. */
export interface Paths {
  readonly files: readonly string[]
  readonly folders: readonly string[]
  /** Sockets on which another program listens. */
  readonly sockets: readonly string[]
  /** Devices that the plugin reads and writes. */
  readonly devices?: readonly string[]
}

export interface NodeDeps {
  readonly clock: Clock
  readonly call: Call
}

/**
 * What must be set up at the service before the plugin may use its key, for the command `TYPE
 * policy`.
 */
export interface Policy<TConfig> {
  /** The description of the command. */
  readonly about: string
  /** What the printed policy or script does. */
  readonly does: string
  print(configs: readonly TConfig[]): PolicyText | Promise<PolicyText>
}

export interface PolicyText {
  readonly text: string
  /** Printed for people, besides the text. */
  readonly warnings: readonly string[]
}

interface Starting {
  /** The provider's own keys, as lines of YAML with a comment for each. */
  readonly keys: string
  /** What to do once they are filled in, as a sentence. */
  readonly next: string
}

export interface ProviderDescriptor<TConfig> {
  readonly config: v.GenericSchema<unknown, TConfig>
  /**
   * Makes a provider. It asks nothing remote.
   *
   * @throws KmsError where something on this node that the provider needs is missing
   */
  create(config: TConfig, deps: ProviderDeps): Provider | Promise<Provider>
  addresses(config: TConfig): readonly Address[]
  paths(config: TConfig): Paths
  /** The provider's part of a config to begin with. */
  readonly starting: Starting
  /** What fails or leaks with this config, in words that follow the provider's name. */
  remarks(config: TConfig): readonly Remark[]
  /** What `doctor` finds on this node that the login depends on, in words that follow the provider's name. */
  examineNode?(config: TConfig, deps: NodeDeps): Promise<readonly NodeRemark[]>
  /** Whether a login uses up its credentials, so that it must not be tried as a test. */
  logsInOnce?(config: TConfig): boolean
  /** Whether the service has the token of a ServiceAccount reviewed with that same token. */
  asksTokenReview?(config: TConfig): boolean
  /** Whether the service keeps settings for the plugin. */
  keepsSettings?(config: TConfig): boolean
  /** The formats of other plugins that a provider of this type can open. */
  readonly opens: readonly ForeignFormName[]
  /** The name of the key in the key ids of those plugins, where they name keys. */
  foreignKey?(config: TConfig): string
  readonly policy?: Policy<TConfig>
  /** Facts about the node that its login signs, each with the key below the provider that names it. */
  claimedFacts?(config: TConfig): readonly ClaimedFact[]
  /** The key of this node that its login signs with. */
  loginKey?(config: TConfig): LoginKeyPlace | undefined
}

interface ClaimedFact {
  readonly path: string
  readonly key: string
}
