/**
 * Logins to a real OpenBao while something else answers in its place: the credentials are then not
 * to blame.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { withinLimit } from '../../../src/base/call.ts'
import { systemClock } from '../../../src/base/clock.ts'
import type { KmsError } from '../../../src/base/errors.ts'
import { vaultConfig } from '../../../src/services/vault/config.ts'
import { createVaultProvider } from '../../../src/services/vault/provider.ts'
import { RecordedEvents } from '../../_lib/events.ts'
import { startLyingProxy, type Told } from '../../_lib/remote/lying_proxy.ts'
import { startOpenBao } from '../../_lib/services/vault/openbao.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { rejection, suite } from '../../_lib/uvu.ts'
import { until } from '../../_lib/wait.ts'

const LIMIT_MS = 5_000
const ITEM = { plaintext: Buffer.from('plaintext'), associatedData: Buffer.alloc(32) }
const PAGE = '<html>400 The plain HTTP request was sent to HTTPS port</html>'
const LOGIN_PAGE = { location: 'https://login.example/?rd=/v1/auth/approle/login' }
const FOREIGN: readonly Told[] = [
  ...[400, 401, 403, 404, 405, 406, 421].map((status) => ({ status, body: PAGE })),
  { status: 400, body: 'Client sent an HTTP request to an HTTPS server.\n' },
  { status: 400, body: '{"message":"no such upstream"}' },
  { status: 200, body: PAGE },
  { status: 302, body: PAGE, headers: LOGIN_PAGE },
  { status: 303, body: PAGE, headers: LOGIN_PAGE },
]

const test = suite('services/vault/foreign on OpenBao', () => ({}))

test('a login that somebody in between answers is unavailable, and the next one goes through at once', async () => {
  await using one = await setup()

  for (const told of FOREIGN) {
    const what = `${told.status} ${told.body.slice(0, 40)}`
    one.liar.lie = (true_, { path }) => (path.endsWith('/login') ? told : true_)
    await using provider = one.provider()
    const error = (await rejection(provider.wrap())) as KmsError

    assert.is(error.code, 'unavailable', `${what}: ${error.message}`)
    assert.match(
      error.message,
      /not in the words of Vault|it speaks TLS there|something other than JSON|as a login page or a gateway does/,
      what,
    )
    assert.not.match(error.message, /credentials|lock/, what)
    one.liar.lie = undefined
    assert.is((await provider.wrap())[0]?.ok, true, what)
  }
})

test('a renewal that somebody in between answers does not end the token', async () => {
  await using one = await setup({ tokenTtl: '6s' })
  await using provider = one.provider()
  assert.is((await provider.wrap())[0]?.ok, true)
  let renewals = 0
  one.liar.lie = (told, { path }) => {
    if (!path.endsWith('renew-self')) return told
    renewals += 1
    return renewals === 1 ? { status: 400, body: PAGE } : told
  }

  await until('the renewal is tried again', () => renewals >= 2)
  assert.is((await provider.wrap())[0]?.ok, true)
  assert.is(provider.events.of('token').filter(({ action }) => action === 'login').length, 1)
})

for (const [what, change] of [
  [
    'a token with a line end',
    (text: string) => text.replace(/("client_token":")/, '$1planted\\r\\n'),
  ],
  ['an empty token', (text: string) => text.replace(/"client_token":"[^"]+"/, '"client_token":""')],
  ['a life without an end', (text: string) => text.replace(/("lease_duration":)\d+/g, '$11e999')],
  ['a life before its start', (text: string) => text.replace(/("lease_duration":)\d+/g, '$1-1')],
] as const) {
  test(`a login that answers ${what} is protocol`, async () => {
    await using one = await setup()
    await using provider = one.provider()
    one.liar.lie = (told, { path }) =>
      path.endsWith('/login') ? { ...told, body: change(told.body) } : told

    const error = (await rejection(provider.wrap())) as KmsError

    assert.is(error.code, 'protocol')
    assert.not.match(error.message, /planted/)
    one.liar.lie = undefined
    assert.is((await provider.wrap())[0]?.ok, true)
  })
}

test('a refusal of the service itself is still one of the credentials', async () => {
  await using one = await setup()
  await one.transit.destroySecretId()
  await using provider = one.provider()

  const error = (await rejection(provider.wrap())) as KmsError

  assert.is(error.code, 'denied')
  assert.match(
    error.message,
    /Login at auth\/approle\/login was refused \(400\): invalid role or secret ID: check the files/,
  )
})

async function setup(options: { readonly tokenTtl?: string } = {}) {
  const folder = await tempFolder()
  const bao = await startOpenBao()
  const transit = await bao.setupTransit({ folder: folder.path, ...options })
  const liar = await startLyingProxy(() => bao.address)
  const fields = { name: 'v', type: 'vault', allowInsecureHttp: true, ...transit.provider }
  const config = v.parse(vaultConfig, { ...fields, address: liar.address })
  return {
    transit,
    liar,
    provider() {
      const events = new RecordedEvents()
      const deps = { clock: systemClock, events, requestTimeoutMs: LIMIT_MS }
      const provider = createVaultProvider(config, deps)
      return {
        events,
        wrap: () => withinLimit(systemClock, LIMIT_MS, (call) => provider.wrap('1', [ITEM], call)),
        [Symbol.asyncDispose]: () => provider.close(),
      }
    },
    async [Symbol.asyncDispose]() {
      await liar[Symbol.asyncDispose]()
      await bao[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

test.run()
