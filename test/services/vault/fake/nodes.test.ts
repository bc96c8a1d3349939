/** The roles of the fake's nodes, what they share, and how they lag. @module */

import { Buffer } from 'node:buffer'
import { readFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { type Ask, ask } from '../../../_lib/remote/plain_http.ts'
import type { NodeRole } from '../../../_lib/services/vault/fake/health.ts'
import { type FakeVaultOptions, startFakeVault } from '../../../_lib/services/vault/fake.ts'
import { tempFolder } from '../../../_lib/temp_folder.ts'
import { suite } from '../../../_lib/uvu.ts'

const test = suite('services/vault/fake/nodes', () => ({}))

const KEY = 'transit/keys/k8s-etcd'
const ENCRYPT = 'transit/encrypt/k8s-etcd'
const DECRYPT = 'transit/decrypt/k8s-etcd'
const LOGIN = 'auth/approle/login'
const ITEM = {
  plaintext: Buffer.from('plain').toString('base64'),
  associated_data: Buffer.alloc(32).toString('base64'),
}

const loginReply = v.object({ auth: v.object({ client_token: v.string() }) })
const encryptReply = v.object({
  data: v.object({ batch_results: v.tuple([v.object({ ciphertext: v.string() })]) }),
})

async function setup(options: FakeVaultOptions = {}) {
  const folder = await tempFolder()
  const cluster = await startFakeVault({ nodes: 3, ...options })
  const approle = await cluster.setupApprole(folder.path)
  const namespace: Readonly<Record<string, string>> =
    options.namespace === undefined ? {} : { 'x-vault-namespace': options.namespace }
  const at = (index: number, path: string, more: Ask = {}) =>
    ask(cluster.node(index).address, path, {
      ...more,
      headers: { ...namespace, ...more.headers },
    })
  const credentials = async () => ({
    role_id: (await readFile(approle.roleIdFile, 'utf8')).trim(),
    secret_id: (await readFile(approle.secretIdFile, 'utf8')).trim(),
  })
  return {
    cluster,
    approle,
    at,
    login: async (index: number, more: Ask = {}) =>
      at(index, LOGIN, { method: 'POST', body: await credentials(), ...more }),
    encrypt: (index: number, token: string, more: Ask = {}) =>
      at(index, ENCRYPT, { method: 'POST', token, body: { batch_input: [ITEM] }, ...more }),
    async [Symbol.asyncDispose]() {
      await cluster[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

test('nodes share tokens and keys: what one encrypts under the token of another a third decrypts', async () => {
  await using one = await setup()
  const token = v.parse(loginReply, (await one.login(1)).json).auth.client_token
  const made = v.parse(encryptReply, (await one.encrypt(2, token)).json)
  const [{ ciphertext }] = made.data.batch_results

  const opened = await one.at(0, DECRYPT, {
    method: 'POST',
    token,
    body: { batch_input: [{ ...ITEM, ciphertext }] },
  })

  assert.is(opened.status, 200)
  assert.match(opened.text, ITEM.plaintext)
  assert.equal([one.cluster.logins, one.cluster.node(1).logins], [1, 1])
})

const ROLES: readonly [role: NodeRole, health: number, served: number][] = [
  ['active', 200, 200],
  ['standby', 429, 200],
  ['standbyRedirect', 429, 307],
  ['readStandby', 429, 200],
  ['performanceStandby', 473, 200],
  ['drSecondary', 472, 400],
  ['sealed', 503, 503],
  ['uninitialised', 501, 503],
]
for (const [role, health, served] of ROLES) {
  test(`a node that is ${role} answers ${health} about its health and ${served} to an encryption`, async () => {
    await using one = await setup()
    one.cluster.node(1).role = role

    const statuses = [
      await one.at(1, 'sys/health'),
      await one.encrypt(1, one.approle.issueToken()),
    ].map(({ status }) => status)

    assert.equal(statuses, [health, served])
  })
}

test('a query makes standbys healthy', async () => {
  await using one = await setup()
  one.cluster.node(2).role = 'performanceStandby'

  const path = 'sys/health?standbyok=true&perfstandbyok=true'
  const statuses = [await one.at(1, path), await one.at(2, path)].map(({ status }) => status)

  assert.equal(statuses, [200, 200])
})

test('a redirect names the active node, or what it is told to', async () => {
  await using one = await setup()
  one.cluster.node(1).role = 'standbyRedirect'
  const location = async () => (await one.at(1, `${KEY}?a=b`)).headers.location

  const active = await location()
  one.cluster.node(1).redirectTo = 'http://elsewhere.example.org:8200'

  assert.is(active, `${one.cluster.node(0).address}/v1/${KEY}?a=b`)
  assert.is(await location(), `http://elsewhere.example.org:8200/v1/${KEY}?a=b`)
})

test('a standby that may not forward sends the client to the active node', async () => {
  await using one = await setup()
  const headers = { 'x-vault-no-request-forwarding': '1' }

  const { status } = await one.encrypt(1, one.approle.issueToken(), { headers })

  assert.is(status, 307)
})

test('without the active node standbys send clients to where it was, and say 500 where none is known', async () => {
  await using one = await setup({ standbys: 'readStandby' })
  const token = one.approle.issueToken()
  await one.cluster.node(0).stop()

  const stopped = [await one.encrypt(1, token), await one.login(1)]
  one.cluster.node(0).role = 'sealed'
  const unknown = await one.login(1)
  one.cluster.elect(2)

  assert.equal(
    stopped.map(({ status }) => status),
    [200, 307],
  )
  assert.is(unknown.text, '{"errors":["local node not active but active cluster node not found"]}')
  assert.is((await one.login(1)).status, 200)
})

test('OpenBao: a standby that lags refuses a new secret id, and asks the active node about a token that it does not know', async () => {
  await using one = await setup({ standbys: 'readStandby', consistency: 'openbao' })
  one.cluster.node(1).lagging = true
  one.cluster.rotate()
  await one.approle.replaceSecretId()
  const token = one.approle.issueToken()

  const key = await one.at(1, KEY, { token })
  const login = await one.login(1)
  one.cluster.node(1).lagging = false
  const caughtUp = await one.login(1)

  assert.match(key.text, '"latest_version":2')
  assert.equal([login.status, login.text], [400, '{"errors":["invalid role or secret ID"]}'])
  assert.is(caughtUp.status, 200)
})

test('OpenBao: a standby behind the index of a request answers 429, or has it forwarded', async () => {
  await using one = await setup({ standbys: 'readStandby', consistency: 'openbao' })
  const token = one.approle.issueToken()
  one.cluster.node(1).lagging = true
  one.cluster.rotate()
  const index = String((await one.at(0, KEY, { token })).headers['x-vault-index'])
  const asked = (headers: Record<string, string>) =>
    one.at(1, KEY, { token, headers: { 'x-vault-index': index, ...headers } })

  const answers = [
    await one.at(1, KEY, { token }),
    await asked({}),
    await asked({ 'x-vault-inconsistent': 'forward-active-node' }),
    await asked({ 'x-vault-inconsistent': 'other' }),
    await asked({ 'x-vault-index': 'garbage' }),
  ]

  assert.equal(
    answers.map(({ status, text }) => [status, /"latest_version":\d|\{"errors".*/.exec(text)?.[0]]),
    [
      [200, '"latest_version":1'],
      [429, '{"errors":[]}'],
      [200, '"latest_version":2'],
      [400, '{"errors":["unknown value for \\"X-Vault-Inconsistent\\" header"]}'],
      [400, '{"errors":["failed to decode \\"X-Vault-Index\\""]}'],
    ],
  )
})

test('Vault Enterprise: writes answer an index, and a node behind it or behind the token answers 412', async () => {
  await using one = await setup({ standbys: 'performanceStandby', consistency: true })
  one.cluster.node(1).lagging = true

  const login = await one.login(0)
  const token = v.parse(loginReply, login.json).auth.client_token
  const index = String(login.headers['x-vault-index'])
  const old = one.approle.issueToken()
  const lag = await one.encrypt(1, token)
  one.cluster.node(1).lagging = false
  one.cluster.node(1).lagging = true
  const known = await one.encrypt(1, old)
  one.cluster.rotate()
  const renewal = await one.at(0, 'auth/token/renew-self', { method: 'POST', token, body: {} })
  const later = { 'x-vault-index': String(renewal.headers['x-vault-index']) }
  const behind = await one.encrypt(1, token, { headers: later })
  const forward = { ...later, 'x-vault-inconsistent': 'forward-active-node' }
  const forwarded = await one.encrypt(1, token, { headers: forward })

  assert.match(Buffer.from(index, 'base64').toString(), /^v1:[\w-]+:\d+:\d+:.+$/)
  assert.equal([lag.status, lag.text], [412, '{"errors":["required index state not present"]}'])
  assert.equal(
    [known, behind, forwarded].map(({ status }) => status),
    [200, 412, 200],
  )
  assert.match(forwarded.text, 'vault:v2:')
  assert.is((await one.at(0, KEY, { token })).headers['x-vault-index'], undefined)
})

test('what an operator does to key, policy, tokens and secret id holds at once', async () => {
  await using one = await setup()
  const token = one.approle.issueToken()
  const requests = async () =>
    [await one.at(0, KEY, { token }), await one.encrypt(0, token), await one.login(0)].map(
      ({ status }) => status,
    )

  const seen = [await requests()]
  one.approle.destroySecretId()
  seen.push(await requests())
  one.cluster.deleteKey()
  seen.push(await requests())
  one.approle.rules.delete(KEY)
  await one.approle.replaceSecretId()
  seen.push(await requests())
  one.cluster.revokeTokens()
  seen.push(await requests())

  assert.equal(seen, [
    [200, 200, 200],
    [200, 200, 400],
    [404, 403, 400],
    [403, 403, 200],
    [403, 403, 200],
  ])
})

test('everything lives in the namespace, and health outside of any', async () => {
  await using one = await setup({ namespace: 'admin/team' })
  const token = one.approle.issueToken()
  const { address } = one.cluster.node(0)
  const inside = { 'x-vault-namespace': '/admin/team/' }
  const partly = { 'x-vault-namespace': 'admin' }

  const statuses = [
    await ask(address, KEY, { token, headers: inside }),
    await ask(address, `team/${KEY}`, { token, headers: partly }),
    await ask(address, `admin/team/${KEY}`, { token }),
    await ask(address, KEY, { token, headers: partly }),
    await ask(address, KEY, { token }),
    await ask(address, 'sys/health', { headers: inside }),
    await ask(address, 'sys/health'),
  ].map(({ status }) => status)

  assert.equal(statuses, [200, 200, 200, 404, 403, 400, 200])
})

test('a request without X-Vault-Request is refused as by a proxy that demands it', async () => {
  await using one = await setup()

  const { status, text } = await one.at(0, 'sys/health', { headers: { 'x-vault-request': 'no' } })

  assert.equal([status, text], [412, '{"errors":["missing \\"X-Vault-Request\\" header"]}'])
})

test('a token ends with its time, and a renewal lengthens it up to its maximum', async () => {
  let now = Date.now()
  await using folder = await tempFolder()
  await using cluster = await startFakeVault({ now: () => now })
  const approle = await cluster.setupApprole(folder.path, { tokenTtl: 60, tokenMaxTtl: 100 })
  const token = approle.issueToken()
  const { address } = cluster.node(0)
  const renew = () => ask(address, 'auth/token/renew-self', { method: 'POST', token, body: {} })
  now += 50_000

  const renewed = await renew()
  now += 49_000
  const late = await ask(address, KEY, { token })
  now += 2_000
  const over = await ask(address, KEY, { token })

  assert.match(renewed.text, '"lease_duration":50')
  assert.match(renewed.text, 'TTL value is capped accordingly')
  assert.equal([late.status, over.status], [200, 403])
})

test.run()
