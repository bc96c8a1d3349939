/**
 * One unary method: bytes in, bytes out, inside its time limit, with one event and
 * never an exception (rules T15, T18).
 *
 * @module
 */

import type { handleUnaryCall, ServerUnaryCall } from '@grpc/grpc-js'
import type { Clock } from '../base/clock.ts'
import { KmsError, toKmsError } from '../base/errors.ts'
import type { EventSink, KmsEvent } from '../base/events.ts'
import { keyIdHash } from '../base/key_id_hash.ts'
import type { Call } from '../base/provider.ts'
import { newRecord, type RequestFacts, type RequestRecord } from '../base/request_record.ts'
import { toStatus } from './status.ts'

export type Bytes = Uint8Array<ArrayBufferLike>
export type UnaryHandler = handleUnaryCall<Bytes, Bytes>

export interface UnaryDeps {
  /** The endpoint's name, for events. */
  readonly endpoint?: string
  readonly clock: Clock
  readonly events: EventSink
  /** No request takes longer, whatever hangs. */
  readonly requestTimeoutMs: number
  /** Whether what each request did is written down, for its event. */
  readonly records?: boolean
}

type RequestEvent = Extract<KmsEvent, { type: 'request' }>

interface UnaryMethod {
  readonly api: RequestEvent['api']
  readonly name: RequestEvent['method']
  run(request: Bytes, call: Call, facts: RequestFacts): Promise<Bytes> | Bytes
}

const MAX_UID_CHARACTERS = 128
/** By so much may grpc-js's timer and ours differ: both begin at whole milliseconds. */
const GRAIN_MS = 2

export function createUnary(method: UnaryMethod, deps: UnaryDeps): UnaryHandler {
  return (grpcCall, callback) => {
    const start = deps.clock.monotonic()
    const record = deps.records === true ? newRecord(traceparentOf(grpcCall)) : undefined
    const facts: RequestFacts = record ?? {}
    const ended = (error?: KmsError) => tell(method, { facts, record, start, error }, deps)
    limited(method, grpcCall, { facts, record }, deps).then(
      (answer) => {
        ended()
        callback(null, answer)
      },
      (thrown: unknown) => {
        const error = toKmsError(thrown)
        ended(error)
        callback(toStatus(error))
      },
    )
  }
}

/** Ends at the client's deadline or at ours, and when the client goes away. */
function limited(
  { run }: UnaryMethod,
  grpcCall: ServerUnaryCall<Bytes, Bytes>,
  { facts, record }: Pick<Ended, 'facts' | 'record'>,
  { clock, requestTimeoutMs }: UnaryDeps,
): Promise<Bytes> {
  return new Promise((resolve, reject) => {
    const left = Number(grpcCall.getDeadline()) - clock.now()
    const ms = Math.max(Math.min(requestTimeoutMs, left), 0)
    const deadline = clock.monotonic() + ms
    const controller = new AbortController()
    let ended = false
    const end = () => {
      ended = true
      cancelTimer()
    }
    const giveUp = (message: string, code: 'timeout' | 'cancelled') => {
      end()
      const error = new KmsError(message, { code })
      reject(error)
      controller.abort(error)
    }
    const cancelTimer = clock.after(ms, () =>
      giveUp(`Gave up after ${Math.round(ms)} ms`, 'timeout'),
    )
    // grpc-js emits this event for a client that went away, for one whose deadline passed, and
    // after every answer.
    grpcCall.on('cancelled', () => {
      if (ended) return
      const late = clock.monotonic() >= deadline - GRAIN_MS
      if (late) giveUp('Deadline of the client passed', 'timeout')
      else giveUp('Client went away', 'cancelled')
    })
    const work = async () =>
      await run(grpcCall.request, { signal: controller.signal, deadline, record }, facts)
    work().then(resolve, reject).finally(end)
  })
}

interface Ended {
  readonly facts: RequestFacts
  readonly record: RequestRecord | undefined
  readonly start: number
  readonly error: KmsError | undefined
}

function tell(
  { api, name }: UnaryMethod,
  { facts: { uid, keyId }, record, start, error }: Ended,
  { clock, events, endpoint }: UnaryDeps,
): void {
  events.emit({
    type: 'request',
    endpoint,
    api,
    method: name,
    uid: uid === undefined ? undefined : printable(uid),
    code: error?.code ?? 'ok',
    durationMs: clock.monotonic() - start,
    keyIdHash: keyId === undefined ? undefined : keyIdHash(keyId),
    error,
    record,
  })
}

/** The API server sends none yet (seen in 1.37.2). */
function traceparentOf({ metadata }: ServerUnaryCall<Bytes, Bytes>): string | undefined {
  const [first] = metadata.get('traceparent')
  return typeof first === 'string' ? first : undefined
}

/** The uid is the client's own text. */
function printable(uid: string): string {
  return uid.slice(0, MAX_UID_CHARACTERS).replaceAll(/[^\x21-\x7e]/g, '?')
}
