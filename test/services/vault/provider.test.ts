/** How a service can answer or fail, on a fake that does exactly what the test says. @module */

import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { withinLimit } from '../../../src/base/call.ts'
import { systemClock } from '../../../src/base/clock.ts'
import { KmsError } from '../../../src/base/errors.ts'
import type { Call, Outcome } from '../../../src/base/provider.ts'
import { vaultConfig } from '../../../src/services/vault/config.ts'
import { createVaultProvider } from '../../../src/services/vault/provider.ts'
import { RecordedEvents } from '../../_lib/events.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { rejection, suite } from '../../_lib/uvu.ts'

const PLANTED = 'planted-secret'
const ITEM = { plaintext: Buffer.from(`${PLANTED}-plaintext`), associatedData: Buffer.alloc(32, 9) }
const LIMIT_MS = 1_500

interface Received {
  readonly method: string
  readonly url: string
  readonly headers: IncomingMessage['headers']
  readonly body: Record<string, unknown>
}
type Answer = (request: Received, response: ServerResponse, socket: Socket) => void

const test = suite('services/vault/provider', () => ({}))

/** A server that answers as told, and a provider with a token file that speaks to it. */
async function setup(answer: Answer, change: Record<string, unknown> = {}) {
  const folder = await tempFolder()
  const received: Received[] = []
  const server = createServer(async (request, response) => {
    let text = ''
    for await (const chunk of request) text += String(chunk)
    const { method = '', url = '', headers, socket } = request
    const one = { method, url, headers, body: text === '' ? {} : JSON.parse(text) }
    received.push(one)
    if (url.endsWith('lookup-self')) json(response, 200, { data: { ttl: 0 } })
    else if (url.endsWith('wrapping/lookup')) json(response, 400, { errors: ['no such token'] })
    else answer(one, response, socket)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  await writeFile(folder.at('token'), `s.${PLANTED}-token\n`)
  const config = v.parse(vaultConfig, {
    name: 'v',
    type: 'vault',
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    allowInsecureHttp: true,
    key: 'k8s-etcd',
    auth: { method: 'token', tokenFile: folder.at('token') },
    ...change,
  })
  const events = new RecordedEvents()
  const provider = createVaultProvider(config, {
    clock: systemClock,
    events,
    requestTimeoutMs: LIMIT_MS,
  })
  return {
    folder,
    received,
    events,
    provider,
    limited: <T>(work: (call: Call) => Promise<T>) => withinLimit(systemClock, LIMIT_MS, work),
    async [Symbol.asyncDispose]() {
      await provider.close()
      server.closeAllConnections()
      server.close()
      await folder[Symbol.asyncDispose]()
    },
  }
}

function json(response: ServerResponse, status: number, body: unknown, headers = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers })
  response.end(JSON.stringify(body))
}

/** What a service that heeds associated data answers: it refuses the trial. */
function encrypted(...results: readonly object[]) {
  return { data: { batch_results: [...results, { error: 'illegal base64 data' }] } }
}

/** A ciphertext as long as one of ITEM is, and unlike every other. */
function sealed(version = 1): string {
  return `vault:v${version}:${randomBytes(ITEM.plaintext.length + 28).toString('base64')}`
}

function codeOf(outcome: Outcome<Uint8Array> | undefined): string {
  if (outcome === undefined) return 'missing'
  return outcome.ok ? 'ok' : outcome.error.code
}

test('wrap() names the version, binds the digest, keeps only the raw bytes, and says who it is', async () => {
  const ciphertext = sealed(3)
  const raw = Buffer.from(ciphertext.slice('vault:v3:'.length), 'base64')
  await using one = await setup(
    (_request, response) => json(response, 200, encrypted({ ciphertext })),
    { namespace: 'admin/team', mount: 'kv/transit' },
  )

  const [outcome] = await one.limited((call) => one.provider.wrap('3', [ITEM], call))

  assert.equal(outcome?.ok === true && Buffer.from(outcome.value), raw)
  const { method, url, headers, body } = one.received.at(-1) ?? {}
  assert.equal([method, url], ['POST', '/v1/kv/transit/encrypt/k8s-etcd'])
  assert.equal(
    [headers?.['x-vault-token'], headers?.['x-vault-namespace'], headers?.['x-vault-request']],
    [`s.${PLANTED}-token`, 'admin/team', 'true'],
  )
  const [{ reference, ...item }, { reference: _other, ...trial }] = (body?.['batch_input'] ?? [
    {},
    {},
  ]) as [Record<string, unknown>, Record<string, unknown>]
  assert.equal(item, {
    plaintext: ITEM.plaintext.toString('base64'),
    associated_data: ITEM.associatedData.toString('base64'),
    key_version: 3,
  })
  // Only who reads associated data finds it wrong.
  assert.equal(trial, { plaintext: 'AA==', key_version: 3, associated_data: '!' })
  assert.is(body?.['partial_failure_response_code'], 200)
  assert.match(String(reference), /^[0-9a-f]{8}0$/)
})

