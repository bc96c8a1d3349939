/** Every login to Azure from its file to its expiry, over strict fakes and a clock that tests drive. */

import { writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import type { KmsError } from '../../../../src/base/errors.ts'
import type { FakeAzure } from '../../../_lib/services/azure/fake.ts'
import {
  application,
  assertDiscreet,
  ending,
  loginSetup,
  makeCertificate,
  type PrepareLogin,
  secretLogin,
} from '../../../_lib/services/azure/login.ts'
import type { TempFolder } from '../../../_lib/temp_folder.ts'
import { suite } from '../../../_lib/uvu.ts'
import { until } from '../../../_lib/wait.ts'

const HOUR_MS = 3_600_000
const SECOND_MS = 1_000
const OUTAGE = { status: 503, body: 'planted' }

const test = suite('services/azure/login/logins', () => ({}))

const azureJson =
  (content: (azure: FakeAzure, folder: TempFolder) => object | Promise<object>): PrepareLogin =>
  async (azure, folder) => {
    const json = { resourceGroup: 'unused', ...(await content(azure, folder)) }
    await writeFile(folder.at('azure.json'), JSON.stringify(json))
    return { method: 'azureJson', file: folder.at('azure.json') }
  }

async function jsonApplication({ tokens }: FakeAzure) {
  return await Promise.resolve({ tenantId: tokens.tenantId, aadClientId: tokens.clientId })
}

const LOGINS: Readonly<Record<string, PrepareLogin>> = {
  clientSecret: secretLogin,
  clientCertificate: async (azure, folder) => ({
    method: 'clientCertificate',
    ...application(azure),
    certFile: await makeCertificate(azure, folder),
  }),
  workloadIdentity: async (azure, folder) => {
    azure.tokens.federatedToken = 'eyJ0.planted-federated.token'
    await writeFile(folder.at('jwt'), azure.tokens.federatedToken)
    return { method: 'workloadIdentity', ...application(azure), tokenFile: folder.at('jwt') }
  },
  'managedIdentity of the machine': () => ({ method: 'managedIdentity' }),
  'managedIdentity by client id': ({ tokens }) => {
    tokens.identities = ['user-assigned']
    return { method: 'managedIdentity', clientId: 'user-assigned' }
  },
  'managedIdentity by resource id': ({ tokens }) => {
    const resourceId =
      '/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i'
    tokens.identities = [resourceId]
    return { method: 'managedIdentity', resourceId }
  },
  'azureJson with a secret': azureJson(async (azure) => ({
    ...(await jsonApplication(azure)),
    cloud: 'AzurePublicCloud',
    aadClientSecret: azure.tokens.secret,
    useManagedIdentityExtension: false,
    userAssignedIdentityID: '',
  })),
  'azureJson with a managed identity': azureJson(() => ({
    useManagedIdentityExtension: true,
    aadClientId: 'msi',
    aadClientSecret: 'msi',
  })),
  'azureJson with a user-assigned identity': azureJson(({ tokens }) => {
    tokens.identities = ['user-assigned']
    return { useManagedIdentityExtension: true, userAssignedIdentityID: 'user-assigned' }
  }),
  'azureJson with a certificate': azureJson(async (azure, folder) => ({
    ...(await jsonApplication(azure)),
    aadClientCertPath: await makeCertificate(azure, folder),
  })),
  'azureJson with workload identity': azureJson(async (azure, folder) => {
    azure.tokens.federatedToken = 'eyJ0.planted-federated.token'
    await writeFile(folder.at('jwt'), azure.tokens.federatedToken)
    return {
      ...(await jsonApplication(azure)),
      useFederatedWorkloadIdentityExtension: true,
      aadFederatedTokenFile: folder.at('jwt'),
    }
  }),
}

for (const [name, prepare] of Object.entries(LOGINS)) {
  test(`${name}: a token is replaced ahead of its end, kept while that fails, and then the failure is told`, async () => {
    await using one = await loginSetup(prepare)
    const { azure, clock, events, use, logins } = one
    const server =
      name.includes('dentity') && !name.includes('orkload') ? azure.metadata : azure.entra

    const first = await use()
    await clock.advance(0.65 * HOUR_MS)
    assert.is(await use(), first, 'not replaced too early')
    await clock.advance(0.1 * HOUR_MS)
    await until('a second login', () => logins() === 2)
    const second = await use()
    assert.is.not(second, first, 'replaced ahead of its end')

    server.next(OUTAGE, 10_000)
    await clock.advance(0.75 * HOUR_MS)
    await until('a failed login', async () => {
      await clock.advance(SECOND_MS)
      return events.of('token').some(({ code }) => code === 'unavailable')
    })
    assert.is(await use(), second, 'kept while it cannot be replaced')
    await clock.advance(0.25 * HOUR_MS)
    const ended = ending(use())
    await until('the end', async () => {
      await clock.advance(SECOND_MS)
      return ended.error !== undefined
    })

    const error = ended.error as KmsError
    assert.is(error.code, 'unavailable')
    assert.match(error.message, /answered 503: it does not serve now/)
    assertDiscreet(one, error)
    const unused = server === azure.entra ? azure.metadata : azure.entra
    assert.is(unused.received.length, 0, 'nobody else is asked')
  })
}

test('a secret, a token and a certificate that change are taken up by the next login', async () => {
  await using secret = await loginSetup(LOGINS['clientSecret'] ?? missing)
  await using jwt = await loginSetup(LOGINS['workloadIdentity'] ?? missing)
  await using certificate = await loginSetup(LOGINS['clientCertificate'] ?? missing)
  for (const { use } of [secret, jwt, certificate]) await use()

  secret.azure.tokens.secret = 'planted~another'
  await writeFile(secret.folder.at('secret'), 'planted~another')
  jwt.azure.tokens.federatedToken = 'eyJ0.planted-other.token'
  await writeFile(jwt.folder.at('jwt'), 'eyJ0.planted-other.token')
  await makeCertificate(certificate.azure, certificate.folder)
  for (const { azure } of [secret, jwt, certificate]) azure.tokens.issued.clear()

  for (const { use, logins } of [secret, jwt, certificate]) {
    await use()
    assert.is(logins(), 2)
  }
})

test('the metadata service is asked as its page says, and asked again while it is updated', async () => {
  await using one = await loginSetup(() => ({ method: 'managedIdentity' }), { limitMs: 2_500 })
  const { metadata } = one.azure
  for (const status of [404, 410, 429, 500]) metadata.next({ status, body: 'planted' })

  await until('a token', async () => {
    const used = ending(one.use())
    await until('an end', async () => {
      await one.clock.advance(100)
      return used.error !== undefined || one.logins() > 0
    })
    return one.logins() > 0
  })

  assert.ok(metadata.received.length >= 5)
  const { path, query, headers } = metadata.received[0] ?? {}
  assert.is(path, '/metadata/identity/oauth2/token')
  assert.is(headers?.['metadata'], 'true')
  assert.is(String(query), 'api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net')
})

function missing(): never {
  throw new Error('No such login')
}

test.run()
