/**
 * Asks a SPIFFE agent on this node for JWT-SVIDs, over the socket of its Workload API. Each question
 * has a connection of its own: the agent knows the caller by it, and hours pass between two.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import type { Socket } from 'node:net'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import {
  type ChannelCredentials,
  Client,
  credentials,
  Metadata,
  type ServiceError,
  status,
} from '@grpc/grpc-js'
import './deno_sessions.ts'
import { type FailureMeaning, KmsError } from '../base/errors.ts'
import type { FetchSvids, IssuedSvid } from '../remote/jwt_svid.ts'
import { JWTSVIDRequestSchema, JWTSVIDResponseSchema } from './spiffe_pb.ts'

const METHOD = '/SpiffeWorkloadAPI/FetchJWTSVID'
/** The standard demands that calls without this header are refused. */
const HEADER = 'workload.spiffe.io'
const MAX_ANSWER_BYTES = 1_048_576

/** Why there is no connection, in the words of the system that grpc-js passes on. */
const UNREACHED: readonly (readonly [RegExp, FailureMeaning])[] = [
  [
    /\b(?:ENOENT|ENOTDIR)\b/,
    { code: 'unavailable', why: 'is not there: start it, or correct auth.spiffe.socket' },
  ],
  [
    /\bECONNREFUSED\b/,
    { code: 'unavailable', why: 'is not there, its socket is a leftover: start it' },
  ],
  [
    /\b(?:EACCES|EPERM)\b/,
    { code: 'denied', why: 'cannot be asked: this user may not open its socket' },
  ],
]

const MEANINGS: Readonly<Record<number, FailureMeaning>> = {
  [status.PERMISSION_DENIED]: {
    code: 'denied',
    why: 'issues no identity to this process, or not auth.spiffe.id: register one whose selectors fit it',
  },
  [status.INVALID_ARGUMENT]: {
    code: 'denied',
    why: 'takes the request for invalid: check auth.spiffe.audience and auth.spiffe.id',
  },
  [status.UNAVAILABLE]: {
    code: 'unavailable',
    why: 'issues nothing now: it is starting, or does not reach its SPIFFE server',
  },
  [status.UNIMPLEMENTED]: {
    code: 'protocol',
    why: 'knows no JWT-SVIDs: is auth.spiffe.socket that of its Workload API?',
  },
  [status.RESOURCE_EXHAUSTED]: {
    code: 'throttled',
    why: `limits the rate of requests, or answers more than ${MAX_ANSWER_BYTES} bytes`,
  },
}

export const fetchSvids: FetchSvids = async (
  { socketPath, audience, id = '' },
  { timeoutMs, signal },
) => {
  const request = create(JWTSVIDRequestSchema, { audience: [audience], spiffeId: id })
  const connection = ownConnection()
  const client = new Client(`unix:${socketPath}`, connection.credentials, {
    'grpc.default_authority': 'localhost',
    'grpc.enable_http_proxy': 0,
    'grpc.use_local_subchannel_pool': 1,
    'grpc.max_receive_message_length': MAX_ANSWER_BYTES,
  })
  try {
    const bytes = await ask(client, toBinary(JWTSVIDRequestSchema, request), { timeoutMs, signal })
    return svidsIn(bytes)
  } catch (error) {
    signal.throwIfAborted()
    const { code, why } = meaningOf(error, timeoutMs)
    throw new KmsError(`SPIFFE agent at "${socketPath}" ${why}`, { code, cause: error })
  } finally {
    client.close()
    connection.end()
  }
}

/**
 * No encryption, which the standard does not ask for, and an end to what was connected: closing a
 * client leaves a connection open that a frozen agent took and never answered on.
 */
function ownConnection(): { readonly credentials: ChannelCredentials; end(): void } {
  const insecure = credentials.createInsecure()
  const sockets: Socket[] = []
  let ended = false
  const create = insecure._createSecureConnector.bind(insecure)
  insecure._createSecureConnector = (...args) => {
    const connector = create(...args)
    const connect = (socket: Socket) => {
      sockets.push(socket)
      if (ended) socket.destroy()
      return connector.connect(socket)
    }
    return { ...connector, connect }
  }
  const end = () => {
    ended = true
    for (const socket of sockets) socket.destroy()
  }
  return { credentials: insecure, end }
}

function ask(
  client: Client,
  request: Uint8Array,
  { timeoutMs, signal }: Parameters<FetchSvids>[1],
): Promise<Uint8Array> {
  signal.throwIfAborted()
  const metadata = new Metadata()
  metadata.set(HEADER, 'true')
  return new Promise((resolve, reject) => {
    const call = client.makeUnaryRequest(
      METHOD,
      (bytes: Uint8Array) => Buffer.from(bytes),
      (bytes: Buffer): Uint8Array => bytes,
      request,
      metadata,
      { deadline: Date.now() + timeoutMs },
      (error, answer) => {
        signal.removeEventListener('abort', cancel)
        if (error === null) resolve(answer ?? new Uint8Array())
        else reject(error)
      },
    )
    const cancel = () => call.cancel()
    signal.addEventListener('abort', cancel, { once: true })
  })
}

function svidsIn(bytes: Uint8Array): readonly IssuedSvid[] {
  const { svids } = fromBinary(JWTSVIDResponseSchema, bytes)
  return svids.map(({ spiffeId, svid }) => ({ id: spiffeId, jwt: svid }))
}

function meaningOf(error: unknown, timeoutMs: number): FailureMeaning {
  if (!isServiceError(error)) {
    return { code: 'protocol', why: 'answers what is not of the SPIFFE Workload API' }
  }
  const { code, details } = error
  if (code === status.DEADLINE_EXCEEDED) {
    return { code: 'timeout', why: `gave no answer within ${timeoutMs} ms` }
  }
  const unreached = code === status.UNAVAILABLE && UNREACHED.find(([said]) => said.test(details))
  if (unreached) return unreached[1]
  const name = status[code] ?? String(code)
  return MEANINGS[code] ?? { code: 'protocol', why: `answers with the status ${name}` }
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'code' in error && 'details' in error
}
