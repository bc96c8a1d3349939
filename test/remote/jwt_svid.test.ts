/** What a JWT-SVID must be before anybody logs in with it, and how its source is configured. */

import { Buffer } from 'node:buffer'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { withinLimit } from '../../src/base/call.ts'
import { systemClock } from '../../src/base/clock.ts'
import { KmsError, type KmsErrorCode } from '../../src/base/errors.ts'
import { fetchSvid, type IssuedSvid, socketPathOf, svidConfig } from '../../src/remote/jwt_svid.ts'
import { jwtConfig } from '../../src/services/vault/login/jwt.ts'
import { FakeAgent, SPIFFE_ID } from '../_lib/remote/fake_spiffe.ts'
import { rejection, suite } from '../_lib/uvu.ts'

const OTHER_ID = 'spiffe://example.org/other'
const SOCKET = 'unix:///run/agent.sock'
const LIMIT_MS = 20_000
const test = suite('remote/jwt_svid', () => ({ agent: new FakeAgent() }))

function fetched(issued: readonly IssuedSvid[], id?: string) {
  const config = v.parse(svidConfig, {
    socket: SOCKET,
    audience: 'vault',
    ...(id === undefined ? {} : { id }),
  })
  const deps = { clock: systemClock, fetchSvids: () => Promise.resolve(issued) }
  return withinLimit(systemClock, LIMIT_MS, (call) => fetchSvid(config, deps, call))
}

async function refused(
  issued: IssuedSvid,
  code: KmsErrorCode,
  message: string,
  id?: string,
): Promise<void> {
  const error = await rejection(fetched([issued], id))
  assert.instance(error, KmsError)
  assert.is((error as KmsError).code, code, String(error))
  assert.is((error as KmsError).message, `SPIFFE agent at "/run/agent.sock" ${message}`)
  const parts = issued.jwt.split('.').filter((part) => part.length > 8)
  for (const part of parts) assert.not.ok(String((error as KmsError).cause).includes(part))
}

const jwtWith = { method: 'jwt', role: 'r' }
const spiffe = { socket: SOCKET, audience: 'vault' }

test('jwtConfig takes spiffe, with and without the id', () => {
  assert.ok(v.safeParse(jwtConfig, { ...jwtWith, spiffe }).success)
  assert.ok(v.safeParse(jwtConfig, { ...jwtWith, spiffe: { ...spiffe, id: SPIFFE_ID } }).success)
})

test('jwtConfig wants exactly one of tokenFile, selfSigned and spiffe', () => {
  for (const given of [{}, { spiffe, tokenFile: '/t' }]) {
    const { issues } = v.safeParse(jwtConfig, { ...jwtWith, ...given })
    assert.equal(
      issues?.map(({ message }) => message),
      ['exactly one of tokenFile, selfSigned and spiffe'],
    )
  }
})

test('svidConfig takes unix:///path and unix:/path, and no other socket', () => {
  const parsed = (socket: string) => v.safeParse(svidConfig, { ...spiffe, socket })
  for (const socket of ['unix:///run/a.sock', 'unix:/run/a.sock']) {
    assert.ok(parsed(socket).success, socket)
    assert.is(socketPathOf(socket), '/run/a.sock')
  }
  for (const socket of [
    '/run/a.sock',
    'unix:run/a.sock',
    'unix://host/a.sock',
    'unix:////run/a.sock',
    'unix:///',
    'unix:///run/a.sock?x',
    'unix:///run/%61.sock',
    'tcp://127.0.0.1:8081',
    `unix:///${'a'.repeat(107)}`,
  ]) {
    assert.not.ok(parsed(socket).success, socket)
  }
})

test('svidConfig wants a SPIFFE ID with a path, and an audience', () => {
  for (const given of [
    { id: 'example.org/one' },
    { id: 'spiffe://example.org' },
    { id: 'spiffe://Example.org/one' },
    { id: 'spiffe://example.org/one/' },
    { id: `spiffe://example.org/${'a'.repeat(2_048)}` },
    { audience: '' },
  ]) {
    assert.not.ok(v.safeParse(svidConfig, { ...spiffe, ...given }).success, JSON.stringify(given))
  }
})

test('fetchSvid asks with the path, the audience and the id, in half of the time that is left', async () => {
  const config = v.parse(svidConfig, { ...spiffe, id: SPIFFE_ID })
  const agent = new FakeAgent()
  const asked: unknown[] = []
  const clock = { ...systemClock, monotonic: () => 1_000 }
  const deps = {
    clock,
    fetchSvids: async (request: object, { timeoutMs }: { readonly timeoutMs: number }) => {
      asked.push({ ...request, timeoutMs })
      return [{ id: SPIFFE_ID, jwt: await agent.sign(SPIFFE_ID, ['vault']) }]
    },
  }

  await fetchSvid(config, deps, { signal: AbortSignal.timeout(LIMIT_MS), deadline: 3_500 })

  assert.equal(asked, [
    { socketPath: '/run/agent.sock', audience: 'vault', id: SPIFFE_ID, timeoutMs: 1_250 },
  ])
})

