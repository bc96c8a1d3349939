/** A signer of ServiceAccount tokens that keeps every rule and can be told to break one. @module */

import { Buffer } from 'node:buffer'
import { generateKeyPairSync, hash, type KeyObject, sign } from 'node:crypto'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { type handleUnaryCall, Server, ServerCredentials } from '@grpc/grpc-js'
import {
  FetchKeysResponseSchema,
  MetadataResponseSchema,
  SignJWTRequestSchema,
  SignJWTResponseSchema,
} from '../../../src/grpc/externaljwt_pb.ts'
import { tempFolder } from '../temp_folder.ts'

export interface FakeKey {
  readonly keyId: string
  readonly key: Uint8Array
  readonly excludeFromOidcDiscovery: boolean
}

interface FakeKeys {
  readonly keys: readonly FakeKey[]
  readonly refreshHintSeconds: bigint
  readonly dataTimestamp?: { readonly seconds: bigint; readonly nanos: number } | undefined
}

export interface FakeToken {
  readonly header: string
  readonly signature: string
}

type MaybePromise<T> = T | Promise<T>

/** Each hook gets the answer of a good signer, and may return another. */
export interface FakeSigner {
  readonly service?: string
  readonly keys?: (good: FakeKeys) => MaybePromise<FakeKeys>
  readonly keysBytes?: Uint8Array
  readonly seconds?: (good: bigint) => MaybePromise<bigint>
  readonly sign?: (
    claims: string,
    good: (header?: object, claims?: string) => FakeToken,
  ) => MaybePromise<FakeToken>
  /** What signs and is published. */
  readonly pair?: { readonly publicKey: KeyObject; readonly privateKey: KeyObject }
}

export const P256 = { namedCurve: 'P-256' } as const

interface RunningFake extends AsyncDisposable {
  readonly path: string
}

export async function startFakeSigner(hooks: FakeSigner = {}): Promise<RunningFake> {
  await using started = new AsyncDisposableStack()
  const folder = started.use(await tempFolder())
  const path = folder.at('signer.sock')
  const server = new Server()
  started.defer(() => server.forceShutdown())
  for (const [name, handler] of Object.entries(handlersOf(hooks))) {
    server.addService(
      { [name]: definition(`/${hooks.service ?? 'v1.ExternalJWTSigner'}/${name}`) },
      { [name]: unary(handler) },
    )
  }
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (error) => {
      if (error === null) resolve()
      else reject(error)
    })
  })
  const all = started.move()
  return { path, [Symbol.asyncDispose]: () => all[Symbol.asyncDispose]() }
}

function handlersOf(hooks: FakeSigner) {
  const { publicKey, privateKey } = hooks.pair ?? generateKeyPairSync('ec', P256)
  const key = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }))
  const keyId = hash('sha256', key, 'base64url')
  const signed = (claims: string, changed: object = {}, over = claims): FakeToken => {
    const fields = { alg: 'ES256', kid: keyId, typ: 'JWT', ...changed }
    const header = Buffer.from(JSON.stringify(fields)).toString('base64url')
    const way = { key: privateKey, dsaEncoding: 'ieee-p1363' } as const
    const signature = sign('sha256', Buffer.from(`${header}.${over}`), way)
    return { header, signature: signature.toString('base64url') }
  }
  return {
    async Sign(bytes: Uint8Array) {
      const { claims } = fromBinary(SignJWTRequestSchema, bytes)
      if (claims === '') throw new Error('There are no claims')
      const good = (header?: object, over?: string) => signed(claims, header, over)
      const token = (await hooks.sign?.(claims, good)) ?? good()
      return toBinary(SignJWTResponseSchema, create(SignJWTResponseSchema, { ...token }))
    },
    async FetchKeys() {
      if (hooks.keysBytes !== undefined) return hooks.keysBytes
      const good: FakeKeys = {
        keys: [{ keyId, key, excludeFromOidcDiscovery: false }],
        refreshHintSeconds: 60n,
        dataTimestamp: { seconds: BigInt(Math.floor(Date.now() / 1_000)), nanos: 0 },
      }
      const { dataTimestamp, ...told } = (await hooks.keys?.(good)) ?? good
      const answer = {
        ...told,
        keys: told.keys.map((each) => ({ ...each })),
        ...(dataTimestamp === undefined ? {} : { dataTimestamp: { ...dataTimestamp } }),
      }
      return toBinary(FetchKeysResponseSchema, create(FetchKeysResponseSchema, answer))
    },
    async Metadata() {
      const seconds = (await hooks.seconds?.(31_536_000n)) ?? 31_536_000n
      const answer = { maxTokenExpirationSeconds: seconds }
      return toBinary(MetadataResponseSchema, create(MetadataResponseSchema, answer))
    },
  }
}

function definition(path: string) {
  const same = (bytes: Uint8Array) => Buffer.from(bytes)
  return {
    path,
    requestStream: false,
    responseStream: false,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  } as const
}

function unary(
  run: (bytes: Uint8Array) => Promise<Uint8Array>,
): handleUnaryCall<Uint8Array, Uint8Array> {
  return ({ request }, answer) => {
    run(request).then(
      (bytes) => answer(null, bytes),
      (error: Error) => answer({ code: 3, details: error.message }),
    )
  }
}
