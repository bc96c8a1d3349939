/** Fakes of the key services that count what comes to the key, logins apart, and fail when told. @module */

import * as v from 'valibot'
import { type Clock, systemClock } from '../../src/base/clock.ts'
import type { Provider } from '../../src/base/provider.ts'
import { awsKmsConfig } from '../../src/services/aws/config.ts'
import { createAwsKmsProvider } from '../../src/services/aws/provider.ts'
import { vaultConfig } from '../../src/services/vault/config.ts'
import { createVaultProvider } from '../../src/services/vault/provider.ts'
import { RecordedEvents } from '../_lib/events.ts'
import { FakeAws, REGION } from '../_lib/services/aws/fake.ts'
import { failure as azureFailure } from '../_lib/services/azure/fake/keys.ts'
import { azureSetup } from '../_lib/services/azure/setup.ts'
import { failure as googleFailure } from '../_lib/services/google/fake/reply.ts'
import { googleSetup } from '../_lib/services/google/setup.ts'
import { type Fault, internalError, rateLimited } from '../_lib/services/vault/fake/faults.ts'
import { startFakeVault } from '../_lib/services/vault/fake.ts'
import { tempFolder } from '../_lib/temp_folder.ts'

export const LIMIT_MS = 2_500
/** Longer than any pause between two attempts, shorter than whatever gives up. */
const LONGEST_PAUSE_MS = 900

/** How a key service answers every Encrypt. */
export type Trouble = 'limited' | 'failing' | 'denied' | 'refused'

export interface CountedService extends AsyncDisposable {
  readonly provider: Provider
  requests(): number
  answer(trouble: Trouble): void
}

/**
 * Pauses are as long as ever, and no time passes meanwhile: so nothing gives up, and a slow
 * machine counts what a fast one does.
 */
export const patientClock: Clock = {
  ...systemClock,
  monotonic: () => 0,
  after: (ms, run) => (ms > LONGEST_PAUSE_MS ? () => undefined : systemClock.after(ms, run)),
}

const deps = () => ({
  clock: patientClock,
  events: new RecordedEvents(),
  requestTimeoutMs: LIMIT_MS,
})

const json = (status: number, ...errors: string[]): Fault => ({ kind: 'answer', status, errors })

export async function countedVault(nodes = 1): Promise<CountedService> {
  const folder = await tempFolder()
  const vault = await startFakeVault({ nodes })
  const approle = await vault.setupApprole(folder.path)
  const { address: _, ...fields } = approle.provider
  const base = { name: 'vault', type: 'vault', allowInsecureHttp: true }
  const config = v.parse(vaultConfig, { ...base, ...fields, addresses: vault.addresses })
  const provider = createVaultProvider(config, deps())
  const faults: Readonly<Record<Trouble, Fault>> = {
    limited: rateLimited('transit/encrypt'),
    failing: internalError(),
    denied: json(403, '1 error occurred:\n\t* permission denied\n\n'),
    refused: json(400, 'encryption key not found'),
  }
  return {
    provider,
    requests: () =>
      vault.nodes.flatMap((node) => node.requests).filter(({ path }) => !path.startsWith('auth/'))
        .length,
    answer(trouble) {
      for (const node of vault.nodes) node.fault(faults[trouble], { path: 'transit/encrypt' })
    },
    async [Symbol.asyncDispose]() {
      await provider.close()
      await vault[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

export async function countedAws(): Promise<CountedService> {
  const fake = await FakeAws.start()
  const user = fake.principals.user()
  const config = v.parse(awsKmsConfig, {
    name: 'aws',
    type: 'awskms',
    key: fake.keys.make({ multiRegion: false }).arn,
    region: REGION,
    endpoint: fake.address,
    allowInsecureHttp: true,
    credentials: { source: 'environment' },
  })
  const provider = createAwsKmsProvider(config, {
    ...deps(),
    environment: {
      AWS_ACCESS_KEY_ID: user.accessKeyId,
      AWS_SECRET_ACCESS_KEY: user.secretAccessKey,
    },
  })
  const faults = {
    limited: { status: 400, type: 'ThrottlingException' },
    failing: { status: 500, type: 'KMSInternalException' },
    denied: { status: 400, type: 'UnrecognizedClientException' },
    refused: { status: 400, type: 'InvalidKeyUsageException' },
  } as const satisfies Record<Trouble, object>
  return {
    provider,
    requests: () => fake.actions('kms').length,
    answer: (trouble) => void fake.fail({ service: 'kms', action: 'Encrypt', ...faults[trouble] }),
    async [Symbol.asyncDispose]() {
      await provider.close()
      await fake[Symbol.asyncDispose]()
    },
  }
}

export async function countedAzure(): Promise<CountedService> {
  const one = await azureSetup({ clock: patientClock, limitMs: LIMIT_MS })
  const { keys } = one.azure
  const replies = {
    limited: azureFailure(429, 'Throttled', 'planted'),
    failing: azureFailure(500, 'InternalServerError', 'planted'),
    denied: azureFailure(401, 'Unauthorized', 'planted'),
    refused: azureFailure(400, 'BadParameter', 'planted'),
  } as const satisfies Record<Trouble, object>
  return {
    provider: one.provider,
    requests: () => keys.received.length,
    answer: (trouble) => keys.next(replies[trouble], 100),
    [Symbol.asyncDispose]: () => one[Symbol.asyncDispose](),
  }
}

export async function countedGoogle(): Promise<CountedService> {
  const one = await googleSetup({ clock: patientClock, limitMs: LIMIT_MS })
  const replies = {
    limited: googleFailure(429, 'RESOURCE_EXHAUSTED', 'planted'),
    failing: googleFailure(500, 'INTERNAL', 'planted'),
    denied: googleFailure(401, 'UNAUTHENTICATED', 'planted'),
    refused: googleFailure(400, 'INVALID_ARGUMENT', 'planted'),
  } as const satisfies Record<Trouble, object>
  return {
    provider: one.provider,
    requests: () => one.google.count(/^\/v1\/projects\//),
    answer: (trouble) => one.google.fail(/:encrypt$/, replies[trouble]),
    [Symbol.asyncDispose]: () => one[Symbol.asyncDispose](),
  }
}
