/** What Azure refuses to a login, and what is wrong before it is asked. */

import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import * as assert from 'uvu/assert'
import type { KmsError } from '../../../../src/base/errors.ts'
import type { AzureCloudName } from '../../../../src/services/azure/clouds.ts'
import type { FakeAzure } from '../../../_lib/services/azure/fake.ts'
import {
  application,
  assertDiscreet,
  loginSetup,
  makeCertificate,
  type PrepareLogin,
  refusalOf,
  secretLogin,
} from '../../../_lib/services/azure/login.ts'
import type { TempFolder } from '../../../_lib/temp_folder.ts'
import { rejection, suite } from '../../../_lib/uvu.ts'

const HOUR_MS = 3_600_000
const MINUTE_MS = 60_000
const openssl = promisify(execFile)

const test = suite('services/azure/login/refusals', () => ({}))

async function certificateLogin(azure: FakeAzure, folder: TempFolder) {
  const certFile = await makeCertificate(azure, folder)
  return { method: 'clientCertificate', ...application(azure), certFile }
}

test('what Entra refuses is said by its number and what to do', async () => {
  await using secret = await loginSetup(async (azure, folder) => {
    const login = await secretLogin(azure, folder)
    azure.tokens.secret = 'planted~of-somebody'
    return login
  })
  await using tenant = await loginSetup(async (azure, folder) => ({
    ...(await secretLogin(azure, folder)),
    tenantId: 'other.example',
  }))
  await using unknown = await loginSetup(async (azure, folder) => ({
    ...(await secretLogin(azure, folder)),
    clientId: 'another',
  }))
  await using certificate = await loginSetup(async (azure, folder) => {
    const certFile = await makeCertificate(azure, folder)
    await makeCertificate(azure, folder, 'another')
    return { method: 'clientCertificate', ...application(azure), certFile }
  })
  await using federated = await loginSetup(async (azure, folder) => {
    await writeFile(folder.at('jwt'), 'eyJ0.planted-wrong.token')
    return { method: 'workloadIdentity', ...application(azure), tokenFile: folder.at('jwt') }
  })

  assert.match(await refusalOf(secret), /\(401, AADSTS7000215\): the client secret is wrong/)
  assert.match(await refusalOf(tenant), /\(400, AADSTS90002\): there is no such tenant/)
  assert.match(await refusalOf(unknown), /\(400, AADSTS700016\): the tenant has no application/)
  assert.match(await refusalOf(certificate), /\(401, AADSTS700027\): the application does not know/)
  assert.match(await refusalOf(federated), /\(401, AADSTS700213\): no federated credential/)
})

test('refused credentials rest before they are tried again, changed ones do not', async () => {
  await using one = await loginSetup(async (azure, folder) => {
    const login = await secretLogin(azure, folder)
    await writeFile(folder.at('secret'), 'planted~wrong')
    return login
  })
  await refusalOf(one)
  await refusalOf(one)
  assert.is(one.azure.entra.received.length, 1)

  await writeFile(one.folder.at('secret'), one.azure.tokens.secret)

  await one.use()
  assert.is(one.azure.entra.received.length, 2)
})

test('a clock that is wrong is told, and the assertion signed with the time of the service', async () => {
  await using one = await loginSetup(certificateLogin)
  const served = one.azure.tokens.now()
  one.azure.tokens.now = () => served
  one.clock.wallOffset += 20 * MINUTE_MS

  await one.use()

  assert.is(one.azure.entra.received.length, 2)
  const notices = one.events.noticesOf('clock_skew')
  assert.is(notices.length, 1)
  assert.match(notices[0]?.message ?? '', /1200 s ahead of that of Microsoft Entra/)
  assert.ok(notices[0]?.message.includes(new Date(served).toISOString()))
})

test('an assertion that is refused without the time of the service is tried again once the clock is set', async () => {
  await using one = await loginSetup(certificateLogin)
  const served = one.azure.tokens.now()
  one.azure.tokens.now = () => served
  one.clock.wallOffset += 20 * MINUTE_MS
  const body = { error: 'invalid_client', error_codes: [700_024] }
  one.azure.entra.next({ status: 401, body, headers: { date: 'unknown' } })
  assert.match(await refusalOf(one), /AADSTS700024/)

  one.clock.wallOffset -= 20 * MINUTE_MS

  await one.use()
  assert.is(one.azure.entra.received.length, 2)
})

