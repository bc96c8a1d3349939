/** All providers by their type, in one literal table that the compiler checks. @module */

import * as v from 'valibot'
import type { FetchSvids } from '../auth/jwt_svid.ts'
import type { Clock } from '../kms/clock.ts'
import type { EventSink } from '../kms/events.ts'
import type { Provider } from '../kms/provider.ts'
import { createAwsKmsProvider } from './awskms.ts'
import { type AwsKmsConfig, awsKmsConfig } from './awskms_config.ts'
import { createAzureKmsProvider } from './azurekms.ts'
import { type AzureKmsConfig, azureKmsConfig } from './azurekms_config.ts'
import { createGcpKmsProvider } from './gcpkms.ts'
import { type GcpKmsConfig, gcpKmsConfig } from './gcpkms_config.ts'
import { createLocalProvider, type LocalConfig, localConfig } from './local.ts'
import { formsWanted, readsWhatItOpens } from './provider_fields.ts'
import { createVaultProvider } from './vault.ts'
import { type VaultConfig, vaultConfig } from './vault_config.ts'
import type { FollowedSettings } from './vault_settings.ts'

export type { FollowedSettings }
export type ProviderConfig =
  | VaultConfig
  | AwsKmsConfig
  | AzureKmsConfig
  | GcpKmsConfig
  | LocalConfig

export const providerConfig = v.pipe(
  v.variant('type', [vaultConfig, awsKmsConfig, azureKmsConfig, gcpKmsConfig, localConfig]),
  v.forward(
    v.check(
      (config: ProviderConfig) => readsWhatItOpens(config),
      ({ input }) => formsWanted(input),
    ),
    ['reads'],
  ),
)

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

/** @throws KmsError where something on this node that the provider needs is missing; nothing remote is asked */
export function createProvider(config: ProviderConfig, deps: ProviderDeps): Promise<Provider> {
  switch (config.type) {
    case 'vault':
      return Promise.resolve(createVaultProvider(config, deps))
    case 'azurekms':
      return Promise.resolve(createAzureKmsProvider(config, deps))
    case 'gcpkms':
      return Promise.resolve(createGcpKmsProvider(config, deps))
    case 'awskms':
      return Promise.resolve(createAwsKmsProvider(config, deps))
    case 'local':
      return createLocalProvider(config, deps)
  }
}
