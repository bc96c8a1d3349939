/**
 * The key operations of Key Vault and Managed HSM with real cryptography. Every
 * header, parameter and field is checked, and refusals have the form and the codes
 * of the service.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import {
  constants,
  createCipheriv,
  createDecipheriv,
  generateKeyPairSync,
  type KeyObject,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
} from 'node:crypto'
import * as v from 'valibot'
import type { Received, Reply } from './http.ts'
import type { TokenState } from './tokens.ts'

export interface FakeVersion {
  readonly id: string
  /** Seconds since the epoch. */
  readonly created: number
  readonly material: Material
  enabled: boolean
  nbf: number | undefined
  exp: number | undefined
  operations: string[]
}

type Material =
  | { readonly type: 'rsa'; readonly publicKey: KeyObject; readonly privateKey: KeyObject }
  | { readonly type: 'aes'; readonly secret: Buffer }

export interface KeyState {
  readonly tokens: TokenState
  readonly hsm: boolean
  /** True to act like a service that never reads the associated data. */
  deaf: boolean
  readonly key: string
  /** As the service calls itself: `name.vault.azure.net`. */
  readonly host: string
  versions: FakeVersion[]
  deleted: boolean
  /** Of those who have a good token. */
  permissions: Set<string>
  pageSize: number
  /** In place of the link that would be right. */
  nextLink: string | undefined
  /** Answers under this version, whatever was asked for. */
  answersAs: string | undefined
}

const pool = new Map<string, { publicKey: KeyObject; privateKey: KeyObject }>()

/** Made once for each place in the row, since making them is slow. */
function rsaPair(bits: number, index: number) {
  const name = `${bits} ${index}`
  const pair = pool.get(name) ?? generateKeyPairSync('rsa', { modulusLength: bits })
  pool.set(name, pair)
  return pair
}

export function addVersion(state: KeyState, bits = 2048): FakeVersion {
  const index = state.versions.length
  const created = (state.versions.at(-1)?.created ?? Math.floor(state.tokens.now() / 1000) - 60) + 1
  const version: FakeVersion = {
    id: randomBytes(16).toString('hex'),
    created,
    material: state.hsm
      ? { type: 'aes', secret: randomBytes(32) }
      : { type: 'rsa', ...rsaPair(bits, index) },
    enabled: true,
    nbf: undefined,
    exp: undefined,
    operations: ['encrypt', 'decrypt', 'wrapKey', 'unwrapKey'],
  }
  state.versions.push(version)
  return version
}

export function serveKeys(state: KeyState, request: Received): Reply {
  const unknown = unauthenticated(state, request)
  if (unknown !== undefined) return unknown
  if (request.query.get('api-version') !== '7.4') return failure(400, 'BadParameter', 'api-version')
  const [, kind = '', name, ...rest] = request.path.split('/')
  if (name !== state.key) return failure(404, 'KeyNotFound', 'no such key')
  if (kind === 'deletedkeys') return deletedKey(state)
  if (kind !== 'keys') return failure(404, 'NotFound', 'no such path')
  return request.method === 'GET' ? read(state, rest, request) : post(state, rest, request)
}

function read(state: KeyState, [id = '', ...more]: readonly string[], request: Received): Reply {
  if (more.length > 0) return failure(404, 'NotFound', 'no such path')
  if (id === 'versions') return allowed(state, 'list', () => listVersions(state, request))
  return allowed(state, 'get', () => showVersion(state, id))
}

function post(
  state: KeyState,
  [id = '', operation, ...more]: readonly string[],
  request: Received,
) {
  const known = operation === 'encrypt' || operation === 'decrypt'
  if (!known || more.length > 0) return failure(404, 'NotFound', 'no such path')
  return allowed(state, operation, () => operate(state, id, operation, request))
}

