/** Requests that have the same answer from the fake and from the real server. @module */

import { Buffer } from 'node:buffer'
import type { Ask } from '../../../_lib/remote/plain_http.ts'

export interface Subject {
  readonly address: string
  readonly rootToken: string
  readonly token: string
  readonly roleId: string
  readonly secretId: string
  /** Of the plaintext and the associated data below. */
  readonly ciphertext: string
}

/** One request, made for the server that it goes to. */
export interface Step {
  readonly title: string
  readonly path: string
  readonly ask: (subject: Subject) => Ask
}

const base64 = (text: string) => Buffer.from(text).toString('base64')
export const ITEM = { plaintext: base64('plain'), associated_data: base64('associated') }
const LOGIN = 'auth/approle/login'
const ENCRYPT = 'transit/encrypt/k8s-etcd'
const DECRYPT = 'transit/decrypt/k8s-etcd'
const KEY = 'transit/keys/k8s-etcd'

const step = (title: string, path: string, made: Step['ask']): Step => ({ title, path, ask: made })

const post = (title: string, path: string, body: (subject: Subject) => unknown) =>
  step(title, path, (subject) => ({ method: 'POST', token: subject.token, body: body(subject) }))

const login = (title: string, body: (subject: Subject) => unknown) =>
  step(title, LOGIN, (subject) => ({ method: 'POST', body: body(subject) }))

const batch = (title: string, path: string, ...items: readonly unknown[]) =>
  post(title, path, () => ({ batch_input: items }))

const decrypt = (title: string, ...items: readonly ((ciphertext: string) => unknown)[]) =>
  post(title, DECRYPT, ({ ciphertext }) => ({ batch_input: items.map((item) => item(ciphertext)) }))

const read = (title: string, path: string, more: Ask = {}) =>
  step(title, path, ({ token }) => ({ token, ...more }))

const asRoot = (title: string, path: string, more: Ask = {}) =>
  step(title, path, ({ rootToken }) => ({ token: rootToken, ...more }))

const LOGINS: readonly Step[] = [
  login('login', ({ roleId, secretId }) => ({ role_id: roleId, secret_id: secretId })),
  step('login by PUT', LOGIN, ({ roleId, secretId }) => ({
    method: 'PUT',
    body: { role_id: roleId, secret_id: secretId },
  })),
  step('login with a stale token', LOGIN, ({ roleId, secretId }) => ({
    method: 'POST',
    token: 's.stale',
    body: { role_id: roleId, secret_id: secretId },
  })),
  login('bad secret id', ({ roleId }) => ({ role_id: roleId, secret_id: 'x' })),
  login('bad role id', ({ secretId }) => ({ role_id: 'x', secret_id: secretId })),
  login('no secret id', ({ roleId }) => ({ role_id: roleId })),
  login('no role id', ({ secretId }) => ({ secret_id: secretId })),
  login('role id of another type', ({ secretId }) => ({ role_id: {}, secret_id: secretId })),
  login('unknown field', ({ roleId, secretId }) => ({
    role_id: roleId,
    secret_id: secretId,
    x: 1,
  })),
  login('an array', () => []),
  step('broken JSON', LOGIN, () => ({ method: 'POST', raw: '{' })),
  step('no such mount', 'auth/nowhere/login', () => ({ method: 'POST', body: {} })),
  post('no such mount with a token', 'auth/nowhere/login', () => ({})),
]

const BATCHES: readonly Step[] = [
  batch('encrypt a batch', ENCRYPT, ITEM, { ...ITEM, key_version: 1, reference: 'one' }),
  post('encrypt one', ENCRYPT, () => ITEM),
  batch('one bad item', ENCRYPT, ITEM, { plaintext: '%%%' }),
  batch('bad associated data', ENCRYPT, ITEM, { ...ITEM, associated_data: '%%' }),
  batch('a version that is not there', ENCRYPT, { ...ITEM, key_version: 9 }),
  batch('a negative version', ENCRYPT, { ...ITEM, key_version: -1 }),
  batch('an empty batch', ENCRYPT),
  post('nothing to encrypt', ENCRYPT, () => ({})),
  batch('an item without plaintext', ENCRYPT, {}),
  batch('plaintext of another type', ENCRYPT, { plaintext: 1 }),
  batch('version of another type', ENCRYPT, { ...ITEM, key_version: '1' }),
  batch('associated data of another type', ENCRYPT, { ...ITEM, associated_data: {} }),
  batch('an unknown field in an item', ENCRYPT, { ...ITEM, x: 1 }),
  post('an unknown field beside the batch', ENCRYPT, () => ({ batch_input: [ITEM], x: 1 })),
  post('a batch that is no list', ENCRYPT, () => ({ batch_input: 'x' })),
  post('a code for partial failure', ENCRYPT, () => ({
    batch_input: [ITEM, { plaintext: '%' }],
    partial_failure_response_code: 207,
  })),
  batch('249 items', ENCRYPT, ...Array.from({ length: 249 }, () => ITEM)),
  batch('250 items', ENCRYPT, ...Array.from({ length: 250 }, () => ITEM)),
  step('a body above the limit', ENCRYPT, ({ token }) => ({
    method: 'POST',
    token,
    raw: JSON.stringify({ plaintext: 'A'.repeat(33_600_000) }),
  })),
  decrypt('decrypt a batch', (ciphertext) => ({ ...ITEM, ciphertext })),
  decrypt(
    'wrong associated data',
    (ciphertext) => ({ ...ITEM, ciphertext }),
    (ciphertext) => ({ ciphertext, associated_data: base64('other') }),
  ),
  decrypt('no associated data', (ciphertext) => ({ ciphertext })),
  decrypt('bad associated data to decrypt', (ciphertext) => ({
    ciphertext,
    associated_data: '%%',
  })),
  ...['abc', 'vault:v9:AAAA', 'vault:vx:AAAA', 'vault:v1', 'vault:v1:%%', 'vault:v1:AAAA'].map(
    (ciphertext) => batch(`ciphertext ${ciphertext}`, DECRYPT, { ...ITEM, ciphertext }),
  ),
  ...['vault:v0:AAAA', 'vault:v-1:AAAA', `vault:v1:${'A'.repeat(80)}`, '', 'vault:v1:a:b'].map(
    (ciphertext) => batch(`ciphertext ${ciphertext}`, DECRYPT, { ...ITEM, ciphertext }),
  ),
  batch('an item without ciphertext', DECRYPT, {}),
  batch('ciphertext of another type', DECRYPT, { ciphertext: 1 }),
  batch('an empty batch to decrypt', DECRYPT),
  post('nothing to decrypt', DECRYPT, () => ({})),
  asRoot('decrypt with no such key', 'transit/decrypt/none', {
    method: 'POST',
    body: { batch_input: [{ ciphertext: 'vault:v1:AAAA' }] },
  }),
  batch('decrypt with no such key, by policy', 'transit/decrypt/none', { ciphertext: 'x' }),
  batch('encrypt with no such key', 'transit/encrypt/none', ITEM),
]

