/**
 * Three real OpenBao nodes: what their standbys do, how another node becomes active, and that the
 * fake's standbys do the same.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { readFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { type Answer, type Ask, ask } from '../../../_lib/remote/plain_http.ts'
import { startFakeVault } from '../../../_lib/services/vault/fake.ts'
import {
  type OpenBaoCluster,
  startOpenBaoCluster,
} from '../../../_lib/services/vault/openbao_cluster.ts'
import { tempFolder } from '../../../_lib/temp_folder.ts'
import { suite } from '../../../_lib/uvu.ts'
import { until } from '../../../_lib/wait.ts'

const test = suite('openbao_cluster', () => ({}))

const KEY = 'transit/keys/k8s-etcd'
const ENCRYPT = 'transit/encrypt/k8s-etcd'
const DECRYPT = 'transit/decrypt/k8s-etcd'
const LOGIN = 'auth/approle/login'
const PLAINTEXT = Buffer.from('plain').toString('base64')
const NO_FORWARDING = { 'x-vault-no-request-forwarding': '1' }

const loginReply = v.object({ auth: v.object({ client_token: v.string() }) })
const encryptReply = v.object({ data: v.object({ ciphertext: v.string() }) })

interface Subject {
  readonly active: string
  readonly standby: string
  readonly credentials: object
  readonly token: string
}

async function setup({ standbyReads = true } = {}) {
  const folder = await tempFolder()
  const cluster = await startOpenBaoCluster({ standbyReads })
  const transit = await cluster.setupTransit({ folder: folder.path })
  const credentials = await credentialsOf(transit)
  const login = (index: number) =>
    ask(addressOf(cluster, index), LOGIN, { method: 'POST', body: credentials })
  return {
    cluster,
    transit,
    credentials,
    login,
    /** Returns when every node knows the token. */
    async token() {
      const { json } = await login(await cluster.active())
      await cluster.settled()
      return v.parse(loginReply, json).auth.client_token
    },
    encrypt: (index: number, token: string, headers = {}) =>
      ask(addressOf(cluster, index), ENCRYPT, {
        method: 'POST',
        token,
        headers,
        body: { plaintext: PLAINTEXT },
      }),
    async [Symbol.asyncDispose]() {
      await cluster[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

test('standbys forward logins and serve transit themselves, another node takes over, and the old one comes back', async () => {
  await using one = await setup()
  const first = await one.cluster.active()
  const standbys = await one.cluster.standbys()
  const [standby = -1] = standbys

  const login = await one.login(standby)
  const token = v.parse(loginReply, login.json).auth.client_token
  await one.cluster.settled()
  const made = v.parse(encryptReply, (await one.encrypt(standby, token, NO_FORWARDING)).json)
  await one.cluster.stop(first, 'SIGKILL')
  const orphaned = await one.encrypt(standby, token)
  const redirected = await one.login(standby)
  const second = await one.cluster.active()

  assert.equal([standbys.length, login.status, orphaned.status], [2, 200, 200])
  assert.equal(
    [redirected.status, redirected.headers.location],
    [307, `${addressOf(one.cluster, first)}/v1/${LOGIN}`],
  )
  assert.is.not(second, first)
  const opened = await ask(addressOf(one.cluster, second), DECRYPT, {
    method: 'POST',
    token,
    body: made.data,
  })
  assert.match(opened.text, PLAINTEXT)
  await one.cluster.start(first)
  await until('it stands by', async () => (await one.cluster.standbys()).includes(first))
})

test('a node that steps down is followed by another', async () => {
  await using one = await setup()
  const first = await one.cluster.active()

  await one.cluster.stepDown()

  await until('another is active', async () => (await one.cluster.active()) !== first)
})

test('standbys without reads redirect what they may not forward', async () => {
  await using one = await setup({ standbyReads: false })
  const token = await one.token()
  const [standby = -1] = await one.cluster.standbys()
  const active = addressOf(one.cluster, await one.cluster.active())

  const forwarded = await one.encrypt(standby, token)
  const redirected = await one.encrypt(standby, token, NO_FORWARDING)

  assert.is(forwarded.status, 200)
  assert.equal(
    [redirected.status, redirected.headers.location, redirected.text],
    [307, `${active}/v1/${ENCRYPT}`, ''],
  )
})

test('a standby of the fake answers as a real one', async () => {
  await using one = await setup()
  await using folder = await tempFolder()
  await using fake = await startFakeVault({
    nodes: 2,
    standbys: 'readStandby',
    consistency: 'openbao',
  })
  const approle = await fake.setupApprole(folder.path)
  const { cluster } = one
  const [standby = -1] = await cluster.standbys()

  const real = await answersOf({
    active: addressOf(cluster, await cluster.active()),
    standby: addressOf(cluster, standby),
    credentials: one.credentials,
    token: await one.token(),
  })
  const faked = await answersOf({
    active: fake.node(0).address,
    standby: fake.node(1).address,
    credentials: await credentialsOf(approle),
    token: approle.issueToken(),
  })

  assert.equal(faked, real)
})

test.run()

/** A standby's answers as far as they are the same each time. */
async function answersOf({ active, standby, credentials, token }: Subject): Promise<string[]> {
  const seen = String((await ask(active, KEY, { token })).headers['x-vault-index'])
  const index = v.parse(
    v.object({ cluster: v.string(), value: v.string() }),
    JSON.parse(Buffer.from(seen, 'base64').toString()),
  )
  const ahead = encoded({ ...index, value: String(Number(index.value) + 1000) })
  const key = (headers: Ask['headers'] = {}) => ask(standby, KEY, { token, headers })
  const behind = (inconsistent: string | readonly string[]) =>
    key({ 'x-vault-index': ahead, 'x-vault-inconsistent': inconsistent })
  const login = (body: object, headers: Ask['headers'] = {}) =>
    ask(standby, LOGIN, { method: 'POST', body, headers })
  const answers = [
    await ask(standby, 'sys/health'),
    await ask(standby, 'sys/health?standbyok=true'),
    await ask(standby, 'sys/health?perfstandbyok=true'),
    await ask(standby, 'sys/health', { headers: { 'x-vault-index': ahead } }),
    await key(NO_FORWARDING),
    await ask(standby, KEY, { token: 's.wrong' }),
    await ask(standby, KEY, { token: 's.wrong', headers: NO_FORWARDING }),
    await ask(standby, KEY, { headers: NO_FORWARDING }),
    await login(credentials),
    await login(credentials, NO_FORWARDING),
    await login({ ...credentials, secret_id: 'x' }, NO_FORWARDING),
    await login(credentials, { 'x-vault-index': ahead }),
    await ask(standby, 'auth/token/renew-self', {
      method: 'POST',
      token,
      body: {},
      headers: NO_FORWARDING,
    }),
    await key({ 'x-vault-index': ahead }),
    await behind('fail'),
    await behind('await-state'),
    await behind('forward-active-node'),
    await behind(['await-state', 'forward-active-node']),
    await behind('await-state, forward-active-node'),
    await key({ 'x-vault-index': 'garbage' }),
    await key({ 'x-vault-index': encoded({ ...index, cluster: 'other', value: '999999' }) }),
    await ask(active, KEY, { token, headers: { 'x-vault-index': ahead } }),
  ]
  return answers.map((answer) => essence(answer, active))
}

function essence({ status, headers, text }: Answer, active: string): string {
  const errors = text.startsWith('{"errors"') ? text.trim() : ''
  return `${status} ${headers.location?.replace(active, 'active') ?? ''} ${errors}`
}

function encoded(index: object): string {
  return Buffer.from(JSON.stringify(index)).toString('base64')
}

function addressOf({ addresses }: OpenBaoCluster, index: number): string {
  const address = addresses[index]
  if (address === undefined) throw new Error(`No node ${index}`)
  return address
}

async function credentialsOf(files: {
  readonly roleIdFile: string
  readonly secretIdFile: string
}): Promise<object> {
  return {
    role_id: (await readFile(files.roleIdFile, 'utf8')).trim(),
    secret_id: (await readFile(files.secretIdFile, 'utf8')).trim(),
  }
}