test('fetchSvid takes the first of several SVIDs, or the one of the id', async ({ agent }) => {
  const [first, second] = [
    await agent.sign(SPIFFE_ID, ['vault']),
    await agent.sign(OTHER_ID, ['else', 'vault']),
  ]
  const issued = [
    { id: SPIFFE_ID, jwt: first },
    { id: OTHER_ID, jwt: second },
  ]

  assert.is((await fetched(issued)).jwt, first)
  assert.is((await fetched(issued, OTHER_ID)).jwt, second)
})

test('fetchSvid tells SVIDs apart by what they say, and not by when they were issued', async ({
  agent,
}) => {
  const issue = async (id: string) =>
    (await fetched([{ id, jwt: await agent.sign(id, ['vault']) }])).fingerprint
  const first = await issue(SPIFFE_ID)

  assert.is(await issue(SPIFFE_ID), first)
  assert.is.not(await issue(OTHER_ID), first)
  agent.rotateKeys()
  assert.is.not(await issue(SPIFFE_ID), first)
})

test('fetchSvid refuses where nobody is issued an SVID, or only others are', async ({ agent }) => {
  const none = await rejection(fetched([]))
  assert.match(String(none), /issues no identity to this process: register one/)
  assert.is((none as KmsError).code, 'denied')
  const other = { id: OTHER_ID, jwt: await agent.sign(OTHER_ID, ['vault']) }
  await refused(
    other,
    'denied',
    'issues only others than auth.spiffe.id: register one whose selectors fit it',
    SPIFFE_ID,
  )
})

const AUDIENCE = 'for another audience than auth.spiffe.audience, which it was asked for'
const CLAIMS = 'without one of the claims sub, aud and exp'
const LIES = {
  'with another audience': [{ aud: 'elsewhere' }, 'protocol', AUDIENCE],
  'with several other audiences': [{ aud: ['a', 'b'] }, 'protocol', AUDIENCE],
  'with an empty list of audiences': [{ aud: [] }, 'protocol', AUDIENCE],
  'without an audience': [{ aud: undefined }, 'protocol', CLAIMS],
  'without an end': [{ exp: undefined }, 'protocol', CLAIMS],
  'with an end that is no number': [{ exp: 'never' }, 'protocol', CLAIMS],
  'without a subject': [{ sub: undefined }, 'protocol', CLAIMS],
  'with an empty subject': [{ sub: '' }, 'protocol', CLAIMS],
  'with another subject': [{ sub: OTHER_ID }, 'protocol', 'whose sub is another identity'],
  'that has expired': [
    { exp: 1_000_000_000 },
    'denied',
    'that has expired: compare the clocks of this node and the SPIFFE server',
  ],
} as const
for (const [name, [claims, code, message]] of Object.entries(LIES)) {
  test(`fetchSvid refuses an SVID ${name}, and quotes nothing of it`, async ({ agent }) => {
    const jwt = await agent.sign(SPIFFE_ID, ['vault'], claims)
    await refused({ id: SPIFFE_ID, jwt }, code, `issued a JWT-SVID ${message}`)
  })
}

const part = (text: string) => Buffer.from(text).toString('base64url')
const HEADER = part('{"alg":"ES256"}')
const GARBAGE = {
  'that is empty': '',
  'of words': 'planted words of an agent',
  'of two parts': `${HEADER}.${part('{"planted":1}')}`,
  'that is not signed': `${HEADER}.${part('{"planted":1}')}.`,
  'whose claims are no JSON': `${HEADER}.${part('planted and no JSON')}.c2ln`,
  'whose claims are a list': `${HEADER}.${part('["planted planted"]')}.c2ln`,
  'whose header is no JSON': `${part('planted and no JSON')}.${part('{}')}.c2ln`,
  'with a line break': `${HEADER}.${part('{"planted":1}')}.c2ln\n`,
}
for (const [name, jwt] of Object.entries(GARBAGE)) {
  test(`fetchSvid refuses an SVID ${name}`, async () => {
    const issued = { id: SPIFFE_ID, jwt }
    await refused(issued, 'protocol', 'issued a JWT-SVID that is no signed JWT')
  })
}

test('fetchSvid refuses an SVID that is too long', async ({ agent }) => {
  const jwt = await agent.sign(SPIFFE_ID, ['vault', 'a'.repeat(65_536)])
  await refused({ id: SPIFFE_ID, jwt }, 'protocol', 'issued a JWT-SVID that is too long')
})

test.run()