test('the id is of namespace, mount and key, never of the address or the name [R8]', async () => {
  await using one = await setup(() => undefined, { namespace: 'a/b' })
  await using two = await setup(() => undefined, { id: 'chosen' })

  await using three = await setup(() => undefined, { namespace: 'a/b/', mount: 'transit/' })

  assert.is(one.provider.id, 'vault:a/b/transit/k8s-etcd')
  assert.is(two.provider.id, 'chosen')
  assert.is(three.provider.id, one.provider.id, 'as the service prints them')
})

const STATUSES: readonly [status: number, code: string][] = [
  [400, 'protocol'],
  [401, 'denied'],
  [403, 'denied'],
  [404, 'key_unknown'],
  [405, 'protocol'],
  [412, 'unavailable'],
  [413, 'request_invalid'],
  [429, 'throttled'],
  [472, 'unavailable'],
  [473, 'unavailable'],
  [500, 'unavailable'],
  [502, 'unavailable'],
  [503, 'unavailable'],
]
for (const [status, code] of STATUSES) {
  test(`HTTP ${status} is ${code}, and the words of the service stay out [F6 F8]`, async () => {
    await using one = await setup((_request, response) =>
      json(response, status, { errors: [`${PLANTED}-body`] }),
    )

    const error = (await rejection(
      one.limited((call) => one.provider.wrap('1', [ITEM], call)),
    )) as KmsError

    assert.instance(error, KmsError)
    assert.is(error.code, code)
    const said = `${error.message} ${error.stack} ${JSON.stringify(one.events.all)}`
    assert.not.ok(said.includes(PLANTED))
  })
}

test('a redirect is not followed, so the token goes nowhere else', async () => {
  await using elsewhere = await setup((_request, response) => json(response, 200, {}))
  const origin = elsewhere.provider.describe().key.replace(/.* at /, '')
  await using one = await setup(({ url }, response) =>
    json(response, 307, {}, { location: `${origin}${url}` }),
  )

  const error = await rejection(one.limited((call) => one.provider.wrap('1', [ITEM], call)))

  assert.is((error as KmsError).code, 'unavailable')
  assert.match((error as KmsError).message, /standby that redirects/)
  assert.is(elsewhere.received.length, 0)
})

test('a redirect to a login page is not followed, and not taken for that of a standby', async () => {
  const location = `/login?next=${PLANTED}`
  await using one = await setup((_request, response) => json(response, 302, {}, { location }))

  const error = (await rejection(
    one.limited((call) => one.provider.wrap('1', [ITEM], call)),
  )) as KmsError

  assert.is(error.code, 'unavailable')
  assert.match(error.message, /answered 302 with a redirect to \S+, as a login page/)
  assert.not.match(error.message, PLANTED)
})

const BODIES: readonly [string, Answer, code?: string][] = [
  ['no JSON', (_request, response) => response.end(`<html>${PLANTED}`), 'unavailable'],
  ['nothing', (_request, response) => response.end(), 'unavailable'],
  [
    'another shape',
    (_request, response) => json(response, 200, { data: { batch_results: PLANTED } }),
  ],
  ['fewer results', (_request, response) => json(response, 200, { data: { batch_results: [] } })],
  ['more than the limit', (_request, response) => response.end(Buffer.alloc(5_000_000, 'x'))],
]
for (const [what, answer, code = 'protocol'] of BODIES) {
  test(`an answer of ${what} is ${code}`, async () => {
    await using one = await setup(answer)

    const error = (await rejection(
      one.limited((call) => one.provider.wrap('1', [ITEM], call)),
    )) as KmsError

    assert.is(error.code, code)
    assert.not.ok(`${error.message} ${String(error.cause)}`.includes(PLANTED))
  })
}

