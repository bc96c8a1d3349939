/**
 * Asks several providers until enough have answered (docs/protection.md, "Reading"). The first ones
 * in the order are asked at once; the next one is asked when these are slower than usual, and at
 * once after an error.
 *
 * @module
 */

import type { Clock } from '../base/clock.ts'
import { KmsError, type KmsErrorCode, toKmsError } from '../base/errors.ts'
import type { HedgeReason } from '../base/events.ts'
import type { Call } from '../base/provider.ts'

export interface Candidate {
  /** The provider's name, for what is said when too few answer. */
  readonly name: string
  /** After how many milliseconds without an answer the next one is asked too. */
  readonly hedgeAfterMs: number
  readonly run: (call: Call) => Promise<Uint8Array>
}

export interface HedgeDeps {
  readonly clock: Clock
  /** Called when one is asked that would not have been had those before it answered in time. */
  readonly hedged?: (name: string, reason: HedgeReason) => void
}

/** The order in which failures are reported: those that may be temporary come first. */
const TELLING: readonly KmsErrorCode[] = [
  'timeout',
  'unavailable',
  'throttled',
  'protocol',
  'internal',
  'denied',
  'policy_denied',
  'unbound',
  'key_unavailable',
  'key_unknown',
  'ciphertext_invalid',
]

interface Failure {
  readonly name: string
  readonly error: KmsError
}

/**
 * The first `need` answers.
 *
 * @throws KmsError as soon as fewer than `need` can answer
 */
export async function hedge(
  candidates: readonly Candidate[],
  need: number,
  deps: HedgeDeps,
  call: Call,
): Promise<readonly Uint8Array[]> {
  const [only, ...others] = candidates
  if (only !== undefined && others.length === 0 && need === 1) return [await only.run(call)]
  if (candidates.length < need) throw tooFew(need, candidates.length, [])
  return await new Hedge(candidates, need, deps, call).run()
}

class Hedge {
  readonly #waiting: Candidate[]
  readonly #candidates: number
  readonly #need: number
  readonly #deps: HedgeDeps
  readonly #call: Call
  readonly #controller = new AbortController()
  readonly #answers: Uint8Array[] = []
  readonly #failures: Failure[] = []
  readonly #settled = Promise.withResolvers<readonly Uint8Array[]>()
  #cancelHedge: () => void = () => undefined

  constructor(candidates: readonly Candidate[], need: number, deps: HedgeDeps, call: Call) {
    this.#waiting = [...candidates]
    this.#candidates = candidates.length
    this.#need = need
    this.#deps = deps
    this.#call = call
  }

  async run(): Promise<readonly Uint8Array[]> {
    const { signal } = this.#call
    const giveUp = () => this.#end(() => this.#settled.reject(signal.reason))
    if (signal.aborted) throw signal.reason
    signal.addEventListener('abort', giveUp, { once: true })
    for (let asked = 0; asked < this.#need; asked += 1) this.#askNext()
    try {
      return await this.#settled.promise
    } finally {
      signal.removeEventListener('abort', giveUp)
    }
  }

  /** @param reason none for those that are asked in any case */
  #askNext(reason?: HedgeReason): void {
    const next = this.#waiting.shift()
    if (next === undefined) return
    if (reason !== undefined) this.#deps.hedged?.(next.name, reason)
    void this.#ask(next)
    this.#cancelHedge()
    this.#cancelHedge = this.#deps.clock.after(next.hedgeAfterMs, () => this.#askNext('slow'))
  }

  async #ask({ name, run }: Candidate): Promise<void> {
    const { signal } = this.#controller
    try {
      this.#answers.push(await run({ ...this.#call, signal }))
    } catch (thrown) {
      this.#failures.push({ name, error: toKmsError(thrown) })
    }
    if (signal.aborted) return
    if (this.#answers.length >= this.#need) {
      this.#end(() => this.#settled.resolve(this.#answers.slice(0, this.#need)))
    } else if (this.#candidates - this.#failures.length < this.#need) {
      const error = tooFew(this.#need, this.#candidates, this.#failures)
      this.#end(() => this.#settled.reject(error))
    } else if (this.#failures.at(-1)?.name === name) {
      this.#askNext('failed')
    }
  }

  /** The others' answers are not needed any more. */
  #end(settle: () => void): void {
    this.#cancelHedge()
    settle()
    this.#controller.abort(new KmsError('Others have answered', { code: 'cancelled' }))
  }
}

function tooFew(need: number, candidates: number, failures: readonly Failure[]): KmsError {
  const [first, ...more] = failures
  if (first !== undefined && more.length === 0 && candidates === 1) return first.error
  const code = TELLING.find((each) => failures.some(({ error }) => error.code === each))
  const said = failures.map(({ name, error }) => `"${name}": ${error.message}`).join('; ')
  const wanted = need === 1 ? 'No provider' : `Fewer than ${need} of ${candidates} providers`
  return new KmsError(`${wanted} could open this: ${said}`, {
    code: code ?? 'key_unavailable',
    cause: first?.error.cause,
  })
}