test('certificate files that cannot be used say why', async () => {
  const CASES: readonly (readonly [
    (path: string, folder: TempFolder) => Promise<string>,
    RegExp,
  ])[] = [
    [
      async (path) => await Promise.resolve(`${path}-absent`),
      /cannot be read: there is no such file or folder/,
    ],
    [
      async (path, folder) => {
        const out = folder.at('client.pfx')
        await openssl('openssl', [
          'pkcs12',
          '-export',
          '-in',
          path,
          '-out',
          out,
          '-passout',
          'pass:',
        ])
        return out
      },
      /PKCS#12 \(\.pfx, \.p12\) is not supported: convert it with "openssl pkcs12 /,
    ],
    [async (_, folder) => await Promise.resolve(folder.at('client.crt')), /unencrypted key/],
  ]
  for (const [damage, why] of CASES) {
    await using one = await loginSetup(async (azure, folder) => ({
      method: 'clientCertificate',
      ...application(azure),
      certFile: await damage(await makeCertificate(azure, folder), folder),
    }))
    assert.match(await refusalOf(one), why)
    assert.is(one.azure.entra.received.length, 0)
  }
})

test('a certificate needs an RSA key, its own one, and time', async () => {
  const ec = ['ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1']
  await using curve = await loginSetup(async (azure, folder) => ({
    method: 'clientCertificate',
    ...application(azure),
    certFile: await makeCertificate(azure, folder, 'client', ec),
  }))
  await using other = await loginSetup(async (azure, folder) => {
    await makeCertificate(azure, folder, 'other')
    const certFile = await makeCertificate(azure, folder)
    const keyFile = folder.at('other.key')
    return { method: 'clientCertificate', ...application(azure), certFile, keyFile }
  })
  await using old = await loginSetup(certificateLogin)
  old.clock.wallOffset += 40_000 * 24 * HOUR_MS

  assert.match(await refusalOf(curve), /has no RSA key of 2048 bits or more/)
  assert.match(await refusalOf(other), /is not the key of certFile/)
  assert.match(await refusalOf(old), /has expired: make a new one and upload it/)
  const [told] = old.events.of('certificate')
  assert.equal([told?.kind, told?.near], ['client', true])
})

test('a machine without the identity is told so, and not asked again at once', async () => {
  await using one = await loginSetup(() => ({ method: 'managedIdentity', clientId: 'nobody' }))

  assert.match(await refusalOf(one), /this machine has no such managed identity; assign it/)
  await refusalOf(one)
  assert.is(one.azure.metadata.received.length, 1)
})

for (const body of [
  '{"access_token":"planted\\r\\nheader: x","expires_in":3600}',
  '{"access_token":"planted","expires_in":1e999}',
]) {
  test(`a token answer ${body} is protocol`, async () => {
    await using one = await loginSetup(secretLogin)
    one.azure.entra.next({ status: 200, body })

    const error = (await rejection(one.use())) as KmsError

    assert.is(error.code, 'protocol')
    assert.match(error.message, /answered an unexpected body at (?:access_token|expires_in)$/)
  })
}

test('an answer that is not of Entra is an outage, not a refusal', async () => {
  for (const body of ['<html>planted</html>', { error: { code: 'planted' } }]) {
    await using one = await loginSetup(secretLogin)
    one.azure.entra.next({ status: 403, body })

    const error = (await rejection(one.use())) as KmsError

    assert.is(error.code, 'unavailable')
    assert.match(error.message, /not in the words of Microsoft Entra/)
    assertDiscreet(one, error)
  }
})

test('an azure.json that cannot be used says why', async () => {
  const CASES: readonly (readonly [content: string, why: RegExp, cloud?: AzureCloudName])[] = [
    ['{"cloud":"AzureChinaCloud"}', /is of another cloud: set cloud, which is "public" now/],
    ['{"cloud":"AzurePublicCloud"}', /is of another cloud/, 'usGovernment'],
    ['{}', /names neither a managed identity nor tenantId and aadClientId/],
    ['{"tenantId":"t","aadClientId":"c"}', /has no aadClientSecret, aadClientCertPath or managed/],
    [
      '{"tenantId":5,"aadClientSecret":"planted"}',
      /is no JSON of the cloud provider: wrong at tena/,
    ],
    ['planted', /is no JSON of the cloud provider/],
  ]
  for (const [content, why, cloud] of CASES) {
    const prepare: PrepareLogin = async (_, folder) => {
      await writeFile(folder.at('azure.json'), content)
      return { method: 'azureJson', file: folder.at('azure.json') }
    }
    await using one = await loginSetup(prepare, { ...(cloud === undefined ? {} : { cloud }) })

    assert.match(await refusalOf(one), why)
    assert.is(one.azure.entra.received.length + one.azure.metadata.received.length, 0)
  }
})

test.run()