function unauthenticated({ tokens, hsm }: KeyState, { headers }: Received): Reply | undefined {
  const [, value = ''] = /^Bearer (\S+)$/.exec(headers.authorization ?? '') ?? []
  const token = tokens.issued.get(value)
  const challenge = {
    'www-authenticate': `Bearer authorization="https://evil.example/${tokens.tenantId}", resource="https://evil.example"`,
  }
  const no = (message: string): Reply => {
    // A managed HSM may say nothing but the challenge.
    if (hsm) return { status: 401, body: '', headers: challenge }
    return { ...failure(401, 'Unauthorized', message), headers: challenge }
  }
  if (token === undefined) return no('AKV10000: Request is missing a Bearer or PoP token.')
  if (token.expiresAt <= tokens.now()) return no('[TokenExpired] planted-remote-words')
  if (token.audience !== tokens.audience) return no('AKV10022: Invalid audience.')
  if (token.tenantId !== tokens.tenantId) return no('AKV10032: Invalid issuer. planted-issuer')
  return undefined
}

function allowed(state: KeyState, permission: string, work: () => Reply): Reply {
  if (state.permissions.has(permission)) return work()
  return failure(403, 'Forbidden', `planted-appid has no keys ${permission}`, 'ForbiddenByRbac')
}

function deletedKey(state: KeyState): Reply {
  if (!state.deleted) return failure(404, 'KeyNotFound', 'Deleted Key not found')
  return { status: 200, body: { key: { kty: 'RSA' }, recoveryId: 'x', deletedDate: 1 } }
}

/** Without any versions for a key that is not there, as the service does. */
function listVersions(state: KeyState, { query }: Received): Reply {
  const from = Number(query.get('$skiptoken') ?? 0)
  // In an order that means nothing.
  const all = state.deleted ? [] : [...state.versions].sort((a, b) => (a.id < b.id ? -1 : 1))
  const page = all.slice(from, from + state.pageSize)
  const link = `https://${state.host}:443/keys/${state.key}/versions?api-version=7.4&$skiptoken=${from + state.pageSize}`
  const more = from + state.pageSize < all.length
  const body = {
    value: page.map((version) => ({
      kid: kidOf(state, version),
      attributes: attributesOf(version),
    })),
    nextLink: more ? (state.nextLink ?? link) : null,
  }
  return { status: 200, body }
}

function showVersion(state: KeyState, id: string): Reply {
  const version = found(state, id)
  if (version === undefined) return failure(404, 'KeyNotFound', 'planted-remote-words')
  if (!version.enabled) return disabled('get')
  const { material, operations } = version
  const kid = kidOf(state, version)
  const key =
    material.type === 'aes'
      ? { kid, kty: 'oct-HSM', key_ops: operations }
      : { kid, key_ops: operations, ...material.publicKey.export({ format: 'jwk' }) }
  return { status: 200, body: { key, attributes: attributesOf(version) } }
}

const base64url = v.pipe(
  v.string(),
  v.regex(/^[\w-]+$/),
  v.transform((text) => Buffer.from(text, 'base64url')),
)
const rsaBody = v.strictObject({
  alg: v.picklist(['RSA-OAEP-256', 'RSA-OAEP', 'RSA1_5']),
  value: base64url,
})
const gcmEncryptBody = v.strictObject({
  alg: v.literal('A256GCM'),
  value: base64url,
  aad: base64url,
})
const gcmDecryptBody = v.strictObject({
  ...gcmEncryptBody.entries,
  iv: v.pipe(
    base64url,
    v.check(({ length }) => length === 12),
  ),
  tag: v.pipe(
    base64url,
    v.check(({ length }) => length === 16),
  ),
})

function operate(
  state: KeyState,
  id: string,
  operation: 'encrypt' | 'decrypt',
  { headers, text }: Received,
): Reply {
  const version = found(state, id)
  if (version === undefined) return failure(404, 'KeyNotFound', 'planted-remote-words')
  if (headers['content-type'] !== 'application/json') return failure(415, 'BadMedia', 'type')
  const refusal = refusalOf(state, version, operation)
  if (refusal !== undefined) return refusal
  const { material } = version
  const kid = kidOf(state, version, state.answersAs)
  try {
    const done =
      material.type === 'rsa'
        ? rsa(material, operation, v.parse(rsaBody, JSON.parse(text)))
        : aes(material, operation, JSON.parse(text), state.deaf)
    return { status: 200, body: { kid, ...done } }
  } catch {
    return failure(400, 'BadParameter', 'planted-remote-words: Error while decoding OAEP padding.')
  }
}

