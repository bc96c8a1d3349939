/**
 * The calls that a load generator makes: the same for every KMS socket, and their
 * like for a key service that is asked directly, one item a request.
 *
 * @module
 */

import type { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { Agent, request } from 'undici'
import * as v from 'valibot'
import { connectKms, METHODS } from '../../src/grpc/client.ts'
import type { Endpoint, Operation } from './job.ts'

/** More than are ever under way, so that no two equal requests are. */
const DISTINCT = 256
const SEED_BYTES = 32
const TIMEOUT_MS = 10_000

/** Makes the n-th call; whatever goes wrong is thrown. */
export type Caller = Readonly<Record<Operation, (n: number) => Promise<unknown>>>

export function createCaller(endpoint: Endpoint): Promise<Caller> {
  return endpoint.kind === 'socket' ? socketCaller(endpoint) : httpCaller(endpoint)
}

function seeds(): Buffer[] {
  return Array.from({ length: DISTINCT }, () => randomBytes(SEED_BYTES))
}

/** Requests are encoded ahead, so that the generator measures the server and not itself. */
async function socketCaller({ path }: Extract<Endpoint, { kind: 'socket' }>): Promise<Caller> {
  const { raw } = connectKms(path, { timeoutMs: TIMEOUT_MS })
  const { status, encrypt, decrypt } = METHODS.v2
  const encrypts = seeds().map((plaintext, n) =>
    toBinary(encrypt.input, create(encrypt.input, { plaintext, uid: `bench-${n}` })),
  )
  const decrypts: Uint8Array[] = []
  for (const [n, body] of encrypts.entries()) {
    const { ciphertext, keyId, annotations } = fromBinary(
      encrypt.output,
      await raw(encrypt.path, body),
    )
    const init = { ciphertext, keyId, annotations, uid: `bench-${n}` }
    decrypts.push(toBinary(decrypt.input, create(decrypt.input, init)))
  }
  const nothing = new Uint8Array()
  const nth = (bodies: readonly Uint8Array[], n: number) => bodies[n % DISTINCT] ?? nothing
  return {
    Status: () => raw(status.path, nothing),
    Encrypt: (n) => raw(encrypt.path, nth(encrypts, n)),
    Decrypt: (n) => raw(decrypt.path, nth(decrypts, n)),
  }
}

const encrypted = v.object({ data: v.object({ ciphertext: v.string() }) })

async function httpCaller({ keyUrl, token }: Extract<Endpoint, { kind: 'http' }>): Promise<Caller> {
  const dispatcher = new Agent()
  const headers = { 'x-vault-token': token, 'content-type': 'application/json' }
  const post = async (operation: string, body: string): Promise<unknown> => {
    const url = keyUrl.replace('{operation}', operation)
    const answer = await request(url, { method: 'POST', headers, body, dispatcher })
    const content = await answer.body.json()
    if (answer.statusCode !== 200) throw new Error(`HTTP status ${answer.statusCode}`)
    return content
  }
  const encrypts = seeds().map((seed) => JSON.stringify({ plaintext: seed.toString('base64') }))
  const decrypts: string[] = []
  for (const body of encrypts) {
    const { data } = v.parse(encrypted, await post('encrypt', body))
    decrypts.push(JSON.stringify({ ciphertext: data.ciphertext }))
  }
  return {
    Status: () => Promise.reject(new Error('A key service has no Status')),
    Encrypt: (n) => post('encrypt', encrypts[n % DISTINCT] ?? ''),
    Decrypt: (n) => post('decrypt', decrypts[n % DISTINCT] ?? ''),
  }
}
