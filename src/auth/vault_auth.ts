/** All logins to Vault and OpenBao by their method, in one literal table that the compiler checks. @module */

import * as v from 'valibot'
import type { EventSink } from '../kms/events.ts'
import type { LoginMethod } from './token_source.ts'
import type { VaultApi } from './vault_api.ts'
import { approleConfig, createApproleLogin } from './vault_approle.ts'
import { createTokenFileLogin, tokenFileConfig } from './vault_token_file.ts'

export const vaultAuth = v.variant('method', [approleConfig, tokenFileConfig])
export type VaultAuth = v.InferOutput<typeof vaultAuth>

export interface VaultLoginDeps {
  /** In the namespace of the login. */
  readonly api: VaultApi
  readonly events: EventSink
}

export function createVaultLogin(config: VaultAuth, { api, events }: VaultLoginDeps): LoginMethod {
  switch (config.method) {
    case 'approle':
      return createApproleLogin(config, api)
    case 'token':
      return createTokenFileLogin(config, api, events)
  }
}
