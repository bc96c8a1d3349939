/** Files with keys: recovery keys and their annotations, local keys, and PEM for logins, heads and TLS. @module */

import { Buffer } from 'node:buffer'
import { createHash, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'
import {
  envelopeOf,
  openRecoveryAnnotation,
  recipientsOf,
} from '../../../src/recovery/annotation.ts'
import { parsePrivateJwk } from '../../../src/recovery/jwk.ts'
import { loadRecoverySealer, readPrivateKey } from '../../../src/recovery/key_file.ts'
import { readAssertionKey, readLoginKey } from '../../../src/remote/assertion.ts'
import { authoritiesIn, clientExpiry, endedAmong } from '../../../src/remote/http/expiry.ts'
import { identityOf, readTlsMaterial, trustOf } from '../../../src/remote/http/tls_files.ts'
import { readKeyFile } from '../../../src/services/local/key_file.ts'
import { headKeys } from '../../../src/tools/audit/signature.ts'
import { makeAuthority } from '../../_lib/remote/certificates.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { ignoreNamed } from '../engine/named_error.ts'
import { jsonMutator } from '../mutate/json.ts'
import { textMutator } from '../mutate/text.ts'
import { bytesOf, fileTarget, type Surface, type Target, textOf } from '../surface.ts'

const JWK_WORDS = ['EC', 'OKP', 'RSA', 'oct', 'P-256', 'P-384', 'X25519', 'Ed25519', 'A'.repeat(43)]
const JWK_KEYS = ['kty', 'crv', 'x', 'y', 'd', 'n', 'e', 'k', 'alg', 'use', 'kid', 'key_ops']
const VECTOR = new URL('../../vectors/recovery.json', import.meta.url)

/** JSON with `recipients` is an annotation, and anything else the file of a key. */
export const recovery: Surface = {
  name: 'recovery',
  from: 'whoever writes to etcd, or hands in a recovery key',
  files: ['recovery/'],
  mutate: jsonMutator(
    [...JWK_WORDS, 'ECDH-ES+A256KW', 'A256GCM', 'eyJlbmMiOiJBMjU2R0NNIn0'],
    [...JWK_KEYS, 'recipients', 'header', 'encrypted_key', 'epk', 'protected', 'aad'],
  ),
  async open(): Promise<Target> {
    const { privateKey, annotation, headerDigest } = JSON.parse(await readFile(VECTOR, 'utf8'))
    const key = parsePrivateJwk(JSON.stringify(privateKey), 'vector')
    const { d: _secret, ...publicKey } = privateKey
    const seeds = [JSON.stringify(privateKey), JSON.stringify(publicKey), annotation, LOCKED]
    return fileTarget(seeds.map(bytesOf), async (path, input) => {
      if (textOf(input).includes('"recipients"')) {
        recipientsOf(input)
        envelopeOf(input)
        return await openRecoveryAnnotation(input, key, Buffer.from(headerDigest, 'hex'))
      }
      await loadRecoverySealer([path]).catch(ignoreNamed)
      return await readPrivateKey(path, 'passphrase')
    })
  },
}

/** A JWE in its compact form whose header asks for few iterations. */
const LOCKED = [
  Buffer.from(
    '{"alg":"PBES2-HS512+A256KW","enc":"A256GCM","p2c":1000,"p2s":"AAAAAAAAAAAAAAAAAAAAAA"}',
  ).toString('base64url'),
  ...[40, 12, 40, 16].map((size) => Buffer.alloc(size).toString('base64url')),
].join('.')

/** A checksum of `right` is replaced by that of the keys. */
export const localKeys: Surface = {
  name: 'local_keys',
  from: 'whoever may write the key file, or a disk that fails',
  files: ['services/local/key_file.ts'],
  mutate: jsonMutator(
    ['right', 'TrousseauLocalKeys', `${'A'.repeat(43)}=`, 'a'.repeat(32)],
    ['checksum', 'version', 'createdAt', 'key'],
  ),
  open: () =>
    Promise.resolve(fileTarget([1, 2].map(localFile), (path) => readKeyFile(path), summed)),
}

function localFile(count: number): Uint8Array {
  const keys = Array.from({ length: count }, (_, at) => ({
    version: at + 1,
    createdAt: 1_800_000_000,
    key: Buffer.alloc(32, at).toString('base64'),
  }))
  const content = {
    kind: 'TrousseauLocalKeys',
    format: 1,
    id: 'ab'.repeat(16),
    keys,
    checksum: 'right',
  }
  return bytesOf(JSON.stringify(content))
}

function summed(input: Uint8Array): Uint8Array {
  try {
    const content = JSON.parse(textOf(input))
    if (content.checksum !== 'right') return input
    const { kind, format, id, keys } = content
    const listed = keys.map((each: Record<string, unknown>) => [
      each['version'],
      each['createdAt'],
      each['key'],
    ])
    const checksum = createHash('sha256')
      .update(JSON.stringify([kind, format, id, listed]))
      .digest('hex')
    return bytesOf(JSON.stringify({ ...content, checksum }))
  } catch {
    return input
  }
}

const PEM = [
  ...['-----BEGIN CERTIFICATE-----', '-----END CERTIFICATE-----', '-----BEGIN PRIVATE KEY-----'],
  ...['-----END PRIVATE KEY-----', '-----BEGIN PUBLIC KEY-----', '-----BEGIN EC PRIVATE KEY-----'],
  ...['ENCRYPTED', 'MII', '=', '\n\n', '{"kind":"trousseau-tpm-login-key"', '{"kty":"EC"'],
]

export const pem: Surface = {
  name: 'pem',
  from: 'whoever hands in keys and certificates',
  files: [
    'remote/assertion.ts',
    'remote/http/authorities.ts',
    'remote/http/tls_files.ts',
    'remote/http/expiry.ts',
    'tools/audit/signature.ts',
  ],
  mutate: textMutator(PEM, ['-----BEGIN CERTIFICATE-----\n', '\n', '[']),
  open: async () => fileTarget(await pemSeeds(), readPem),
}

async function readPem(path: string): Promise<void> {
  await readAssertionKey(path).catch(ignoreNamed)
  await readLoginKey(path).catch(ignoreNamed)
  await headKeys([path]).catch(ignoreNamed)
  const material = await readTlsMaterial({ caFile: path, certFile: path })
  clientExpiry(material)
  endedAmong(authoritiesIn(material), 1_800_000_000_000)
  createSecureContext({ ...trustOf(material), ...identityOf(material) })
}

async function pemSeeds(): Promise<Uint8Array[]> {
  await using folder = await tempFolder()
  const { cert, key } = await makeAuthority(folder.path, 'ca')
  const made = await readFile(cert, 'utf8')
  const pairs = [
    generateKeyPairSync('ed25519'),
    generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    generateKeyPairSync('rsa', { modulusLength: 2_048 }),
  ]
  return [
    `${made}${await readFile(key, 'utf8')}`,
    `${made}\n${made}`,
    ...pairs.map(({ privateKey }) => pemOf(privateKey, 'pkcs8')),
    ...pairs.slice(0, 2).map(({ publicKey }) => pemOf(publicKey, 'spki')),
    ...pairs
      .slice(0, 2)
      .map(({ privateKey }) => JSON.stringify(privateKey.export({ format: 'jwk' }))),
  ].map(bytesOf)
}

function pemOf(key: KeyObject, type: 'pkcs8' | 'spki'): string {
  return String(key.export({ format: 'pem', type }))
}
