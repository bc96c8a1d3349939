/**
 * A provider under the name that the operator gave it. It takes single items and makes batches of
 * them, emits an event for every call, and measures its latency.
 *
 * @module
 */

import type { Clock } from '../base/clock.ts'
import { Coalescer } from '../base/coalescer.ts'
import { KmsError, toKmsError } from '../base/errors.ts'
import type { EventSink, KmsEvent } from '../base/events.ts'
import { Latency } from '../base/latency.ts'
import { latin1 } from '../base/latin1.ts'
import type { Call, KeyState, Outcome, Plain, Provider, Wrapped } from '../base/provider.ts'
import { type BatchRecord, type KeyUseRecord, recorded } from '../base/request_record.ts'

type ProviderCall = Extract<KmsEvent, { type: 'provider_call' }>
type Operation = ProviderCall['operation']
type Code = ProviderCall['code']
type Outcomes = readonly Outcome<Uint8Array>[]

interface WrapQueue {
  readonly version: string
  readonly items: Coalescer<Plain, Uint8Array>
}

interface ToldOptions<T> {
  readonly codeOfAnswer?: (answer: T) => Code
  readonly batch?: BatchRecord | undefined
}

interface BatchedProviderDeps {
  readonly clock: Clock
  readonly events: EventSink
}

export class BatchedProvider {
  readonly name: string
  readonly provider: Provider
  /** Of unwraps as their callers see them. */
  readonly latency = new Latency()
  readonly #deps: BatchedProviderDeps
  readonly #unwraps: Coalescer<Wrapped, Uint8Array>
  #wraps: WrapQueue | undefined

  constructor(name: string, provider: Provider, deps: BatchedProviderDeps) {
    this.name = name
    this.provider = provider
    this.#deps = deps
    this.#unwraps = new Coalescer({
      clock: deps.clock,
      maxItems: provider.limits.batchItems,
      nameOf,
      coalesced: () => deps.events.emit({ type: 'coalesced', provider: name }),
      run: (batch, call, record) =>
        this.#batch('unwrap', batch.length, () => provider.unwrap(batch, call), record),
    })
  }

  keyState(call: Call): Promise<KeyState> {
    return this.#told('key_state', 1, () => this.provider.keyState(call))
  }

  wrap(version: string, item: Plain, call: Call): Promise<Uint8Array> {
    // What is under way under the version before ends by itself.
    if (this.#wraps?.version !== version) this.#wraps = this.#wrapsUnder(version)
    const { items } = this.#wraps
    return this.#recorded('wrap', version, call, (use) => items.submit(item, call, use))
  }

  unwrap(item: Wrapped, call: Call): Promise<Uint8Array> {
    const { version } = item
    const submit = (use?: KeyUseRecord) => this.#unwraps.submit(item, call, use)
    return this.#recorded('unwrap', version, call, (use) => this.#observed(() => submit(use), call))
  }

  #recorded<T>(
    operation: KeyUseRecord['operation'],
    keyVersion: string,
    { record }: Call,
    work: (use?: KeyUseRecord) => Promise<T>,
  ): Promise<T> {
    if (record === undefined) return work()
    const about = { provider: this.name, operation, keyVersion }
    return recorded(record, about, this.#deps.clock, work)
  }

  /** All at once and apart from everybody else's, with each item's own outcome: for trials. */
  unwrapTogether(items: readonly Wrapped[], call: Call): Promise<Outcomes> {
    const run = () => this.provider.unwrap(items, call)
    return this.#observed(() => this.#batch('unwrap', items.length, run), call)
  }

  async #observed<T>(unwrap: () => Promise<T>, call: Call): Promise<T> {
    const { clock } = this.#deps
    const start = clock.monotonic()
    try {
      const opened = await unwrap()
      this.latency.observe(clock.monotonic() - start)
      return opened
    } catch (error) {
      // A call that was given up counts too, or a slow provider would never be noticed.
      if (call.signal.aborted) this.latency.observeNone(clock.monotonic() - start)
      throw error
    }
  }

  #wrapsUnder(version: string): WrapQueue {
    const items = new Coalescer<Plain, Uint8Array>({
      clock: this.#deps.clock,
      maxItems: this.provider.limits.batchItems,
      run: (batch, call, record) =>
        this.#batch('wrap', batch.length, () => this.provider.wrap(version, batch, call), record),
    })
    return { version, items }
  }

  #batch(
    operation: Operation,
    items: number,
    run: () => Promise<Outcomes>,
    batch?: BatchRecord,
  ): Promise<Outcomes> {
    const answer = async () => checked(await run(), items)
    return this.#told(operation, items, answer, { codeOfAnswer: codeOf, batch })
  }

  async #told<T>(
    operation: Operation,
    items: number,
    run: () => Promise<T>,
    { codeOfAnswer = () => 'ok', batch }: ToldOptions<T> = {},
  ): Promise<T> {
    const { clock, events } = this.#deps
    const start = clock.monotonic()
    const tell = (code: Code) => {
      const durationMs = clock.monotonic() - start
      const provider = this.name
      events.emit({ type: 'provider_call', provider, operation, items, code, durationMs, batch })
    }
    try {
      const answer = await run()
      tell(codeOfAnswer(answer))
      return answer
    } catch (error) {
      const known = toKmsError(error)
      tell(known.code)
      throw known
    }
  }
}

/** The call counts as failed only where every item did. */
function codeOf(outcomes: Outcomes): Code {
  let code: Code = 'ok'
  for (const outcome of outcomes) {
    if (outcome.ok) return 'ok'
    code = outcome.error.code
  }
  return code
}

function checked(outcomes: Outcomes, items: number): Outcomes {
  if (outcomes.length !== items) {
    throw new KmsError(`Provider answered ${outcomes.length} results for ${items} items`, {
      code: 'protocol',
    })
  }
  return outcomes.map((outcome) =>
    outcome.ok && outcome.value.length === 0 ? EMPTY_RESULT : outcome,
  )
}

/** An empty result would lose what was wrapped (rule D12, and Trousseau 1.x). */
const EMPTY_RESULT: Outcome<never> = {
  ok: false,
  error: new KmsError('Provider answered an empty result', { code: 'protocol' }),
}

/** Tells wraps apart; where there is associated data it is as long in each. */
function nameOf({ version, bytes, associatedData }: Wrapped): string {
  if (associatedData === undefined) return `foreign:${version}:${latin1(bytes)}`
  return `${version}:${latin1(associatedData)}${latin1(bytes)}`
}
