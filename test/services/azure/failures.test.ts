/** Everything that Azure can answer but a result, on demand of a strict fake. */

import { Buffer } from 'node:buffer'
import { inspect } from 'node:util'
import * as assert from 'uvu/assert'
import { KmsError, type KmsErrorCode } from '../../../src/base/errors.ts'
import type { Call } from '../../../src/base/provider.ts'
import type { Reply } from '../../_lib/services/azure/fake/http.ts'
import { failure } from '../../_lib/services/azure/fake/keys.ts'
import { issue } from '../../_lib/services/azure/fake/tokens.ts'
import { type AzureSetup, azureSetup } from '../../_lib/services/azure/setup.ts'
import { rejection, suite } from '../../_lib/uvu.ts'

const ITEM = { plaintext: Buffer.from('planted-plaintext'), associatedData: Buffer.alloc(32, 9) }

const test = suite('services/azure/failures', () => ({}))

function versionOf({ azure }: AzureSetup): string {
  return azure.state.versions.at(-1)?.id ?? ''
}

async function wrap(one: AzureSetup): Promise<KmsError | 'ok'> {
  const work = (call: Call) => one.provider.wrap(versionOf(one), [ITEM], call)
  const [outcome] = await one.limited(work)
  assert.ok(outcome)
  return outcome.ok ? 'ok' : outcome.error
}

async function keyState(one: AzureSetup): Promise<KmsError> {
  const error = await rejection(one.limited((call) => one.provider.keyState(call)))
  assert.instance(error, KmsError)
  return error as KmsError
}

/** Nothing that the service or the operator keeps to himself, in words, stack or causes. */
function assertDiscreet(one: AzureSetup, error: unknown): void {
  const said = inspect(error, { depth: 9 })
  const { tokens } = one.azure
  for (const secret of ['planted', tokens.secret, ...tokens.issued.keys()]) {
    assert.not.ok(said.includes(secret), `says ${secret}: ${said}`)
  }
}

const HTML = '<html>planted-remote-words</html>'
const REPLIES: readonly (readonly [reply: Reply, code: KmsErrorCode, message: RegExp])[] = [
  [failure(403, 'Forbidden', 'planted', 'ForbiddenByFirewall'), 'unavailable', /firewall/],
  [failure(403, 'Forbidden', 'planted', 'ForbiddenByConnection'), 'unavailable', /private/],
  [failure(403, 'Forbidden', 'planted', 'KeyDisabled'), 'key_unavailable', /enable it/],
  [
    failure(403, 'Forbidden', 'Operation is not allowed on a disabled key planted.'),
    'key_unavailable',
    /enable it/,
  ],
  [failure(403, 'Forbidden', 'planted', 'KeyExpired'), 'key_unavailable', /expired/],
  [failure(403, 'Forbidden', 'planted', 'KeyNotYetValid'), 'key_unavailable', /not valid yet/],
  [failure(403, 'Forbidden', 'planted', 'KeyOperationForbidden'), 'key_unavailable', /operations/],
  [
    failure(409, 'Conflict', 'planted', 'ObjectIsDeletedButRecoverable'),
    'key_unavailable',
    /recover/,
  ],
  [failure(404, 'KeyNotFound', 'planted'), 'key_unavailable', /no such key version/],
  [failure(400, 'BadParameter', 'planted'), 'protocol', /type and size of the key/],
  [failure(418, 'Teapot', 'planted'), 'protocol', /wanted 200/],
  [{ status: 403, body: HTML }, 'unavailable', /proxy or gateway/],
  [{ status: 404, body: HTML }, 'unavailable', /proxy or gateway/],
  [{ status: 302, body: '', headers: { location: 'http://evil' } }, 'unavailable', /proxy/],
  [{ status: 200, body: HTML }, 'unavailable', /other than JSON/],
  [{ status: 200, body: { kid: 'planted', value: 'AAAA' } }, 'protocol', /another key/],
  [{ status: 200, body: { kid: 1, value: 'planted' } }, 'protocol', /unexpected body at kid/],
]

for (const [reply, code, message] of REPLIES) {
  test(`${reply.status} ${JSON.stringify(reply.body).slice(0, 90)} is ${code}`, async () => {
    await using one = await azureSetup()
    one.azure.keys.next(reply)

    const error = await wrap(one)

    assert.instance(error, KmsError)
    assert.is((error as KmsError).code, code)
    assert.match((error as KmsError).message, message)
    assertDiscreet(one, error)
    assert.is(one.azure.keys.received.length, 1, 'it is not tried again')
  })
}

