/**
 * What the client of Vault and OpenBao does where a node, or all of them, have a problem: a table
 * of answers with the code that each leads to, and how several nodes are used. It runs on a fake
 * whose words are compared with the real server's.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { withinLimit } from '../../../src/base/call.ts'
import { systemClock } from '../../../src/base/clock.ts'
import { type KmsErrorCode, toKmsError } from '../../../src/base/errors.ts'
import { vaultConfig } from '../../../src/services/vault/config.ts'
import { createVaultProvider } from '../../../src/services/vault/provider.ts'
import { RecordedEvents } from '../../_lib/events.ts'
import { startBalancer } from '../../_lib/remote/balancer.ts'
import {
  badGateway,
  type Fault,
  internalError,
  overloaded,
  rateLimited,
} from '../../_lib/services/vault/fake/faults.ts'
import type { FakeNode } from '../../_lib/services/vault/fake/node.ts'
import { type FakeVaultOptions, startFakeVault } from '../../_lib/services/vault/fake.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { suite } from '../../_lib/uvu.ts'
import { until } from '../../_lib/wait.ts'

const LIMIT_MS = 2_500
/** For a loaded machine. */
const SLACK_MS = 10_000
const ITEM = { plaintext: Buffer.from('plaintext'), associatedData: Buffer.alloc(32) }
const ENCRYPT = 'transit/encrypt'
const LOGIN = 'auth/approle/login'
const test = suite('services/vault/cluster', () => ({}))

