/**
 * The decision of an Open Policy Agent. It is asked beside the requests, for every kind of use that
 * there is, and asked again before its answer is too old; only the first request of a kind waits.
 *
 * @module
 */

import * as v from 'valibot'
import { unlessAborted, withinLimit } from '../base/call.ts'
import type { Clock } from '../base/clock.ts'
import { KmsError, toKmsError } from '../base/errors.ts'
import type { EventSink } from '../base/events.ts'
import type { Operation } from '../base/gate.ts'
import type { Call } from '../base/provider.ts'
import { HttpClient, parseAnswer } from '../remote/http/client.ts'
import { Transport } from '../remote/http/transport.ts'
import { readSecretFile } from '../remote/secret_file.ts'
import type { OpaConfig } from './config.ts'

/** What an answer is for: the outside decides by this and by the facts. */
export interface OpaUse {
  readonly operation: Operation
  readonly api: string
  readonly endpoint: string
  readonly provider: string
}

interface OpaDeps {
  readonly clock: Clock
  readonly events: EventSink
  /** Facts as JSON. */
  readonly facts: () => Readonly<Record<string, unknown>>
  /** Called after a verdict that may differ from the one before. */
  readonly onChange: () => void
}

export type OpaVerdict =
  | { readonly allowed: true }
  | { readonly allowed: false; readonly why: string }

interface Asked {
  readonly use: OpaUse
  /** The last answer. */
  verdict?: OpaVerdict
  /** Monotonic time of that answer. */
  at: number
  asking?: Promise<void>
}

/** An answer is asked for again when it has lived so long. */
const EARLY = 0.6
/** How often it is looked for such answers; together with `EARLY` below 1, or one would be too old before it is asked for. */
const LOOK = 0.2
const RETRY_MS = 1_000
/** `result` is absent where OPA has no such decision, or where it is undefined. */
const answer = v.object({
  result: v.optional(
    v.union([
      v.boolean(),
      v.object({ allow: v.boolean(), message: v.optional(v.pipe(v.string(), v.maxLength(256))) }),
    ]),
  ),
})

export class OpaDecisions {
  readonly #config: OpaConfig
  readonly #deps: OpaDeps
  readonly #transport: Transport
  readonly #client: HttpClient
  readonly #startedAt: number
  /** By kind of use. */
  readonly #asked = new Map<string, Asked>()
  #told = ''
  #cancel: () => void = () => undefined
  #stopped = false

  constructor(config: OpaConfig, deps: OpaDeps) {
    const { clock, events } = deps
    this.#config = config
    this.#deps = deps
    this.#transport = new Transport({ provider: 'opa', tls: config.tls, clock, events })
    this.#client = new HttpClient(config.address, this.#transport)
    this.#startedAt = clock.monotonic()
  }

  guards({ operation }: Pick<OpaUse, 'operation'>): boolean {
    return this.#config.guards.includes(operation)
  }

  /** What holds now, from memory. */
  verdict(use: OpaUse): OpaVerdict {
    const asked = this.#kindOf(use)
    const { cacheFor, noAnswer } = this.#config
    const now = this.#deps.clock.monotonic()
    if (asked.verdict !== undefined && now - asked.at < cacheFor) return asked.verdict
    // What was refused last is not allowed because nobody answers any more.
    if (asked.verdict?.allowed === false) return asked.verdict
    const since = asked.verdict === undefined ? this.#startedAt : asked.at
    if (noAnswer !== 'deny' && now - since < cacheFor + noAnswer.allowFor) return ALLOWED
    return { allowed: false, why: `Open Policy Agent at ${this.#config.address} gives no answer` }
  }

  /** Settles after the first answer to a question of this kind; undefined where there was one. */
  firstAnswer(use: OpaUse, { signal }: Call): Promise<void> | undefined {
    const { verdict, asking } = this.#kindOf(use)
    return verdict === undefined && asking !== undefined ? unlessAborted(asking, signal) : undefined
  }

