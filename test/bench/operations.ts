/** The requests of each operation, encoded in advance. @module */

import type { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import { create, toBinary } from '@bufbuild/protobuf'
import { connectKms, METHODS } from '../../src/grpc/client.ts'
import type { OpenBao, Transit } from '../_lib/services/vault/openbao.ts'
import { transitCiphertexts, v1Ciphertexts } from './ciphertexts.ts'
import type { Load } from './generators.ts'

/** `Repeat` is Decrypt of a few ciphertexts by everybody; `Cold v1` is v1beta1's Decrypt, of each ciphertext once. */
export const OPERATIONS = ['Status', 'Encrypt', 'Decrypt', 'Repeat', 'Cold v1'] as const
export type Operation = (typeof OPERATIONS)[number]

/** A load but for who makes it, and how much of it. */
type Requests = Pick<Load, 'path' | 'bodies' | 'shared'>

/** How to come by an operation's requests; `count` is heeded by `Cold v1`, whose requests are new each time. */
type Prepare = (count: number) => Promise<Requests>
export type Prepares = ReadonlyMap<Operation, Prepare>

export async function prepared(
  prepares: Prepares,
  operation: Operation,
  count = 1,
): Promise<Requests> {
  const requests = await prepares.get(operation)?.(count)
  if (requests === undefined) throw new Error(`There is no ${operation}`)
  return requests
}

/** More than are ever under way. */
const DISTINCT = 256
const REPEATED = 20
const SEED_BYTES = 32
const TIMEOUT_MS = 10_000

/** Of any KMS socket. */
export function socketPrepares(socketPath: string): Prepares {
  const { status, encrypt } = METHODS.v2
  const encrypts = seeds(DISTINCT).map((plaintext, n) =>
    toBinary(encrypt.input, create(encrypt.input, { plaintext, uid: `bench-${n}` })),
  )
  return new Map<Operation, Prepare>([
    ['Status', always({ path: status.path, bodies: [new Uint8Array()], shared: true })],
    ['Encrypt', always({ path: encrypt.path, bodies: encrypts })],
    ['Decrypt', once(() => v2Decrypts(socketPath, DISTINCT))],
    ['Repeat', once(async () => ({ ...(await v2Decrypts(socketPath, REPEATED)), shared: true }))],
  ])
}

/** Of a plugin in front of the transit key. */
export function vaultPrepares(socketPath: string, bao: OpenBao, transit: Transit): Prepares {
  const { path, input } = METHODS.v1.decrypt
  const cold: Prepare = async (count) => {
    const ciphertexts = await v1Ciphertexts({ socketPath, bao, transit, plaintexts: seeds(count) })
    const bodies = ciphertexts.map((cipher) =>
      toBinary(input, create(input, { version: 'v1beta1', cipher })),
    )
    return { path, bodies }
  }
  return new Map([...socketPrepares(socketPath), ['Cold v1', cold]])
}

/** Of the transit key itself: one item a request. */
export function transitPrepares(bao: OpenBao, transit: Transit): Prepares {
  const { mount, key } = transit
  const json = (content: object) => new TextEncoder().encode(JSON.stringify(content))
  const encrypts = seeds(DISTINCT).map((seed) => json({ plaintext: seed.toString('base64') }))
  const decrypts: Prepare = async (count) => {
    const items = seeds(count).map((plaintext) => ({ plaintext }))
    const ciphertexts = await transitCiphertexts(bao, transit, items)
    const bodies = ciphertexts.map((ciphertext) => json({ ciphertext }))
    return { path: `${mount}/decrypt/${key}`, bodies }
  }
  return new Map<Operation, Prepare>([
    ['Encrypt', always({ path: `${mount}/encrypt/${key}`, bodies: encrypts })],
    ['Decrypt', once(() => decrypts(DISTINCT))],
    ['Cold v1', decrypts],
  ])
}

async function v2Decrypts(socketPath: string, count: number): Promise<Requests> {
  const { path, input } = METHODS.v2.decrypt
  const client = connectKms(socketPath, { timeoutMs: TIMEOUT_MS })
  try {
    const bodies = await Promise.all(
      seeds(count).map(async (plaintext, n) => {
        const uid = `bench-${n}`
        const { ciphertext, keyId, annotations } = await client.v2.encrypt({ plaintext, uid })
        return toBinary(input, create(input, { ciphertext, keyId, annotations, uid }))
      }),
    )
    return { path, bodies }
  } finally {
    client.close()
  }
}

function seeds(count: number): Buffer[] {
  return Array.from({ length: count }, () => randomBytes(SEED_BYTES))
}

function always(requests: Requests): Prepare {
  return () => Promise.resolve(requests)
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined
  return () => {
    made ??= make()
    return made
  }
}