/** @param startFront starts what stands before the first node, and is the only address then */
async function setup(options: FakeVaultOptions = {}, startFront?: typeof startBalancer) {
  const folder = await tempFolder()
  const cluster = await startFakeVault(options)
  const front = await startFront?.(cluster.node(0).address)
  const approle = await cluster.setupApprole(folder.path)
  const { address: _, ...fields } = approle.provider
  const events = new RecordedEvents()
  const config = v.parse(vaultConfig, {
    name: 'v',
    type: 'vault',
    ...fields,
    ...(options.namespace === undefined ? {} : { namespace: options.namespace }),
    addresses: front === undefined ? cluster.addresses : [front.address],
    allowInsecureHttp: true,
  })
  const deps = { clock: systemClock, events, requestTimeoutMs: LIMIT_MS }
  const provider = createVaultProvider(config, deps)
  const outcomes = (items: number) =>
    withinLimit(systemClock, LIMIT_MS, (call) =>
      provider.wrap(
        '1',
        Array.from({ length: items }, () => ITEM),
        call,
      ),
    )
  return {
    cluster,
    front,
    events,
    provider,
    logins: () => events.of('token').filter(({ action }) => action === 'login').length,
    keyState: () => withinLimit(systemClock, LIMIT_MS, (call) => provider.keyState(call)),
    /** `ok`, or the code and message of the failure. */
    async wrap(items = 1): Promise<Result> {
      try {
        const [bad] = (await outcomes(items)).filter(({ ok }) => !ok)
        if (bad?.ok === false) throw bad.error
        return { code: 'ok', message: '' }
      } catch (error) {
        const { code, message } = toKmsError(error)
        return { code, message }
      }
    },
    async [Symbol.asyncDispose]() {
      await provider.close()
      await front?.[Symbol.asyncDispose]()
      await cluster[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

interface Result {
  readonly code: KmsErrorCode | 'ok'
  readonly message: string
}

function encrypts({ requests }: FakeNode) {
  return requests.filter(({ path }) => path.startsWith(ENCRYPT))
}

function isLogin({ path }: { readonly path: string }): boolean {
  return path === LOGIN
}

interface Trouble {
  readonly what: string
  readonly fault: Fault
  /** For so many requests; for all where absent. */
  readonly times?: number
  readonly code: KmsErrorCode | 'ok'
  readonly says?: RegExp
  /** How often the node is asked to encrypt, by a request that has a connection which was good before. */
  readonly asked: number
}

const json = (status: number, ...errors: string[]): Fault => ({ kind: 'answer', status, errors })
const html = (status: number): Fault => ({ kind: 'html', status })

/** One node, in trouble. The limit of the request is 2.5 s, and every case ends inside it. */
const TROUBLES: readonly Trouble[] = [
  { what: '429 once', fault: rateLimited(ENCRYPT), times: 1, code: 'ok', asked: 2 },
  { what: '429 for good', fault: rateLimited(ENCRYPT), code: 'throttled', asked: 2 },
  {
    what: '429 once, Retry-After 0',
    fault: rateLimited(ENCRYPT, '0'),
    times: 1,
    code: 'ok',
    asked: 2,
  },
  {
    what: '429 once, Retry-After 1',
    fault: rateLimited(ENCRYPT, '1'),
    times: 1,
    code: 'ok',
    asked: 2,
  },
  {
    what: '429, Retry-After 60, which is too long to wait',
    fault: rateLimited(ENCRYPT, '60'),
    code: 'throttled',
    asked: 1,
  },
  {
    what: '412 once',
    fault: json(412, 'required index state not present'),
    times: 1,
    code: 'ok',
    asked: 2,
  },
  {
    what: '412 for good',
    fault: json(412, 'required index state not present'),
    code: 'unavailable',
    says: /lags behind/,
    asked: 5,
  },
  { what: '500 once', fault: internalError(), times: 1, code: 'ok', asked: 2 },
  { what: '500 for good', fault: internalError(), code: 'unavailable', asked: 2 },
  { what: '502 once', fault: badGateway(), times: 1, code: 'ok', asked: 2 },
  { what: '503 overloaded once', fault: overloaded(), times: 1, code: 'ok', asked: 2 },
  {
    what: '503 overloaded for good',
    fault: overloaded(),
    code: 'unavailable',
    says: /overloaded/,
    asked: 2,
  },
  {
    what: '503 sealed',
    fault: json(503, 'Vault is sealed'),
    code: 'unavailable',
    says: /sealed: unseal it/,
    asked: 2,
  },
  {
    what: '472 of a disaster recovery secondary',
    fault: json(472, 'this node is a DR secondary'),
    code: 'unavailable',
    says: /disaster recovery/,
    asked: 2,
  },
  {
    what: '400 of a disaster recovery secondary',
    fault: json(400, 'path disabled in replication DR secondary mode'),
    code: 'unavailable',
    says: /disaster recovery/,
    asked: 2,
  },
  { what: '404 of a proxy', fault: html(404), code: 'unavailable', says: /proxy/, asked: 1 },
  { what: '403 of a proxy', fault: html(403), code: 'unavailable', says: /proxy/, asked: 1 },
  {
    what: '200 with a page',
    fault: html(200),
    code: 'unavailable',
    says: /other than JSON/,
    asked: 1,
  },
  { what: 'half of its JSON', fault: { kind: 'invalidJson' }, code: 'unavailable', asked: 1 },
  { what: 'other JSON', fault: { kind: 'wrongShape' }, code: 'protocol', asked: 1 },
  {
    what: 'fewer results than items',
    fault: { kind: 'fewerResults' },
    code: 'protocol',
    says: /results for 2/,
    asked: 1,
  },
  { what: 'half a body once', fault: { kind: 'halfBody' }, times: 1, code: 'ok', asked: 2 },
  { what: 'half a body for good', fault: { kind: 'halfBody' }, code: 'unavailable', asked: 2 },
  { what: 'no answer once', fault: { kind: 'noAnswer' }, times: 1, code: 'ok', asked: 2 },
  { what: 'no answer for good', fault: { kind: 'noAnswer' }, code: 'unavailable', asked: 2 },
  {
    what: 'a body without end',
    fault: { kind: 'oversize' },
    code: 'protocol',
    says: /longer than/,
    asked: 1,
  },
  { what: 'silence', fault: { kind: 'hang' }, code: 'timeout', asked: 2 },
  {
    what: 'silence after half a body',
    fault: { kind: 'stalledBody' },
    code: 'timeout',
    asked: 2,
  },
  { what: 'a slow answer', fault: { kind: 'slow', ms: 300 }, code: 'ok', asked: 1 },
]

for (const { what, fault, times, code, says = /(?:)/, asked } of TROUBLES) {
  test(`one node, ${what}: ${code} after ${asked} request${asked === 1 ? '' : 's'}`, async () => {
    await using one = await setup()
    assert.is((await one.wrap()).code, 'ok')
    const node = one.cluster.node(0)
    node.forgetRequests()
    const handle = node.fault(fault, {
      path: ENCRYPT,
      ...(times === undefined ? {} : { count: times }),
    })
    const start = systemClock.monotonic()

    const result = await one.wrap()

    const elapsed = systemClock.monotonic() - start
    handle.release()
    assert.is(result.code, code)
    assert.match(result.message, says)
    assert.is(encrypts(node).length, asked)
    assert.ok(elapsed < LIMIT_MS + SLACK_MS, `inside the limit: ${elapsed} ms`)
    assert.is(one.logins(), 1)
  })
}

for (const [what, fault] of [
  ['sealed', json(503, 'Vault is sealed')],
  ['a standby without an active node', json(474)],
  ['removed from its cluster', json(530)],
  ['a disaster recovery secondary', json(400, 'path disabled in replication DR secondary mode')],
  ['silent', { kind: 'hang' }],
] as const satisfies readonly (readonly [string, Fault])[]) {
  test(`one node that stays ${what} is asked once by each request, but for the first`, async () => {
    await using one = await setup()
    await one.wrap()
    const node = one.cluster.node(0)
    const handle = node.fault(fault, { path: ENCRYPT })
    node.forgetRequests()

    await one.wrap()
    assert.is(encrypts(node).length, 2)
    for (let turn = 0; turn < 3; turn += 1) await one.wrap()
    assert.is(encrypts(node).length, 5)

    handle.release()
    assert.is((await one.wrap()).code, 'ok')
  })
}

for (const [what, fault] of [
  ['sealed', json(503, 'Vault is sealed')],
  ['removed from its cluster', json(530)],
  ['a disaster recovery secondary', json(400, 'path disabled in replication DR secondary mode')],
  ['silent', { kind: 'hang' }],
  ['a standby that redirects elsewhere', 'redirect'],
] as const satisfies readonly (readonly [string, Fault | 'redirect'])[]) {
  test(`one address, behind which the node of the kept connections is ${what} and another serves: no request fails`, async () => {
    await using one = await setup({ nodes: 2 }, startBalancer)
    const [first, second] = [one.cluster.node(0), one.cluster.node(1)]
    assert.is((await one.wrap()).code, 'ok')
    one.cluster.elect(1)
    if (fault === 'redirect') Object.assign(first, { role: 'standbyRedirect' })
    else first.fault(fault)

    if (one.front !== undefined) one.front.target = second.address
    for (let turn = 0; turn < 3; turn += 1) assert.is((await one.wrap()).code, 'ok')

    assert.is(encrypts(second).length, 3)
  })
}

test('a node that is stopped is unavailable, and used again as soon as it is back', async () => {
  await using one = await setup()
  await one.wrap()

  await one.cluster.node(0).stop()
  const result = await one.wrap()
  assert.is(result.code, 'unavailable')
  assert.match(result.message, /nothing listens there/)

  await one.cluster.node(0).start()
  assert.is((await one.wrap()).code, 'ok')
})

test('a service with a smaller limit of items is obeyed: the batch is sent in parts, and later ones are smaller', async () => {
  await using one = await setup()
  const node = one.cluster.node(0)
  node.fault({ kind: 'maxStrings', strings: 200 })

  assert.is((await one.wrap(128)).code, 'ok')
  node.forgetRequests()
  assert.is((await one.wrap(128)).code, 'ok')

  assert.ok(encrypts(node).every(({ status, items }) => status === 200 && items <= 32))
  assert.ok(one.events.notices().includes('batch_limit'))
})

test('a service with a smaller limit of bytes is obeyed', async () => {
  await using one = await setup()
  one.cluster.node(0).fault({ kind: 'maxBody', bytes: 2_000 })

  assert.is((await one.wrap(100)).code, 'ok')
})

for (const said of ['invalid secret id', 'invalid role ID', 'invalid username or password']) {
  test(`credentials that are refused with status 500 and "${said}", as by Vault 1.13.0, are denied, and asked for once`, async () => {
    await using one = await setup({ nodes: 3 })
    for (const at of [0, 1, 2]) one.cluster.node(at).fault(json(500, said), { path: LOGIN })

    const results = [await one.wrap(), await one.wrap(), await one.wrap()]

    for (const { code, message } of results) {
      assert.is(code, 'denied')
      assert.match(message, 'Login at auth/approle/login was refused (500)')
    }
    const asked = [0, 1, 2].flatMap((at) => one.cluster.node(at).requests.filter(isLogin))
    assert.is(asked.length, 1)
  })
}

test('a redirect to a host that nobody named is not followed, and that host is named', async () => {
  await using one = await setup()
  await using other = await startFakeVault()
  await one.wrap()
  one.cluster.node(0).role = 'standbyRedirect'
  one.cluster.node(0).redirectTo = other.node(0).address

  const result = await one.wrap()

  assert.is(result.code, 'unavailable')
  assert.match(result.message, new URL(other.node(0).address).host)
  assert.equal(other.node(0).requests, [])
})

test('a redirect to a node of the list is followed, and the next request goes there at once', async () => {
  await using one = await setup({ nodes: 3 })
  one.cluster.node(0).role = 'standbyRedirect'
  one.cluster.elect(2)

  assert.is((await one.wrap()).code, 'ok')
  one.cluster.node(0).forgetRequests()
  assert.is((await one.wrap()).code, 'ok')

  assert.equal(one.cluster.node(0).requests, [])
  assert.equal(one.cluster.node(1).requests, [])
})

/** Of three nodes the first, which was active, gets into trouble. */
const FIRST_IN_TROUBLE: readonly (readonly [string, (node: FakeNode) => unknown])[] = [
  ['stopped', (node) => node.stop()],
  ['sealed', (node) => Object.assign(node, { role: 'sealed' })],
  ['a disaster recovery secondary', (node) => Object.assign(node, { role: 'drSecondary' })],
  ['not initialised', (node) => Object.assign(node, { role: 'uninitialised' })],
  ['silent', (node) => node.fault({ kind: 'hang' })],
  ['silent after half a body', (node) => node.fault({ kind: 'stalledBody' })],
  ['closing connections', (node) => node.fault({ kind: 'noAnswer' })],
  ['overloaded', (node) => node.fault(overloaded())],
  ['failing', (node) => node.fault(internalError())],
]

for (const [what, harm] of FIRST_IN_TROUBLE) {
  test(`three nodes, the first is ${what}: another answers inside the limit, and is asked first from then on`, async () => {
    await using one = await setup({ nodes: 3 })
    assert.is((await one.wrap()).code, 'ok')
    one.cluster.elect(1)
    await harm(one.cluster.node(0))

    assert.is((await one.wrap()).code, 'ok')
    one.cluster.node(0).forgetRequests()
    assert.is((await one.wrap()).code, 'ok')

    assert.equal(encrypts(one.cluster.node(0)), [])
    assert.is(one.logins(), 1)
  })
}

test('three sealed nodes are unavailable, and the last answer says why', async () => {
  await using one = await setup({ nodes: 3 })
  await one.wrap()
  for (const node of one.cluster.nodes) node.role = 'sealed'

  const result = await one.wrap()

  assert.is(result.code, 'unavailable')
  assert.match(result.message, /sealed/)
})

test('three slow nodes: the first to answer counts, though the others were asked meanwhile', async () => {
  await using one = await setup({ nodes: 3 })
  await one.wrap()
  for (const node of one.cluster.nodes) node.fault({ kind: 'slow', ms: 1_500 })

  assert.is((await one.wrap()).code, 'ok')
})

test('nodes are told apart by their health, without a namespace, and the active one is preferred again', async () => {
  await using one = await setup({ nodes: 3, namespace: 'admin' })
  await one.keyState()
  one.cluster.node(0).role = 'sealed'
  one.cluster.node(1).role = 'performanceStandby'
  one.cluster.node(2).role = 'active'
  await one.keyState()

  const roles = () => one.events.noticesOf('vault_node').map(({ fields }) => fields?.role)
  await until('all are seen', () => roles().length >= 6)
  assert.equal(new Set(roles()), new Set(['active', 'standby', 'sealed', 'performance standby']))
  for (const node of one.cluster.nodes) {
    for (const { path, headers } of node.requests) {
      assert.is(headers['x-vault-namespace'], path === 'sys/health' ? undefined : 'admin')
    }
  }
  for (const node of one.cluster.nodes) node.forgetRequests()
  assert.is((await one.wrap()).code, 'ok')
  assert.is(encrypts(one.cluster.node(2)).length, 1)

  one.cluster.node(0).role = 'active'
  one.cluster.node(2).role = 'standby'
  await one.keyState()
  for (const node of one.cluster.nodes) node.forgetRequests()
  assert.is((await one.wrap()).code, 'ok')
  assert.is(encrypts(one.cluster.node(0)).length, 1)
})

for (const [consistency, behind] of [
  [true, 412],
  ['openbao', 429],
] as const) {
  test(`a node that lags behind the login (${behind}) is told how far to be, and forwards`, async () => {
    await using one = await setup({ nodes: 2, consistency })
    one.cluster.node(0).role = 'performanceStandby'
    one.cluster.node(1).role = 'active'
    one.cluster.node(0).lagging = true

    assert.is((await one.wrap()).code, 'ok')

    const [first, second] = encrypts(one.cluster.node(0))
    assert.is(first?.status, behind)
    assert.type(first?.headers['x-vault-index'], 'string')
    assert.is(second?.headers['x-vault-inconsistent'], 'forward-active-node')
  })
}

test('a hundred requests that meet revoked tokens cause one login, whichever nodes they ask', async () => {
  await using one = await setup({ nodes: 3 })
  await one.wrap()
  one.cluster.revokeTokens()

  const results = await Promise.all(Array.from({ length: 100 }, () => one.wrap()))

  assert.ok(results.every(({ code }) => code === 'ok'))
  assert.is(one.logins(), 2)
})

test.run()
