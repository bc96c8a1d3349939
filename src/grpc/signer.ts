/**
 * The signer of ServiceAccount tokens (KEP-740) over the domain's {@link TokenSigner}, on a socket
 * of its own; checks what comes in and what goes out (docs/signer.md, "Contract").
 *
 * @module
 */

import { create, toBinary } from '@bufbuild/protobuf'
import type { PublishedKeys, TokenSigner } from '../base/signing_key.ts'
import {
  FetchKeysRequestSchema,
  FetchKeysResponseSchema,
  MetadataRequestSchema,
  MetadataResponseSchema,
  SignJWTRequestSchema,
  SignJWTResponseSchema,
} from './externaljwt_pb.ts'
import { decodeRequest, requestInvalid, wrongAnswer } from './message.ts'
import { type GrpcServer, type SocketServerOptions, serveOnSocket } from './server.ts'
import { createUnary, type UnaryDeps, type UnaryHandler } from './unary.ts'

interface SignerServerOptions extends UnaryDeps, SocketServerOptions {
  readonly signer: TokenSigner
}

const API = 'externaljwt'
const BASE64URL = /^[\w-]+$/
/** An API server that starts waits this long for the first keys (rule J2). */
const FETCH_LIMIT_MS = 60_000
const MIN_TOKEN_SECONDS = 600

/** @throws KmsError when the socket cannot be had; the message says why */
export function startSignerServer(options: SignerServerOptions): Promise<GrpcServer> {
  return serveOnSocket({ 'v1.ExternalJWTSigner': createSignerHandlers(options) }, options)
}

/** Each checks what it gets and what it answers. */
export function createSignerHandlers(
  deps: UnaryDeps & { readonly signer: TokenSigner },
): Record<'Sign' | 'FetchKeys' | 'Metadata', UnaryHandler> {
  const { signer } = deps
  const sign = createUnary(
    {
      api: API,
      name: 'Sign',
      async run(bytes, call, facts) {
        const { claims } = decodeRequest(SignJWTRequestSchema, bytes)
        if (!BASE64URL.test(claims)) throw requestInvalid('Claims are empty or no base64url')
        const { kid, header, signature } = await signer.sign(claims, call)
        facts.keyId = kid
        const answer = create(SignJWTResponseSchema, { header, signature })
        return toBinary(SignJWTResponseSchema, answer)
      },
    },
    deps,
  )
  const fetchKeys = createUnary(
    {
      api: API,
      name: 'FetchKeys',
      async run(bytes, call) {
        decodeRequest(FetchKeysRequestSchema, bytes)
        return keysAnswer(await signer.fetchKeys(call))
      },
    },
    { ...deps, requestTimeoutMs: FETCH_LIMIT_MS },
  )
  const metadata = createUnary(
    {
      api: API,
      name: 'Metadata',
      run(bytes) {
        decodeRequest(MetadataRequestSchema, bytes)
        const seconds = signer.maxTokenSeconds
        if (seconds < MIN_TOKEN_SECONDS) throw wrongAnswer('tokens would live too short')
        const answer = { maxTokenExpirationSeconds: BigInt(Math.floor(seconds)) }
        return toBinary(MetadataResponseSchema, create(MetadataResponseSchema, answer))
      },
    },
    deps,
  )
  return { Sign: sign, FetchKeys: fetchKeys, Metadata: metadata }
}

function keysAnswer({ keys, readAt, refreshSeconds }: PublishedKeys): Uint8Array {
  if (!keys.some(({ inDiscovery }) => inDiscovery)) throw wrongAnswer('no key for discovery')
  if (refreshSeconds < 1) throw wrongAnswer('refresh hint is too short')
  const seconds = Math.floor(readAt / 1_000)
  const answer = {
    keys: keys.map(({ kid, spki, inDiscovery }) => ({
      keyId: kid,
      key: spki,
      excludeFromOidcDiscovery: !inDiscovery,
    })),
    dataTimestamp: { seconds: BigInt(seconds), nanos: 0 },
    refreshHintSeconds: BigInt(Math.floor(refreshSeconds)),
  }
  return toBinary(FetchKeysResponseSchema, create(FetchKeysResponseSchema, answer))
}
