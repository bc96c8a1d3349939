/**
 * Sends spans to a collector: OTLP over HTTP with JSON, by the project's own transport. What the
 * collector answers is read as far as a number goes; its words go nowhere.
 *
 * @module
 */

import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import * as v from 'valibot'
import { retry } from '../base/attempts/retry.ts'
import { withinLimit } from '../base/call.ts'
import type { Clock } from '../base/clock.ts'
import { KmsError, toKmsError } from '../base/errors.ts'
import type { EventSink, KmsEvent } from '../base/events.ts'
import type { Call } from '../base/provider.ts'
import { Slab } from '../base/slab.ts'
import type { TracesConfig } from '../config/traces.ts'
import { statusNameOf } from '../grpc/status.ts'
import { exportBody } from '../observe/traces/otlp.ts'
import { SpanQueue } from '../observe/traces/queue.ts'
import { SpanMaker } from '../observe/traces/spans.ts'
import { type HttpAnswer, HttpClient, parseAnswer } from '../remote/http/client.ts'
import { Transport } from '../remote/http/transport.ts'
import { PassingError, passingFailure } from '../remote/passing_error.ts'
import { readSecretFile } from '../remote/secret_file.ts'
import { VERSION } from './version.ts'

const PATH = '/v1/traces'
const ACTION = `POST ${PATH}`
/** Of one attempt. */
const LIMIT_MS = 10_000
const FIRST_PAUSE_MS = 1_000
/** The collector may ask for more, and then is asked again earlier. */
const MAX_WAIT_MS = 30_000
const CLOSE_MS = 500
const RANDOM_BYTES = 4_096
/** All others are final (OTLP 1.9, "Retryable Response Codes"). */
const RETRYABLE: readonly number[] = [429, 502, 503, 504]

const count = v.union([
  v.pipe(v.number(), v.integer()),
  v.pipe(v.string(), v.regex(/^-?\d{1,15}$/), v.transform(Number)),
])
const exported = v.object({
  partialSuccess: v.nullish(v.object({ rejectedSpans: v.nullish(count, 0) })),
})

interface TracesDeps {
  readonly clock: Clock
  readonly events: EventSink
}

export function startTraces(config: TracesConfig, deps: TracesDeps) {
  const { clock, events } = deps
  const transport = new Transport({ provider: 'traces', tls: config.tls, clock, events })
  const client = new HttpClient(config.endpoint, transport)
  const resource = {
    'service.name': 'trousseau',
    'service.version': VERSION,
    'host.name': hostname(),
  }
  const bodyOf = exportBody(resource, VERSION)
  const random = new Slab(RANDOM_BYTES, randomBytes)
  const send = (spans: readonly string[], call: Call) =>
    exportSpans(bodyOf(spans), { client, clock, tokenFile: config.tokenFile }, call)
  const queue = new SpanQueue({ clock, events, send })
  const spans = new SpanMaker({
    clock,
    random: (bytes) => random.take(bytes),
    sampleRatio: config.sampleRatio,
    grpcStatus: statusNameOf,
    add: (span) => queue.add(span),
  })
  return {
    emit: (event: KmsEvent) => spans.emit(event),
    async close(): Promise<void> {
      await queue.close()
      await withinLimit(clock, CLOSE_MS, () => transport.close()).catch(() => undefined)
    },
  }
}

interface Way {
  readonly client: HttpClient
  readonly clock: Clock
  readonly tokenFile: string | undefined
}

/** Resolves to how many spans the collector did not take. */
async function exportSpans(body: string, way: Way, call: Call): Promise<number> {
  const answer = await retry(
    () => ask(body, way, call),
    {
      clock: way.clock,
      random: Math.random,
      mayPass: (error) => ['unavailable', 'throttled'].includes(toKmsError(error).code),
      waitMs: (error) => (error instanceof PassingError ? Math.min(error.waitMs, MAX_WAIT_MS) : 0),
      firstPauseMs: FIRST_PAUSE_MS,
    },
    call,
  )
  if (answer.status < 200 || answer.status > 299) {
    throw new KmsError(`${ACTION} was answered with ${answer.status}`, { code: 'protocol' })
  }
  if (answer.text === '') return 0
  return parseAnswer(answer, exported, ACTION).partialSuccess?.rejectedSpans ?? 0
}

async function ask(
  body: string,
  { client, clock, tokenFile }: Way,
  call: Call,
): Promise<HttpAnswer> {
  return await withinLimit(clock, LIMIT_MS, async (own) => {
    const headers =
      tokenFile === undefined
        ? {}
        : { authorization: `Bearer ${await readSecretFile(tokenFile, 'traces.tokenFile')}` }
    const signal = AbortSignal.any([own.signal, call.signal])
    const request = { method: 'POST', path: PATH, headers, body, signal } as const
    // A slow collector would have the same spans twice.
    const answer = await client.send({ ...request, repeatable: false })
    const passing = RETRYABLE.includes(answer.status) && passingFailure(answer, ACTION)
    if (passing) throw passing
    return answer
  })
}
