/**
 * One unary method: bytes in, bytes out, inside its time limit, with one event and
 * never an exception (rules T15, T18).
 *
 * @module
 */

import type { handleUnaryCall, ServerUnaryCall } from '@grpc/grpc-js'
import { unlessAborted } from '../kms/call.ts'
import type { Clock } from '../kms/clock.ts'
import { KmsError, toKmsError } from '../kms/errors.ts'
import type { EventSink, KmsApi, KmsEvent } from '../kms/events.ts'
import { keyIdHash } from '../kms/key_id_hash.ts'
import type { Call } from '../kms/provider.ts'
import { toStatus } from './status.ts'

export type Bytes = Uint8Array<ArrayBufferLike>
export type UnaryHandler = handleUnaryCall<Bytes, Bytes>

export interface UnaryDeps {
  readonly clock: Clock
  readonly events: EventSink
  /** No request takes longer, whatever hangs. */
  readonly requestTimeoutMs: number
}

/** What a request's event tells beside its outcome; filled in as it becomes known. */
export interface RequestFacts {
  uid?: string
  keyId?: string
}

export interface UnaryMethod {
  readonly api: KmsApi
  readonly name: Extract<KmsEvent, { type: 'request' }>['method']
  run(request: Bytes, call: Call, facts: RequestFacts): Promise<Bytes> | Bytes
}

const MAX_UID_CHARACTERS = 128

export function createUnary(method: UnaryMethod, deps: UnaryDeps): UnaryHandler {
  return (grpcCall, callback) => {
    const start = deps.clock.monotonic()
    const facts: RequestFacts = {}
    limited(method, grpcCall, facts, deps).then(
      (answer) => {
        tell(method, facts, deps, start)
        callback(null, answer)
      },
      (thrown: unknown) => {
        const error = toKmsError(thrown)
        tell(method, facts, deps, start, error)
        callback(toStatus(error))
      },
    )
  }
}

/** Ends at the client's deadline or at ours, and when the client goes away. */
async function limited(
  { run }: UnaryMethod,
  grpcCall: ServerUnaryCall<Bytes, Bytes>,
  facts: RequestFacts,
  { clock, requestTimeoutMs }: UnaryDeps,
): Promise<Bytes> {
  const left = Number(grpcCall.getDeadline()) - clock.now()
  const ms = Math.max(Math.min(requestTimeoutMs, left), 0)
  const deadline = clock.monotonic() + ms
  const controller = new AbortController()
  const { signal } = controller
  const cancelTimer = clock.after(ms, () => {
    controller.abort(new KmsError(`Gave up after ${Math.round(ms)} ms`, { code: 'timeout' }))
  })
  // grpc-js says the same of a client that went away and of one whose deadline passed.
  grpcCall.on('cancelled', () => {
    const late = clock.monotonic() >= deadline
    const message = late ? 'Deadline of the client passed' : 'Client went away'
    controller.abort(new KmsError(message, { code: late ? 'timeout' : 'cancelled' }))
  })
  try {
    const work = Promise.resolve(run(grpcCall.request, { signal, deadline }, facts))
    return await unlessAborted(work, signal)
  } finally {
    cancelTimer()
  }
}

function tell(
  { api, name }: UnaryMethod,
  { uid, keyId }: RequestFacts,
  { clock, events }: UnaryDeps,
  start: number,
  error?: KmsError,
): void {
  events.emit({
    type: 'request',
    api,
    method: name,
    uid: uid === undefined ? undefined : printable(uid),
    code: error?.code ?? 'ok',
    durationMs: clock.monotonic() - start,
    keyIdHash: keyId === undefined ? undefined : keyIdHash(keyId),
    error,
  })
}

/** The uid is the client's own text. */
function printable(uid: string): string {
  return uid.slice(0, MAX_UID_CHARACTERS).replaceAll(/[^\x21-\x7e]/g, '?')
}