  /** Asks for all of these; settles when each was answered or was not. */
  async prepare(uses: readonly OpaUse[]): Promise<void> {
    const kinds = uses.filter((use) => this.guards(use)).map((use) => this.#kindOf(use))
    await Promise.all(kinds.map(({ asking }) => asking))
    if (!this.#stopped) this.#later()
  }

  /** The facts are others: every answer may be another one. */
  factsChanged(): void {
    for (const asked of this.#asked.values()) void this.#ask(asked)
  }

  async close(): Promise<void> {
    this.#stopped = true
    this.#cancel()
    await this.#transport.close()
  }

  #kindOf(use: OpaUse): Asked {
    const { operation, api, endpoint, provider } = use
    const name = [operation, api, endpoint, provider].join(' ')
    const known = this.#asked.get(name)
    if (known !== undefined) return known
    const asked: Asked = { use: { operation, api, endpoint, provider }, at: 0 }
    this.#asked.set(name, asked)
    void this.#ask(asked)
    return asked
  }

  #later(): void {
    const { clock } = this.#deps
    const ms = Math.min(Math.max(this.#config.cacheFor * LOOK, 50), RETRY_MS)
    this.#cancel = clock.after(ms, () => {
      const due = clock.monotonic() - this.#config.cacheFor * EARLY
      for (const asked of this.#asked.values()) {
        if (asked.verdict === undefined || asked.at <= due) void this.#ask(asked)
      }
      if (!this.#stopped) this.#later()
    })
  }

  /** Never rejects; one question of a kind at a time. */
  #ask(asked: Asked): Promise<void> {
    asked.asking ??= this.#question(asked).finally(() => {
      delete asked.asking
    })
    return asked.asking
  }

  async #question(asked: Asked): Promise<void> {
    const { clock } = this.#deps
    const start = clock.monotonic()
    const before = asked.verdict
    try {
      asked.verdict = await withinLimit(clock, this.#config.timeout, (call) =>
        this.#answer(asked.use, call),
      )
      asked.at = start
      this.#tell('')
    } catch (error) {
      if (!this.#stopped) this.#tell(toKmsError(error).message, error)
    }
    if (JSON.stringify(before) !== JSON.stringify(asked.verdict)) this.#deps.onChange()
  }

  async #answer(use: OpaUse, { signal }: Call): Promise<OpaVerdict> {
    const { path: decision, tokenFile } = this.#config
    const token =
      tokenFile === undefined
        ? {}
        : { authorization: `Bearer ${await readSecretFile(tokenFile, 'policy.opa.tokenFile')}` }
    const path = `/v1/data/${decision}`
    const input = { ...this.#deps.facts(), request: use }
    const request = { method: 'POST', path, headers: token, signal } as const
    const reply = await this.#client.send({ ...request, body: JSON.stringify({ input }) })
    if (reply.status !== 200) {
      throw new KmsError(`POST ${path} was answered with ${reply.status}`, { code: 'unavailable' })
    }
    const { result } = parseAnswer(reply, answer, `POST ${path}`)
    if (result === undefined) {
      return { allowed: false, why: `Open Policy Agent has no decision at ${decision}` }
    }
    const allow = typeof result === 'boolean' ? result : result.allow
    if (allow) return ALLOWED
    const why = typeof result === 'boolean' ? undefined : result.message
    const isTold = why !== undefined && why !== ''
    return { allowed: false, why: isTold ? why : `Open Policy Agent decides no at ${decision}` }
  }

  /** Each reason once, and that there are answers again. */
  #tell(why: string, error?: unknown): void {
    if (why === this.#told) return
    this.#told = why
    const level = why === '' ? 'info' : 'warn'
    const message =
      why === '' ? 'Open Policy Agent answers again' : `Open Policy Agent gives no answer: ${why}`
    const more = error === undefined ? {} : { error }
    this.#deps.events.emit({ type: 'notice', level, what: 'opa_answers', message, ...more })
  }
}

const ALLOWED: OpaVerdict = { allowed: true }
