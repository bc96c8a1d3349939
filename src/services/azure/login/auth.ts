/** All logins to Azure by their method, in one literal table that the compiler checks. @module */

import * as v from 'valibot'
import type { EventSink } from '../../../base/events.ts'
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

export interface AzureLoginDeps extends Omit<AzureJsonDeps, 'onCertificate' | 'signing'> {
  readonly events: EventSink
  /** The provider's name, for events. */
  readonly provider: string
}

/** Microsoft Entra accepts a difference of five minutes. */
const TOLERANCE_MS = 240_000
const DAY_MS = 86_400_000
/** A certificate is near its end two weeks before it, or in the last tenth of a short life. */
const NEAR_MS = 14 * DAY_MS
const NEAR_PART = 0.1

export function createAzureLogin(config: AzureLogin, given: AzureLoginDeps): LoginMethod {
  const { events, provider, clock } = given
  const service = 'Microsoft Entra'
  const deps: AzureJsonDeps = {
    ...given,
    signing: new SigningClock({ clock, events, provider, service, toleranceMs: TOLERANCE_MS }),
    onCertificate({ notBefore, notAfter }) {
      const near = notAfter - clock.now() < Math.min(NEAR_MS, (notAfter - notBefore) * NEAR_PART)
      events.emit({ type: 'certificate', provider, kind: 'client', notAfter, near })
    },
  }
  switch (config.method) {
    case 'managedIdentity':
      return createManagedIdentityLogin(config, deps)
    case 'workloadIdentity':
      return createWorkloadIdentityLogin(config, deps)
    case 'clientCertificate':
      return createClientCertificateLogin(config, deps)
    case 'clientSecret':
      return createClientSecretLogin(config, deps)
    case 'azureJson':
      return createAzureJsonLogin(config, deps)
  }
}
