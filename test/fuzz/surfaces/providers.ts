/**
 * What key services answer: tokens, keys, wraps and plaintexts, and refusals of all kinds. Each
 * provider is the real one, down to the connections, which are played.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import * as v from 'valibot'
import { withinLimit } from '../../../src/base/call.ts'
import { type Clock, systemClock } from '../../../src/base/clock.ts'
import type { EventSink, KmsEvent } from '../../../src/base/events.ts'
import type { Call, Outcome, Provider } from '../../../src/base/provider.ts'
import {
  descriptorOf,
  type ProviderConfig,
  providerConfig,
} from '../../../src/services/registry.ts'
import { DrivenClock } from '../engine/driven_clock.ts'
import { ignoreNamed } from '../engine/named_error.ts'
import { type PlayedAnswer, PlayedHttp, recordedAnswers } from '../engine/played_http.ts'
import { jsonMutator } from '../mutate/json.ts'
import { bytesOf, type Target, textOf } from '../surface.ts'

const LIMIT_MS = 2_500
/** An honest service may be slow while it is recorded. */
const PATIENT_MS = 120_000
/** A call ends by its limit, and a little later where its time is measured otherwise. */
const LATE_MS = 10_000
const ITEMS = ['the first plaintext', 'a second one'].map((text, at) => ({
  plaintext: Buffer.from(text),
  associatedData: Buffer.alloc(32, at),
}))

/** One login or other way in, beside an honest service. */
export interface Honest {
  readonly config: object
  readonly environment?: Readonly<Record<string, string>>
  /** What a kinder service would answer, before what this one did. */
  readonly kinder?: readonly PlayedAnswer[]
  /** Ends the service; the files that the config names stay. */
  readonly end: () => PromiseLike<void>
}

/** Mutates answers, with the words of HTTP and of one kind of service. */
export function answerMutator(words: readonly string[], keys: readonly string[]) {
  const statuses = [
    200, 204, 301, 307, 400, 401, 403, 404, 405, 409, 410, 412, 413, 422, 429, 472, 473, 500, 502,
    503,
  ]
  const codes = ['ECONNREFUSED', 'ECONNRESET', 'UND_ERR_SOCKET', 'CERT_HAS_EXPIRED', 'silence']
  const names = ['status', 'headers', 'body', 'error', 'at', 'date', 'retry-after', 'location']
  return jsonMutator(
    [...statuses, ...codes, ...words, 'Mon, 30 Nov 2026 00:00:00 GMT'],
    [...names, ...keys],
  )
}

/** The date of an input's beginning, as honest services have it too, and time that passes. */
export const RECORDING_CLOCK: Clock = { ...systemClock, now: () => new DrivenClock().now() }

interface Way {
  readonly config: ProviderConfig
  readonly environment: Readonly<Record<string, string>>
}

/**
 * @param honest each way in; the input says by its number which one is meant
 * @param close removes the files
 */
export async function providerTarget(
  honest: readonly (() => Promise<Honest>)[],
  close: () => PromiseLike<void>,
): Promise<Target> {
  const ways: Way[] = []
  const seeds: Uint8Array[] = []
  /** Of the first way, which knows the key. */
  let first: readonly PlayedAnswer[] | undefined
  for (const make of honest) {
    const { config, environment = {}, kinder = [], end } = await make()
    const way = { config: v.parse(providerConfig, config), environment }
    const answers = await recordedAnswers(() => used(way, RECORDING_CLOCK, PATIENT_MS))
    first ??= answers
    const more = kinder.length > 0 ? [...kinder, ...first] : []
    for (const script of [answers, more].filter(({ length }) => length > 0)) {
      seeds.push(bytesOf(JSON.stringify({ way: ways.length, answers: script })))
    }
    ways.push(way)
    await end()
  }
  const http = new PlayedHttp()
  return {
    seeds,
    async run(input) {
      const { way: number, answers } = scriptIn(textOf(input))
      const way = ways[number % ways.length]
      if (way === undefined) return
      http.play(answers)
      const clock = new DrivenClock()
      await clock.drive(used(way, clock, LIMIT_MS))
      http.check()
    },
    async [Symbol.asyncDispose]() {
      http[Symbol.dispose]()
      await close()
    },
  }
}

/** All that the keyring and `doctor` ask of a provider, from its first login to its end. */
async function used({ config, environment }: Way, clock: Clock, limitMs: number): Promise<void> {
  const internal: unknown[] = []
  const events: EventSink = { emit: (event) => internal.push(...internalIn(event)) }
  const provider = await descriptorOf(config).create(config, {
    ...{ clock, events, environment, requestTimeoutMs: limitMs },
    onSettings: () => undefined,
    fetchSvids: () => Promise.resolve([]),
  })
  try {
    await asked(provider, clock, limitMs)
  } finally {
    await provider.close(limitMs)
  }
  if (internal.length > 0) throw internal[0]
}

async function asked(provider: Provider, clock: Clock, limitMs: number): Promise<void> {
  const call = async <T>(work: (call: Call) => Promise<T>) => {
    const start = clock.monotonic()
    const result = await withinLimit(clock, limitMs, work).catch((error: unknown) => {
      ignoreNamed(error)
      return undefined
    })
    const took = clock.monotonic() - start
    if (took > limitMs + LATE_MS) throw new TypeError(`Took ${took} ms, allowed are ${limitMs}`)
    return result
  }
  const state = await call((own) => provider.keyState(own))
  const version = state?.versions.at(-1)?.label ?? '1'
  const wraps = valuesIn(await call((own) => provider.wrap(version, ITEMS, own)))
  const wrapped = ITEMS.map(({ associatedData }, at) => ({
    version,
    bytes: wraps[at] ?? Buffer.from(`vault:v1:${Buffer.alloc(60).toString('base64')}`),
    associatedData,
  }))
  valuesIn(await call((own) => provider.unwrap(wrapped, own)))
  await call((own) => provider.examine?.(own) ?? Promise.resolve([]))
}

/** One outcome for each item, each with bytes or with an error that has a name. */
function valuesIn(
  outcomes: readonly Outcome<Uint8Array>[] | undefined,
): (Uint8Array | undefined)[] {
  if (outcomes === undefined) return []
  if (outcomes.length !== ITEMS.length) throw new TypeError(`${outcomes.length} outcomes`)
  return outcomes.map((outcome) => {
    if (outcome.ok && outcome.value.length > 0) return outcome.value
    if (outcome.ok) throw new TypeError('An empty value')
    ignoreNamed(outcome.error)
    return undefined
  })
}

function internalIn(event: KmsEvent): unknown[] {
  return 'code' in event && event.code === 'internal' && 'error' in event ? [event.error] : []
}

/** An input as its answers; what is no such thing is one answer. */
export function scriptIn(text: string): { way: number; answers: PlayedAnswer[] } {
  try {
    const { way, answers } = Object(JSON.parse(text))
    const listed = Array.isArray(answers) ? answers : []
    const whole = listed.filter((answer) => typeof answer === 'object' && answer !== null)
    return { way: Number.isSafeInteger(way) ? Math.abs(way) : 0, answers: whole }
  } catch {
    return { way: 0, answers: [{ body: text }] }
  }
}