const RESULTS: readonly [string, object, string][] = [
  ['another version than asked', { ciphertext: sealed(2) }, 'protocol'],
  ['a zero before its version', { ciphertext: sealed().replace(':v1:', ':v01:') }, 'protocol'],
  ['a sign before its version', { ciphertext: sealed().replace(':v1:', ':v+1:') }, 'protocol'],
  ['no ciphertext', {}, 'protocol'],
  ['no base64', { ciphertext: sealed().replace(/v1:..../, 'v1:!!!!') }, 'protocol'],
  ['an unknown error', { error: PLANTED }, 'unavailable'],
  [
    'a version too high',
    { error: 'requested version for encryption is higher than the latest key version' },
    'key_unavailable',
  ],
  [
    'a version too low',
    { error: 'requested version for encryption is less than the minimum encryption key version' },
    'key_unavailable',
  ],
  [
    'a key type without AAD',
    { error: "'[0].associated_data' provided for non-AEAD cipher suite rsa-2048" },
    'key_unavailable',
  ],
]
for (const [what, result, code] of RESULTS) {
  test(`a wrap that came back with ${what} is ${code}`, async () => {
    await using one = await setup((_request, response) => json(response, 200, encrypted(result)))

    const [outcome] = await one.limited((call) => one.provider.wrap('1', [ITEM], call))

    assert.is(codeOf(outcome), code)
    assert.not.ok(JSON.stringify(outcome).includes(PLANTED))
  })
}

test('unwrap() lets the error decide, whatever the plaintext beside it says', async () => {
  const batch_results = [
    { plaintext: 'AAAA' },
    { plaintext: 'AAAA', error: 'cipher: message authentication failed' },
    { plaintext: '', error: 'ciphertext or signature version is disallowed by policy (too old)' },
    { plaintext: '', error: "missing 'context' for key derivation; the key was created so" },
  ]
  const refused = { plaintext: '', error: 'cipher: message authentication failed' }
  await using one = await setup((_request, response) =>
    // Each is also tried under other associated data, as long as the service was not seen to heed them.
    json(response, 400, {
      data: { batch_results: batch_results.flatMap((one) => [one, refused]) },
    }),
  )
  const item = { version: '1', bytes: Buffer.alloc(31), associatedData: ITEM.associatedData }

  const items = batch_results.map(() => item)
  const outcomes = await one.limited((call) => one.provider.unwrap(items, call))

  assert.equal(outcomes.map(codeOf), [
    'ok',
    'ciphertext_invalid',
    'key_unavailable',
    'key_unavailable',
  ])
})

test('300 items leave as batches of 128, with the trial in each', async () => {
  await using one = await setup(({ body }, response) => {
    const { length } = body['batch_input'] as unknown[]
    const results = Array.from({ length: length - 1 }, () => ({ ciphertext: sealed() }))
    json(response, 200, encrypted(...results))
  })

  const outcomes = await one.limited((call) =>
    one.provider.wrap(
      '1',
      Array.from({ length: 300 }, () => ITEM),
      call,
    ),
  )

  assert.is(outcomes.length, 300)
  const sizes = one.received
    .filter(({ url }) => url.includes('encrypt'))
    .map(({ body }) => (body['batch_input'] as unknown[]).length)
  assert.equal(
    sizes.sort((a, b) => a - b),
    [45, 129, 129],
  )
})

const HANGS: readonly [string, Answer][] = [
  ['never answers', () => undefined],
  [
    'stops in the middle of its headers',
    (_request, _response, socket) => socket.write('HTTP/1.1 200 OK\r\nX: '),
  ],
  [
    'stops in the middle of its body',
    (_request, response) => {
      response.writeHead(200, { 'content-length': 1_000 })
      response.write('{"data":')
    },
  ],
]
for (const [what, answer] of HANGS) {
  test(`a service that ${what} is given up at the limit [T15]`, async () => {
    await using one = await setup(answer)

    const error = await rejection(one.limited((call) => one.provider.wrap('1', [ITEM], call)))

    assert.is((error as KmsError).code, 'timeout')
  })
}

