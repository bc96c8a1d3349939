/**
 * All logins to Vault and OpenBao by their method, in one literal table that the compiler checks.
 *
 * @module
 */

import * as v from 'valibot'
import { type ByMethod, byMethod } from '../../../base/by_method.ts'
import type { Clock } from '../../../base/clock.ts'
import type { EventSink } from '../../../base/events.ts'
import type { NodeFacts } from '../../../base/facts.ts'
import type { FetchSvids } from '../../../remote/jwt_svid.ts'
import { SigningClock } from '../../../remote/signing_clock.ts'
import type { LoginMethod } from '../../../remote/token_source.ts'
import type { VaultApi } from '../api.ts'
import { agentConfig, createAgentLogin } from './agent.ts'
import { approleConfig, createApproleLogin } from './approle.ts'
import { type CertLoginDeps, certConfig, createCertLogin } from './cert.ts'
import { createJwtLogin, jwtConfig } from './jwt.ts'
import { createKubernetesLogin, kubernetesConfig } from './kubernetes.ts'
import { createTokenFileLogin, tokenFileConfig } from './token_file.ts'
import { createUserpassLogin, userpassConfig } from './userpass.ts'

export const vaultAuth = v.variant('method', [
  approleConfig,
  jwtConfig,
  certConfig,
  kubernetesConfig,
  userpassConfig,
  tokenFileConfig,
  agentConfig,
])
export type VaultAuth = v.InferOutput<typeof vaultAuth>
export type VaultAuthBy<M extends VaultAuth['method']> = Extract<VaultAuth, { readonly method: M }>

interface VaultLoginDeps extends CertLoginDeps {
  /** Sends requests in the namespace of the login. */
  readonly api: VaultApi
  readonly events: EventSink
  readonly clock: Clock
  readonly facts?: NodeFacts | undefined
  readonly fetchSvids?: FetchSvids | undefined
  /** The provider's name, for events. */
  readonly provider: string
}

const LOGINS: ByMethod<VaultAuth, VaultLoginDeps, LoginMethod> = {
  approle: (config, { api }) => createApproleLogin(config, api),
  jwt: (config, deps) => createJwtLogin(config, { ...deps, signingClock: signingClock(deps) }),
  cert: createCertLogin,
  kubernetes: (config, { api }) => createKubernetesLogin(config, api),
  userpass: (config, { api }) => createUserpassLogin(config, api),
  token: (config, { api, events }) => createTokenFileLogin(config, api, events),
  agent: createAgentLogin,
}

export function createVaultLogin(config: VaultAuth, deps: VaultLoginDeps): LoginMethod {
  return byMethod(LOGINS, config, deps)
}

/** Less than the 60 s that the service allows, minus the time by which a JWT is backdated. */
const TOLERANCE_MS = 30_000

function signingClock({ clock, events, provider }: VaultLoginDeps): SigningClock {
  const service = 'the key service'
  return new SigningClock({ clock, events, provider, service, toleranceMs: TOLERANCE_MS })
}

/** The namespace of the login; undefined where it is the namespace of the key. */
export function loginNamespace(config: VaultAuth): string | undefined {
  return config.method === 'agent' ? undefined : config.namespace
}

/** Facts that the login signs, each with its claim. */
export function claimedBy(auth: VaultAuth): (readonly [claim: string, path: string])[] {
  return auth.method === 'jwt' ? Object.entries(auth.selfSigned?.factClaims ?? {}) : []
}
