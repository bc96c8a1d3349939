/**
 * A client for any KMS plugin's socket, which speaks as kube-apiserver does.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf'
import { Client, credentials, type ServiceError, status } from '@grpc/grpc-js'
import './deno_sessions.ts'
import { plainDetails } from './plain_details.ts'
import * as v1 from './v1beta1_pb.ts'
import * as v2 from './v2_pb.ts'

interface ClientOptions {
  readonly timeoutMs: number
  /** `:authority` of the requests: `localhost` since Kubernetes 1.32, the escaped path before. */
  readonly authority?: string
}

/** A call that failed: the status's name and number, and the plugin's own words, or why it had none. */
export class RpcError extends Error {
  override readonly name = 'RpcError'
  readonly code: number
  /** `UNAVAILABLE` and so on. */
  readonly status: string

  constructor({ code, details }: Pick<ServiceError, 'code' | 'details'>) {
    super(plainDetails(details))
    this.code = code
    this.status = status[code] ?? String(code)
  }
}

/** A unary method by its request's and its answer's schema. */
export interface Method<I extends DescMessage, O extends DescMessage> {
  readonly path: string
  readonly input: I
  readonly output: O
}

function method<I extends DescMessage, O extends DescMessage>(
  path: string,
  input: I,
  output: O,
): Method<I, O> {
  return { path, input, output }
}

export const METHODS = {
  v2: {
    status: method(
      '/v2.KeyManagementService/Status',
      v2.StatusRequestSchema,
      v2.StatusResponseSchema,
    ),
    encrypt: method(
      '/v2.KeyManagementService/Encrypt',
      v2.EncryptRequestSchema,
      v2.EncryptResponseSchema,
    ),
    decrypt: method(
      '/v2.KeyManagementService/Decrypt',
      v2.DecryptRequestSchema,
      v2.DecryptResponseSchema,
    ),
  },
  v1: {
    version: method(
      '/v1beta1.KeyManagementService/Version',
      v1.VersionRequestSchema,
      v1.VersionResponseSchema,
    ),
    encrypt: method(
      '/v1beta1.KeyManagementService/Encrypt',
      v1.EncryptRequestSchema,
      v1.EncryptResponseSchema,
    ),
    decrypt: method(
      '/v1beta1.KeyManagementService/Decrypt',
      v1.DecryptRequestSchema,
      v1.DecryptResponseSchema,
    ),
  },
} as const

const API_V1 = 'v1beta1'

export type KmsClient = ReturnType<typeof connectKms>

/** Calls of any service on a socket; connects when the first one is made. */
export function connectTo(
  socketPath: string,
  { timeoutMs, authority = 'localhost' }: ClientOptions,
) {
  const client = new Client(`unix:${socketPath}`, credentials.createInsecure(), {
    'grpc.default_authority': authority,
    'grpc.enable_http_proxy': 0,
    'grpc.use_local_subchannel_pool': 1,
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 1_000,
  })

  /** A call of bytes to a path, for what no schema describes. */
  function raw(path: string, body: Uint8Array, limitMs = timeoutMs): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        path,
        (bytes: Uint8Array) => Buffer.from(bytes),
        (bytes: Buffer) => new Uint8Array(bytes),
        body,
        { deadline: Date.now() + limitMs },
        (error, answer) => {
          if (error !== null) reject(new RpcError(error))
          else resolve(answer ?? new Uint8Array())
        },
      )
    })
  }

  async function call<I extends DescMessage, O extends DescMessage>(
    { path, input, output }: Method<I, O>,
    init: MessageInitShape<I>,
  ): Promise<MessageShape<O>> {
    return fromBinary(output, await raw(path, toBinary(input, create(input, init))))
  }

  return { raw, call, close: () => client.close() }
}

/** Connects when the first call is made. */
export function connectKms(socketPath: string, options: ClientOptions) {
  const { raw, call, close } = connectTo(socketPath, options)
  return {
    raw,
    v2: {
      status: () => call(METHODS.v2.status, {}),
      encrypt: (init: { plaintext: Uint8Array; uid: string }) => call(METHODS.v2.encrypt, init),
      decrypt: (init: {
        ciphertext: Uint8Array
        uid: string
        keyId: string
        annotations: Readonly<Record<string, Uint8Array>>
      }) => {
        const { ciphertext, uid, keyId, annotations } = init
        return call(METHODS.v2.decrypt, { ciphertext, uid, keyId, annotations: { ...annotations } })
      },
    },
    v1: {
      version: () => call(METHODS.v1.version, { version: API_V1 }),
      encrypt: (plain: Uint8Array) => call(METHODS.v1.encrypt, { version: API_V1, plain }),
      decrypt: (cipher: Uint8Array) => call(METHODS.v1.decrypt, { version: API_V1, cipher }),
    },
    close,
  }
}
