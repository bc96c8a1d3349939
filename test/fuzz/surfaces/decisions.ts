/** What is asked beside the key services: Open Policy Agent's decisions, and a collector of traces. @module */

import * as v from 'valibot'
import { pause } from '../../../src/base/attempts/pause.ts'
import type { EventSink } from '../../../src/base/events.ts'
import { newRecord } from '../../../src/base/request_record.ts'
import { tracesConfig } from '../../../src/config/traces.ts'
import { startTraces } from '../../../src/plugin/traces.ts'
import { policyConfig } from '../../../src/policy/config.ts'
import { OpaDecisions } from '../../../src/policy/opa.ts'
import { DrivenClock } from '../engine/driven_clock.ts'
import { ignoreNamed } from '../engine/named_error.ts'
import { type PlayedAnswer, PlayedHttp } from '../engine/played_http.ts'
import { bytesOf, type Surface, type Target, textOf } from '../surface.ts'
import { answerMutator, scriptIn } from './providers.ts'

/** Until answers are asked for again. */
const DECIDED_MS = 20_000
/** Longer than all attempts at a batch of spans. */
const SENT_MS = 70_000
const NEVER = new AbortController().signal

const OPA = v.parse(policyConfig, {
  opa: {
    ...{ address: 'http://127.0.0.1:8181', path: 'trousseau/allow' },
    ...{ mode: 'enforce', guards: ['encrypt', 'decrypt'], noAnswer: 'deny' },
  },
}).opa
const USES = (['encrypt', 'decrypt'] as const).map((operation) => ({
  ...{ operation, api: 'v2', endpoint: 'default', provider: 'p' },
}))

export const opa: Surface = {
  name: 'opa',
  from: 'Open Policy Agent, and whoever is in between',
  files: ['policy/opa.ts', 'remote/http/client.ts', 'remote/http/json.ts'],
  mutate: answerMutator(['no'], ['result', 'allow', 'message', 'decision_id']),
  open: () =>
    Promise.resolve(
      played(
        [
          [{ body: { result: true } }],
          [{ body: { result: { allow: false, message: 'no' } } }, { body: { result: false } }],
          [{ body: {} }, { status: 500, body: { code: 'internal_error' } }, { error: 'silence' }],
        ],
        decided,
      ),
    ),
}

async function decided(clock: DrivenClock, answers: readonly PlayedAnswer[]): Promise<void> {
  if (OPA === undefined) throw new Error('No config')
  const watched = new Watched()
  const deps = { clock, events: watched, facts: () => ({}), onChange: () => undefined }
  const decisions = new OpaDecisions(OPA, deps)
  await decisions.prepare(USES)
  const first = USES.map((use) => decisions.verdict(use))
  await pause(clock, DECIDED_MS, NEVER)
  for (const verdict of [...first, ...USES.map((use) => decisions.verdict(use))]) {
    const isWhole = verdict.allowed ? saysYes(answers) : verdict.why.length > 0
    if (!isWhole) throw new TypeError('Allowed by nobody, or refused without a reason')
  }
  await decisions.close()
  watched.check()
}

function saysYes(answers: readonly PlayedAnswer[]): boolean {
  return JSON.stringify(answers).includes('true')
}

export const collector: Surface = {
  name: 'collector',
  from: 'a collector of OpenTelemetry, and whoever is in between',
  files: ['plugin/traces.ts', 'observe/traces/queue.ts', 'remote/passing_error.ts'],
  mutate: answerMutator(['1', '-1'], ['partialSuccess', 'rejectedSpans', 'errorMessage']),
  open: () =>
    Promise.resolve(
      played(
        [
          [{ body: {} }],
          [{ body: { partialSuccess: { rejectedSpans: '1', errorMessage: 'no' } } }],
          [{ status: 503, headers: { 'retry-after': '2' } }, { status: 429 }, { body: '' }],
          [{ error: 'ECONNRESET' }, { error: 'silence' }, { status: 400, body: { code: 3 } }],
        ],
        traced,
      ),
    ),
}

const TRACES = v.parse(tracesConfig, { endpoint: 'http://127.0.0.1:4318' })
const SPANS = 3

async function traced(clock: DrivenClock): Promise<void> {
  const watched = new Watched()
  const traces = startTraces(TRACES, { clock, events: watched })
  const request = () =>
    traces.emit({
      ...{ type: 'request', api: 'v2', method: 'Encrypt', uid: 'u', code: 'ok', durationMs: 1 },
      record: newRecord(undefined),
    })
  for (let times = 1; times < SPANS; times += 1) {
    request()
    await pause(clock, SENT_MS, NEVER)
  }
  request()
  await traces.close()
  watched.check()
  if (watched.spans !== SPANS) throw new TypeError(`${watched.spans} of ${SPANS} spans are told`)
}

/** Events, with errors that nobody meant. */
class Watched implements EventSink {
  readonly #errors: unknown[] = []
  spans = 0

  emit(event: Parameters<EventSink['emit']>[0]): void {
    if (event.type === 'trace_spans') this.spans += event.spans
    if (event.type === 'notice' && event.error !== undefined) this.#errors.push(event.error)
  }

  check(): void {
    for (const error of this.#errors) ignoreNamed(error)
  }
}

function played(
  scripts: readonly (readonly PlayedAnswer[])[],
  use: (clock: DrivenClock, answers: readonly PlayedAnswer[]) => Promise<void>,
): Target {
  const http = new PlayedHttp()
  return {
    seeds: scripts.map((answers) => bytesOf(JSON.stringify({ answers }))),
    async run(input) {
      const { answers } = scriptIn(textOf(input))
      http.play(answers)
      const clock = new DrivenClock()
      await clock.drive(use(clock, answers))
      http.check()
    },
    [Symbol.asyncDispose]() {
      http[Symbol.dispose]()
      return Promise.resolve()
    },
  }
}
