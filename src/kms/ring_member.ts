/**
 * A provider under its operator's name, with every call to it told to the event
 * sink and its answers counted.
 *
 * @module
 */

import type { Clock } from './clock.ts'
import { KmsError, toKmsError } from './errors.ts'
import type { EventSink, KmsEvent } from './events.ts'
import type { Call, KeyState, Outcome, Plain, Provider, Wrapped } from './provider.ts'

type Operation = Extract<KmsEvent, { type: 'provider_call' }>['operation']

export interface RingMemberDeps {
  readonly clock: Clock
  readonly events: EventSink
}

export class RingMember {
  readonly name: string
  readonly provider: Provider
  readonly #deps: RingMemberDeps

  constructor(name: string, provider: Provider, deps: RingMemberDeps) {
    this.name = name
    this.provider = provider
    this.#deps = deps
  }

  keyState(call: Call): Promise<KeyState> {
    return this.#told('key_state', 1, () => this.provider.keyState(call))
  }

  wrap(version: string, item: Plain, call: Call): Promise<Uint8Array> {
    return this.#told('wrap', 1, async () => only(await this.provider.wrap(version, [item], call)))
  }

  unwrap(item: Wrapped, call: Call): Promise<Uint8Array> {
    return this.#told('unwrap', 1, async () => only(await this.provider.unwrap([item], call)))
  }

  async #told<T>(operation: Operation, items: number, run: () => Promise<T>): Promise<T> {
    const { clock, events } = this.#deps
    const start = clock.monotonic()
    const tell = (code: Extract<KmsEvent, { type: 'provider_call' }>['code']) => {
      const durationMs = clock.monotonic() - start
      events.emit({
        type: 'provider_call',
        provider: this.name,
        operation,
        items,
        code,
        durationMs,
      })
    }
    try {
      const value = await run()
      tell('ok')
      return value
    } catch (error) {
      const known = toKmsError(error)
      tell(known.code)
      throw known
    }
  }
}

/** The one result of a batch of one; an empty one would lose what it stands for (rule D12, and Trousseau 1.x). */
function only(outcomes: readonly Outcome<Uint8Array>[]): Uint8Array {
  const [outcome] = outcomes
  if (outcome === undefined || outcomes.length !== 1) {
    throw new KmsError(`Provider answered ${outcomes.length} results for 1 item`, {
      code: 'protocol',
    })
  }
  if (!outcome.ok) throw outcome.error
  if (outcome.value.length === 0) {
    throw new KmsError('Provider answered an empty result', { code: 'protocol' })
  }
  return outcome.value
}