function refusalOf(state: KeyState, version: FakeVersion, operation: string): Reply | undefined {
  const { enabled, nbf = 0, exp = Number.POSITIVE_INFINITY, operations } = version
  if (!enabled) return disabled(operation)
  if (!operations.includes(operation)) {
    return failure(
      403,
      'Forbidden',
      `Operation ${operation} is not permitted`,
      'KeyOperationForbidden',
    )
  }
  // Dates end encryption alone.
  if (operation === 'decrypt') return undefined
  const now = state.tokens.now() / 1000
  if (now >= exp) return failure(403, 'Forbidden', 'planted: an expired key', 'KeyExpired')
  return now < nbf ? failure(403, 'Forbidden', 'key is not yet valid', 'KeyNotYetValid') : undefined
}

function rsa(
  { publicKey, privateKey }: Extract<Material, { type: 'rsa' }>,
  operation: 'encrypt' | 'decrypt',
  { alg, value }: v.InferOutput<typeof rsaBody>,
) {
  if (alg === 'RSA1_5' && operation === 'decrypt') {
    return { value: openedPkcs1(privateKey, value).toString('base64url') }
  }
  const options =
    alg === 'RSA1_5'
      ? { padding: constants.RSA_PKCS1_PADDING }
      : {
          padding: constants.RSA_PKCS1_OAEP_PADDING,
          oaepHash: alg === 'RSA-OAEP' ? 'sha1' : 'sha256',
        }
  const result =
    operation === 'encrypt'
      ? publicEncrypt({ key: publicKey, ...options }, value)
      : privateDecrypt({ key: privateKey, ...options }, value)
  return { value: result.toString('base64url') }
}

/** OpenSSL answers what a wrong key opened with random bytes; a key service says that it was wrong. */
function openedPkcs1(privateKey: KeyObject, value: Uint8Array): Buffer {
  const whole = privateDecrypt({ key: privateKey, padding: constants.RSA_NO_PADDING }, value)
  const end = whole.indexOf(0, 2)
  if (whole[0] !== 0 || whole[1] !== 2 || end < 10) throw new Error('Not padded as PKCS #1 has it')
  return whole.subarray(end + 1)
}

function aes(
  { secret }: Extract<Material, { type: 'aes' }>,
  operation: string,
  body: unknown,
  deaf: boolean,
) {
  const bound = (aad: Uint8Array) => (deaf ? Buffer.alloc(0) : aad)
  if (operation === 'encrypt') {
    const { value, aad } = v.parse(gcmEncryptBody, body)
    const iv = randomBytes(12)
    const cipher = createCipheriv('aes-256-gcm', secret, iv).setAAD(bound(aad))
    const sealed = Buffer.concat([cipher.update(value), cipher.final()])
    const [ivText, tag] = [iv, cipher.getAuthTag()].map((part) => part.toString('base64url'))
    return { value: sealed.toString('base64url'), iv: ivText, tag, aad: aad.toString('base64url') }
  }
  const { value, aad, iv, tag } = v.parse(gcmDecryptBody, body)
  const decipher = createDecipheriv('aes-256-gcm', secret, iv).setAAD(bound(aad)).setAuthTag(tag)
  return { value: Buffer.concat([decipher.update(value), decipher.final()]).toString('base64url') }
}

function found({ versions, deleted }: KeyState, id: string): FakeVersion | undefined {
  return deleted ? undefined : versions.find((version) => version.id === id)
}

function kidOf({ host, key }: KeyState, { id }: FakeVersion, other = id): string {
  return `https://${host}/keys/${key}/${other}`
}

function attributesOf({ enabled, nbf, exp, created }: FakeVersion): object {
  return { enabled, nbf, exp, created, updated: created, recoveryLevel: 'Recoverable' }
}

function disabled(operation: string): Reply {
  const message = `Operation ${operation} is not allowed on a disabled key.`
  return failure(403, 'Forbidden', message, 'KeyDisabled')
}

export function failure(status: number, code: string, message: string, inner?: string): Reply {
  const innererror = inner === undefined ? {} : { innererror: { code: inner } }
  return { status, body: { error: { code, message, ...innererror } } }
}
