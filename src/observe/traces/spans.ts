/**
 * Makes spans of events: one of each Encrypt, Decrypt and Sign, in it one of each use of a key, and one of
 * each call to a key service. That one carries items of many requests, so it hangs below the first
 * of them and has links to the others. Only names, codes and counts are in them, and hashes.
 *
 * @module
 */

import type { Clock } from '../../base/clock.ts'
import type { KmsErrorCode } from '../../base/errors.ts'
import { type EventSink, type KmsEvent, ONLY_ENDPOINT } from '../../base/events.ts'
import type { KeyUseRecord, RequestRecord } from '../../base/request_record.ts'
import { isSampled, parentOf, randomId, traceIdOf } from './ids.ts'
import { KIND, type Span, type SpanId, spanText } from './otlp.ts'

type Code = KmsErrorCode | 'ok'

interface SpanDeps {
  readonly clock: Clock
  readonly random: (bytes: number) => Uint8Array
  /** From 0 to 1: the part of the traces that begin here which is kept. */
  readonly sampleRatio: number
  /** The name of the gRPC status that a code becomes. */
  readonly grpcStatus: (code: Code) => string
  readonly add: (span: string) => void
}

/** A trace as far as one request is in it. */
interface Trace extends SpanId {
  readonly parentId: string | undefined
  readonly sampled: boolean
  /** Added to monotonic time it makes the time since the epoch: one for all of its spans. */
  readonly epoch: number
}

/** Those that use a key. */
const TRACED: ReadonlySet<string> = new Set(['Encrypt', 'Decrypt', 'Sign'])

/** A server's span is no error where the client asked for what cannot be, or went away. */
const CLIENTS_FAULTS: readonly Code[] = [
  'ok',
  'cancelled',
  'request_invalid',
  'ciphertext_invalid',
  'ciphertext_empty',
  'key_unknown',
]

export class SpanMaker implements EventSink {
  readonly #deps: SpanDeps
  readonly #traces = new WeakMap<RequestRecord, Trace>()
  readonly #useIds = new WeakMap<KeyUseRecord, string>()

  constructor(deps: SpanDeps) {
    this.#deps = deps
  }

  emit(event: KmsEvent): void {
    if (event.type === 'request') this.#request(event)
    else if (event.type === 'provider_call') this.#call(event)
  }

  #request(event: Extract<KmsEvent, { type: 'request' }>): void {
    const { api, method, code, record, endpoint = ONLY_ENDPOINT, durationMs } = event
    const service = method === 'Sign' ? 'v1.ExternalJWTSigner' : `${api}.KeyManagementService`
    if (record === undefined || !TRACED.has(method)) return
    const trace = this.#traceOf(record)
    if (!trace.sampled) return
    const end = trace.epoch + this.#deps.clock.monotonic()
    const start = end - durationMs
    const name = `${service}/${method}`
    const failed = !CLIENTS_FAULTS.includes(code)
    this.#add({
      ...trace,
      parentElsewhere: trace.parentId !== undefined,
      name,
      kind: KIND.server,
      start,
      end,
      attributes: {
        'rpc.system.name': 'grpc',
        'rpc.method': name,
        'rpc.response.status_code': this.#deps.grpcStatus(code),
        'trousseau.endpoint': endpoint,
        'trousseau.uid': event.uid,
        'trousseau.key_id_hash': event.keyIdHash,
        ...outcome(code, failed),
      },
      failed,
      // Rules are asked before a key is used; when exactly, nobody writes down.
      events: record.decisions.map(({ rule, mode, outcome: of, operation, provider }) => ({
        at: start,
        name: 'policy',
        attributes: {
          'trousseau.rule': rule,
          'trousseau.mode': mode,
          'trousseau.outcome': of,
          'trousseau.operation': operation,
          'trousseau.provider': provider,
        },
      })),
    })
    for (const use of record.uses) this.#use(use, trace, code, end)
  }

  /** One that is still under way ends with its request: others answered, or nobody waits any more. */
  #use(use: KeyUseRecord, trace: Trace, ofRequest: Code, end: number): void {
    const { provider, operation, durationMs } = use
    const code = use.code ?? (ofRequest === 'ok' ? 'cancelled' : ofRequest)
    const failed = isFailure(code)
    const start = trace.epoch + use.start
    this.#add({
      traceId: trace.traceId,
      spanId: this.#idOf(use),
      parentId: trace.spanId,
      name: `${operation} ${provider}`,
      kind: KIND.internal,
      start,
      end: use.code === undefined ? end : start + durationMs,
      attributes: about(provider, operation, code, failed),
      failed,
    })
  }

  #call(event: Extract<KmsEvent, { type: 'provider_call' }>): void {
    const { provider, operation, items, code, durationMs, batch } = event
    const uses = (batch?.uses ?? []).filter(({ request }) => this.#traceOf(request).sampled)
    const [first, ...others] = uses
    if (first === undefined) return
    const { traceId, epoch } = this.#traceOf(first.request)
    const end = epoch + this.#deps.clock.monotonic()
    const failed = isFailure(code)
    this.#add({
      traceId,
      spanId: this.#newId(),
      parentId: this.#idOf(first),
      name: `batch ${operation} ${provider}`,
      kind: KIND.client,
      start: end - durationMs,
      end,
      attributes: { ...about(provider, operation, code, failed), 'trousseau.items': items },
      failed,
      links: others.map((use) => ({
        traceId: this.#traceOf(use.request).traceId,
        spanId: this.#idOf(use),
      })),
    })
  }

  /** Made when first needed, which may be before the request has ended. */
  #traceOf(record: RequestRecord): Trace {
    const known = this.#traces.get(record)
    if (known !== undefined) return known
    const { clock, random, sampleRatio } = this.#deps
    const parent = parentOf(record.traceparent)
    const traceId = parent?.traceId ?? traceIdOf(record.uid) ?? randomId(16, random)
    const trace = {
      traceId,
      spanId: this.#newId(),
      parentId: parent?.spanId,
      sampled: parent?.sampled ?? isSampled(traceId, sampleRatio),
      epoch: clock.now() - clock.monotonic(),
    }
    this.#traces.set(record, trace)
    return trace
  }

  #idOf(use: KeyUseRecord): string {
    const id = this.#useIds.get(use) ?? this.#newId()
    this.#useIds.set(use, id)
    return id
  }

  #newId(): string {
    return randomId(8, this.#deps.random)
  }

  #add(span: Span): void {
    this.#deps.add(spanText(span))
  }
}

function isFailure(code: Code): boolean {
  return code !== 'ok' && code !== 'cancelled'
}

function about(provider: string, operation: string, code: Code, failed: boolean) {
  return {
    'trousseau.provider': provider,
    'trousseau.operation': operation,
    ...outcome(code, failed),
  }
}

function outcome(code: Code, failed: boolean) {
  return { 'trousseau.code': code, 'error.type': failed ? code : undefined }
}