const NAMESPACE = { headers: { 'x-vault-namespace': 'admin' } }

const PATHS: readonly Step[] = [
  read('key', KEY),
  read('no such key, by policy', 'transit/keys/none'),
  asRoot('no such key', 'transit/keys/none'),
  read('no token', KEY, { token: undefined }),
  read('bad token', KEY, { token: 's.wrong' }),
  step('broken JSON without a token', ENCRYPT, () => ({ method: 'POST', raw: '{' })),
  read('no such path', 'nowhere/keys/k'),
  asRoot('no such path for root', 'nowhere/keys/k'),
  read('no such path without a token', 'nowhere/keys/k', { token: undefined }),
  asRoot('no such path of transit', 'transit/nope'),
  read('wrong method', ENCRYPT),
  asRoot('wrong method for root', ENCRYPT),
  asRoot('another wrong method for root', ENCRYPT, { method: 'DELETE' }),
  read('outside of v1', '../nope'),
  read('lookup', 'auth/token/lookup-self'),
  asRoot('lookup of root', 'auth/token/lookup-self'),
  read('lookup without a token', 'auth/token/lookup-self', { token: undefined }),
  post('lookup by POST', 'auth/token/lookup-self', () => ({})),
  post('renewal', 'auth/token/renew-self', () => ({})),
  post('renewal for a time', 'auth/token/renew-self', () => ({ increment: 60 })),
  read('renewal by GET', 'auth/token/renew-self'),
  asRoot('renewal of root', 'auth/token/renew-self', { method: 'POST', body: {} }),
  read('revocation by GET', 'auth/token/revoke-self'),
  step('health', 'sys/health', () => ({})),
  step('health by HEAD', 'sys/health', () => ({ method: 'HEAD' })),
  step('health by POST', 'sys/health', () => ({ method: 'POST', body: {} })),
  step('health with a code', 'sys/health?activecode=299', () => ({})),
  step('health with a namespace', 'sys/health', () => NAMESPACE),
  read('a namespace that is not there', KEY, NAMESPACE),
  step('login in a namespace that is not there', LOGIN, () => ({ method: 'POST', ...NAMESPACE })),
  asRoot('secret of version 1', 'kv1/team/one'),
  asRoot('no secret of version 1', 'kv1/team/two'),
  asRoot('secret of version 2', 'kv2/data/team/one'),
  asRoot('an older version', 'kv2/data/team/one?version=1'),
  asRoot('no such version', 'kv2/data/team/one?version=9'),
  asRoot('no secret of version 2', 'kv2/data/team/two'),
  asRoot('version 2 read as version 1', 'kv2/team/one'),
  read('secret, by policy', 'kv2/data/team/one'),
]

export const AFTER_ROTATION: readonly Step[] = [
  read('key after rotations', KEY),
  batch('below the minimum to encrypt', ENCRYPT, { ...ITEM, key_version: 1 }, ITEM),
  decrypt('below the minimum to decrypt', (ciphertext) => ({ ...ITEM, ciphertext })),
  post('revocation', 'auth/token/revoke-self', () => ({})),
  post('revocation of a revoked token', 'auth/token/revoke-self', () => ({})),
]

export const AFTER_REVOCATION: readonly Step[] = [
  read('revoked token', KEY),
  post('renewal of a revoked token', 'auth/token/renew-self', () => ({})),
  ...Array.from({ length: 6 }, (_, at) =>
    login(`refused login ${at}`, ({ roleId }) => ({ role_id: roleId, secret_id: 'x' })),
  ),
  login('good login to a locked role', ({ roleId, secretId }) => ({
    role_id: roleId,
    secret_id: secretId,
  })),
]

export const SEALED: readonly Step[] = [
  step('health when sealed', 'sys/health', () => ({})),
  read('key when sealed', KEY),
  login('login when sealed', ({ roleId, secretId }) => ({ role_id: roleId, secret_id: secretId })),
]

export const HEALTHY: readonly Step[] = [...LOGINS, ...BATCHES, ...PATHS]
