/**
 * The fake is only worth something if it is like the real server: the same requests go to both, and
 * status, error texts, shape of the body and the important headers must be the same.
 *
 * @module
 */

import { readFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { type Answer, ask } from '../../../_lib/remote/plain_http.ts'
import { startFakeVault } from '../../../_lib/services/vault/fake.ts'
import { type OpenBao, startOpenBao, type Transit } from '../../../_lib/services/vault/openbao.ts'
import { tempFolder } from '../../../_lib/temp_folder.ts'
import { suite } from '../../../_lib/uvu.ts'
import { until } from '../../../_lib/wait.ts'
import {
  AFTER_REVOCATION,
  AFTER_ROTATION,
  HEALTHY,
  ITEM,
  SEALED,
  type Step,
  type Subject,
} from './same_requests.ts'

const test = suite('fake_vault against OpenBao', () => ({}))

const loginReply = v.object({ auth: v.object({ client_token: v.string() }) })
const encryptReply = v.object({ data: v.object({ ciphertext: v.string() }) })

/** Both servers with the same contents, and what the operator does to both. */
async function setup() {
  const folder = await tempFolder()
  const bao = await startOpenBao()
  const transit = await bao.setupTransit({ folder: folder.path, defaultPolicy: true })
  await writeSecrets(bao)
  const real = await subjectOf(bao, transit)
  const fake = await startFakeVault({ consistency: 'openbao', requireRequestHeader: false })
  const approle = await fake.setupApprole(folder.path)
  fake.putSecret(1, { mount: 'kv1', path: 'team/one' }, { user: 'x' })
  fake.putSecret(2, { mount: 'kv2', path: 'team/one' }, { user: 'x' })
  fake.putSecret(2, { mount: 'kv2', path: 'team/one' }, { user: 'y' })
  const { address } = fake.node(0)
  return {
    real,
    fake: await subjectOf({ address, rootToken: fake.rootToken }, approle),
    async rotate() {
      await bao.rotate(transit)
      const versions = { min_encryption_version: 2, min_decryption_version: 2 }
      await bao.request('POST', 'transit/keys/k8s-etcd/config', versions)
      fake.rotate()
      fake.setMinVersions({ encryption: 2, decryption: 2 })
    },
    async revoke() {
      await transit.revokeTokens()
      fake.revokeTokens()
    },
    async seal() {
      await bao.seal()
      fake.node(0).role = 'sealed'
    },
    async [Symbol.asyncDispose]() {
      await bao[Symbol.asyncDispose]()
      await fake[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

test('the same requests have answers of the same status, words and shape', async () => {
  await using one = await setup()

  const differences = [
    ...(await compare(one, HEALTHY)),
    ...(await one.rotate().then(() => compare(one, AFTER_ROTATION))),
    ...(await one.revoke().then(() => compare(one, AFTER_REVOCATION))),
    ...(await one.seal().then(() => compare(one, SEALED))),
  ]

  assert.equal(differences, [])
})

test.run()

async function compare(
  { real, fake }: { readonly real: Subject; readonly fake: Subject },
  steps: readonly Step[],
): Promise<string[]> {
  const differences: string[] = []
  for (const { title, path, ask: made } of steps) {
    const expected = JSON.stringify(essence(await ask(real.address, path, made(real))))
    const actual = JSON.stringify(essence(await ask(fake.address, path, made(fake))))
    if (expected !== actual) differences.push(`${title}: ${expected} but ${actual}`)
  }
  return differences
}

/** What is the same each time: the status, errors as they are, and of the rest the names and types. */
function essence({ status, headers, json, failed }: Answer) {
  const names = ['content-type', 'x-vault-namespace', 'location', 'retry-after']
  return {
    status,
    failed,
    headers: names.map((name) => headers[name]),
    index: headers['x-vault-index'] !== undefined,
    shape: shapeOf(json),
  }
}

/** Words whose text is the same each time. */
const LITERAL = new Set(['errors', 'error', 'warnings', 'plaintext', 'key_version', 'type'])
/** Names that are not the same each time, or that only the real server has a use for. */
const LOOSE = new Set(['cluster_name', 'cluster_id', 'version', 'entity_id'])

function shapeOf(value: unknown, name = ''): unknown {
  if (LITERAL.has(name)) return value
  if (LOOSE.has(name)) return typeof value
  if (Array.isArray(value)) return value.map((one) => shapeOf(one))
  if (typeof value !== 'object' || value === null) return value === null ? null : typeof value
  return Object.entries(value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, one]) => [key, shapeOf(one, key)])
}

async function writeSecrets({ request }: OpenBao): Promise<void> {
  for (const version of ['1', '2']) {
    await request('POST', `sys/mounts/kv${version}`, { type: 'kv', options: { version } })
  }
  await request('POST', 'kv1/team/one', { user: 'x' })
  // The engine upgrades its storage in the background, and refuses writes until then.
  await until('version 2 takes writes', () =>
    request('POST', 'kv2/data/team/one', { data: { user: 'x' } }).then(
      () => true,
      () => false,
    ),
  )
  await request('POST', 'kv2/data/team/one', { data: { user: 'y' } })
}

/** A login for the token of the requests, and something for them to decrypt. */
async function subjectOf(
  { address, rootToken }: { readonly address: string; readonly rootToken: string },
  { roleIdFile, secretIdFile }: Pick<Transit, 'roleIdFile' | 'secretIdFile'>,
): Promise<Subject> {
  const roleId = (await readFile(roleIdFile, 'utf8')).trim()
  const secretId = (await readFile(secretIdFile, 'utf8')).trim()
  const login = await ask(address, 'auth/approle/login', {
    method: 'POST',
    body: { role_id: roleId, secret_id: secretId },
  })
  const token = v.parse(loginReply, login.json).auth.client_token
  const made = await ask(address, 'transit/encrypt/k8s-etcd', { method: 'POST', token, body: ITEM })
  const { ciphertext } = v.parse(encryptReply, made.json).data
  return { address, rootToken, token, roleId, secretId, ciphertext }
}
