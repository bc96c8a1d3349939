/** Asks a signer's socket as kube-apiserver does. @module */

import { Buffer } from 'node:buffer'
import { createPublicKey, verify } from 'node:crypto'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { Client, credentials, type ServiceError } from '@grpc/grpc-js'
import {
  FetchKeysResponseSchema,
  MetadataResponseSchema,
  SignJWTRequestSchema,
  SignJWTResponseSchema,
} from '../../../src/grpc/externaljwt_pb.ts'

interface SignerClient extends Disposable {
  sign(claims: string): Promise<{ readonly header: string; readonly signature: string }>
  fetchKeys(): Promise<FetchedKeys>
  maxTokenSeconds(): Promise<number>
  /** Any bytes to a method. */
  raw(method: string, body: Uint8Array): Promise<Uint8Array>
}

interface FetchedKeys {
  readonly keys: readonly FetchedKey[]
  readonly kids: readonly string[]
  readonly readAt: number
  readonly refreshSeconds: number
}

interface FetchedKey {
  readonly kid: string
  readonly spki: Uint8Array
  readonly excluded: boolean
}

const HASHES: Readonly<Record<string, string>> = {
  RS256: 'sha256',
  ES256: 'sha256',
  ES384: 'sha384',
  ES512: 'sha512',
}

export function connectSigner(socketPath: string, limitMs = 20_000): SignerClient {
  const client = new Client(`unix:${socketPath}`, credentials.createInsecure(), {
    'grpc.default_authority': 'localhost',
    'grpc.use_local_subchannel_pool': 1,
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 500,
  })
  const raw = (method: string, body: Uint8Array) =>
    new Promise<Uint8Array>((resolve, reject) => {
      client.makeUnaryRequest(
        `/v1.ExternalJWTSigner/${method}`,
        (bytes: Uint8Array) => Buffer.from(bytes),
        (bytes: Buffer) => new Uint8Array(bytes),
        body,
        { deadline: Date.now() + limitMs },
        (error: ServiceError | null, answer?: Uint8Array) => {
          if (error === null) resolve(answer ?? new Uint8Array())
          else reject(error)
        },
      )
    })
  return {
    raw,
    async sign(claims) {
      const body = toBinary(SignJWTRequestSchema, create(SignJWTRequestSchema, { claims }))
      const { header, signature } = fromBinary(SignJWTResponseSchema, await raw('Sign', body))
      return { header, signature }
    },
    async fetchKeys() {
      const body = await raw('FetchKeys', new Uint8Array())
      const answer = fromBinary(FetchKeysResponseSchema, body)
      const keys = answer.keys.map(({ keyId, key, excludeFromOidcDiscovery }) => ({
        kid: keyId,
        spki: key,
        excluded: excludeFromOidcDiscovery,
      }))
      return {
        keys,
        kids: keys.map(({ kid }) => kid),
        readAt: Number(answer.dataTimestamp?.seconds ?? 0n),
        refreshSeconds: Number(answer.refreshHintSeconds),
      }
    },
    async maxTokenSeconds() {
      const body = await raw('Metadata', new Uint8Array())
      return Number(fromBinary(MetadataResponseSchema, body).maxTokenExpirationSeconds)
    },
    [Symbol.dispose]: () => client.close(),
  }
}

/** What the header says; `alg`, `kid` and `typ` in a good one. */
export function headerOf({ header }: { readonly header: string }): Record<string, string> {
  return JSON.parse(Buffer.from(header, 'base64url').toString())
}

/** Whether one of the keys verifies the token, judged by its header alone. */
export function verifiedBy(
  keys: readonly FetchedKey[],
  claims: string,
  token: { readonly header: string; readonly signature: string },
): boolean {
  const { kid, alg = '' } = headerOf(token)
  const found = keys.find((each) => each.kid === kid)
  if (found === undefined) return false
  const key = createPublicKey({ key: Buffer.from(found.spki), format: 'der', type: 'spki' })
  return verify(
    HASHES[alg],
    Buffer.from(`${token.header}.${claims}`),
    { key, dsaEncoding: 'ieee-p1363' },
    Buffer.from(token.signature, 'base64url'),
  )
}
