/** All logins to Azure by their method, in one literal table that the compiler checks. @module */

import * as v from 'valibot'
import { type ByMethod, byMethod } from '../../../base/by_method.ts'
import type { EventSink } from '../../../base/events.ts'
import { isNearEnd } from '../../../remote/http/expiry.ts'
import { SigningClock } from '../../../remote/signing_clock.ts'
import type { LoginMethod } from '../../../remote/token_source.ts'
import { clientCertificateConfig, createClientCertificateLogin } from './certificate.ts'
import { createManagedIdentityLogin, managedIdentityConfig } from './identity.ts'
import { type AzureJsonDeps, azureJsonConfig, createAzureJsonLogin } from './json.ts'
import {
  clientSecretConfig,
  createClientSecretLogin,
  createWorkloadIdentityLogin,
  workloadIdentityConfig,
} from './secret.ts'

export const azureLogin = v.variant('method', [
  managedIdentityConfig,
  workloadIdentityConfig,
  clientCertificateConfig,
  clientSecretConfig,
  azureJsonConfig,
])
export type AzureLogin = v.InferOutput<typeof azureLogin>

interface AzureLoginDeps extends Omit<AzureJsonDeps, 'onCertificate' | 'signing'> {
  readonly events: EventSink
  /** The provider's name, for events. */
  readonly provider: string
}

/** Microsoft Entra accepts a difference of five minutes. */
const TOLERANCE_MS = 240_000

const LOGINS: ByMethod<AzureLogin, AzureJsonDeps, LoginMethod> = {
  managedIdentity: createManagedIdentityLogin,
  workloadIdentity: createWorkloadIdentityLogin,
  clientCertificate: createClientCertificateLogin,
  clientSecret: createClientSecretLogin,
  azureJson: createAzureJsonLogin,
}

export function createAzureLogin(config: AzureLogin, given: AzureLoginDeps): LoginMethod {
  const { events, provider, clock } = given
  const service = 'Microsoft Entra'
  const deps: AzureJsonDeps = {
    ...given,
    signing: new SigningClock({ clock, events, provider, service, toleranceMs: TOLERANCE_MS }),
    onCertificate(life) {
      const near = isNearEnd(life, clock.now())
      events.emit({ type: 'certificate', provider, kind: 'client', notAfter: life.notAfter, near })
    },
  }
  return byMethod(LOGINS, config, deps)
}