for (const [permission, missing] of [
  ['list', 'keys/list'],
  ['get', 'keys/get'],
  ['encrypt', 'keys/encrypt'],
] as const) {
  test(`without the permission ${missing} it says so after one fresh login`, async () => {
    await using one = await azureSetup()
    one.azure.state.permissions.delete(permission)

    const error = permission === 'encrypt' ? await wrap(one) : await keyState(one)

    assert.is((error as KmsError).code, 'denied')
    assert.match((error as KmsError).message, `needs the permission ${missing}: give its identity`)
    assert.match((error as KmsError).message, 'role "Key Vault Crypto User" on key k8s-etcd')
    assert.is(one.azure.entra.received.length, 2)
    assertDiscreet(one, error)
  })
}

test('a role of a managed HSM is called by its own name', async () => {
  await using one = await azureSetup({ hsm: true })
  one.azure.state.permissions.clear()

  const error = await keyState(one)

  assert.match(error.message, 'role "Managed HSM Crypto User" on /keys/k8s-etcd of managed HSM')
})

for (const hsm of [false, true]) {
  test(`tokens that die make one login for all requests of a ${hsm ? 'managed HSM' : 'vault'}`, async () => {
    await using one = await azureSetup({ hsm })
    await wrap(one)
    one.azure.revokeTokens()

    const outcomes = await Promise.all(Array.from({ length: 20 }, () => wrap(one)))

    assert.equal([...new Set(outcomes)], ['ok'])
    assert.is(one.azure.entra.received.length, 2)
    assert.is(one.azure.metadata.received.length, 0)
  })
}

test('a token of another tenant or for another service is explained', async () => {
  for (const [change, message] of [
    [{ tenantId: 'another' }, /of another tenant than the vault's: check login.tenantId/],
    [{ audience: 'https://another' }, /for another service: check cloud/],
  ] as const) {
    await using one = await azureSetup()
    const { issued } = one.azure.tokens
    const token = issue(one.azure.tokens)
    issued.set(token, { ...(issued.get(token) ?? fail()), ...change })
    const body = { access_token: token, expires_in: 3600 }
    one.azure.entra.next({ status: 200, body }, 2)

    const error = await keyState(one)

    assert.is(error.code, 'denied')
    assert.match(error.message, message)
    assertDiscreet(one, error)
  }
})

test('a rate limit is waited out while there is time', async () => {
  await using one = await azureSetup()
  one.azure.keys.next({ ...failure(429, 'Throttled', 'planted'), headers: { 'retry-after': '0' } })
  one.azure.keys.next(failure(503, 'Unavailable', 'planted'))

  assert.is(await wrap(one), 'ok')
  assert.is(one.azure.keys.received.length, 3)
})

test('a rate limit longer than the time is told at once', async () => {
  await using one = await azureSetup()
  one.azure.keys.next({ ...failure(429, 'Throttled', 'planted'), headers: { 'retry-after': '30' } })

  const error = await wrap(one)

  assert.is((error as KmsError).code, 'throttled')
  assert.is(one.azure.keys.received.length, 1)
  assertDiscreet(one, error)
})

test('a service that fails again and again is unavailable before the time is over', async () => {
  await using one = await azureSetup({ limitMs: 1_500 })
  one.azure.keys.next({ status: 500, body: HTML }, 9)

  const error = await wrap(one)

  assert.is((error as KmsError).code, 'unavailable')
  assert.ok(one.azure.keys.received.length >= 2)
})

test('a request that hangs ends with its call', async () => {
  await using one = await azureSetup({ limitMs: 1_000 })
  one.azure.keys.next('hang')

  const error = await rejection(wrap(one))

  assert.is((error as KmsError).code, 'timeout')
})

test('a deleted key is to be recovered, and one that never was is unknown', async () => {
  await using one = await azureSetup()
  one.azure.state.deleted = true
  const deleted = await keyState(one)
  one.azure.state.deleted = false
  one.azure.state.versions = []
  const absent = await keyState(one)

  assert.is(deleted.code, 'key_unavailable')
  assert.match(deleted.message, 'is deleted: recover it before it is purged')
  assert.is(absent.code, 'key_unknown')
})

function fail(): never {
  throw new Error('The fake has no such token')
}

test.run()