test('a connection that dies under a request is tried once more', async () => {
  let deaths = 1
  await using one = await setup((_request, response, socket) => {
    if (deaths > 0) {
      deaths -= 1
      socket.destroy()
    } else json(response, 200, encrypted({ ciphertext: sealed() }))
  })

  const [outcome] = await one.limited((call) => one.provider.wrap('1', [ITEM], call))
  assert.is(codeOf(outcome), 'ok')

  deaths = Number.POSITIVE_INFINITY
  const before = one.received.length
  const error = await rejection(one.limited((call) => one.provider.wrap('1', [ITEM], call)))
  assert.is((error as KmsError).code, 'unavailable')
  assert.is(one.received.length - before, 2)
})

test('nobody at the address is unavailable, with the address', async () => {
  await using one = await setup(() => undefined, { address: 'http://127.0.0.1:1' })

  const error = (await rejection(one.limited((call) => one.provider.keyState(call)))) as KmsError

  assert.is(error.code, 'unavailable')
  assert.match(error.message, /127\.0\.0\.1:1.*(?:refused|failed)/)
})

function key(change: object) {
  return {
    data: {
      type: 'aes256-gcm96',
      derived: false,
      supports_encryption: true,
      supports_decryption: true,
      keys: { '2': 1_800_000_000, '10': 1_800_000_600, '3': 1_800_000_300 },
      min_decryption_version: 2,
      min_encryption_version: 3,
      ...change,
    },
  }
}

test("keyState() sorts versions by number, says what each may do, and gives the service's time", async () => {
  const date = 'Mon, 23 Nov 2026 10:00:00 GMT'
  await using one = await setup((_request, response) => json(response, 200, key({}), { date }))

  const state = await one.limited((call) => one.provider.keyState(call))

  assert.is(state.serviceTime, Date.parse(date))
  assert.equal(
    state.versions.map(({ label, createdAt, mayEncrypt, mayDecrypt }) => [
      label,
      createdAt,
      mayEncrypt,
      mayDecrypt,
    ]),
    [
      ['2', 1_800_000_000, false, true],
      ['3', 1_800_000_300, true, true],
      ['10', 1_800_000_600, true, true],
    ],
  )
})

const WRONG_KEYS: readonly [string, object, RegExp][] = [
  ['of type rsa-4096', { type: 'rsa-4096', keys: { '1': { public_key: 'x' } } }, /rsa-4096/],
  [
    'of type hmac, which lists no versions',
    { type: 'hmac', keys: undefined, supports_encryption: false },
    /has type hmac.*wanted aes256-gcm96/,
  ],
  ['derived', { derived: true }, /derived/],
  ['soft-deleted', { soft_deleted: true }, /deleted/],
  ['without encryption', { supports_encryption: false }, /encrypt/],
]
for (const [what, change, words] of WRONG_KEYS) {
  test(`keyState() refuses a key ${what}`, async () => {
    await using one = await setup((_request, response) => json(response, 200, key(change)))

    const error = (await rejection(one.limited((call) => one.provider.keyState(call)))) as KmsError

    assert.is(error.code, 'key_unavailable')
    assert.match(error.message, words)
  })
}

const TOKEN_FILES: readonly [string, string | undefined, RegExp][] = [
  ['missing', undefined, /cannot be read: there is no such file or folder/],
  ['empty', ' \n', /is empty/],
  ['a wrapped sink', '{"token":"hvs.x"}', /holds JSON/],
  ['more than one word', 'two words', /more than one word/],
]
for (const [what, content, words] of TOKEN_FILES) {
  test(`a token file that is ${what} is named, with what to do`, async () => {
    await using one = await setup(() => undefined, {
      auth: { method: 'token', tokenFile: '/nonexistent/token' },
    })
    await using other = await setup(() => undefined)
    if (content !== undefined) await writeFile(other.folder.at('token'), content)
    const { provider, limited } = content === undefined ? one : other

    const error = (await rejection(limited((call) => provider.keyState(call)))) as KmsError

    assert.is(error.code, 'denied')
    assert.match(error.message, words)
  })
}

test('a CA file that cannot be read is named, and read as soon as it can be', async () => {
  await using one = await setup((_request, response) => json(response, 200, key({})), {
    tls: { caFile: '/nonexistent/ca.pem' },
  })

  const error = (await rejection(one.limited((call) => one.provider.keyState(call)))) as KmsError

  assert.is(error.code, 'unavailable')
  assert.match(error.message, /file "\/nonexistent\/ca\.pem" of tls\.caFile: there is no such file/)
})

test.run()
