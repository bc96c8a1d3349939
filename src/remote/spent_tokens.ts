/**
 * Tokens that nobody needs any more, of those that this process alone has: they are
 * ended at the service, so that no stop, restart or new login leaves one alive.
 * What is not ended in time ends by itself.
 *
 * @module
 */

import { withinLimit } from '../base/call.ts'
import type { Clock } from '../base/clock.ts'
import type { Call } from '../base/provider.ts'
import type { LoginMethod, Token } from './token_source.ts'

interface SpentTokensDeps {
  readonly clock: Clock
  readonly requestTimeoutMs: number
}

export class SpentTokens {
  readonly #revoke: NonNullable<LoginMethod['revoke']>
  readonly #deps: SpentTokensDeps
  /** With how not to end them later. */
  readonly #waiting = new Map<Token, () => void>()

  constructor(method: Pick<LoginMethod, 'revoke'>, deps: SpentTokensDeps) {
    this.#revoke = method.revoke?.bind(method) ?? (() => Promise.resolve())
    this.#deps = deps
  }

  /** Ends a token once the requests that carry it are over. It may be dead already, so a failure tells nothing. */
  add(token: Token): void {
    if (token.ours !== true) return
    const { clock, requestTimeoutMs } = this.#deps
    const cancel = clock.after(requestTimeoutMs, () => {
      this.#waiting.delete(token)
      withinLimit(clock, requestTimeoutMs, (call) => this.#revoke(token, call)).catch(
        () => undefined,
      )
    })
    this.#waiting.set(token, cancel)
  }

  /**
   * Ends the last token, and at once those that wait.
   *
   * @throws KmsError where the last one could not be ended
   */
  async end(last: Token | undefined, call: Call): Promise<void> {
    const spent = [...this.#waiting]
    this.#waiting.clear()
    for (const [, cancel] of spent) cancel()
    const before = spent.map(([token]) => this.#revoke(token, call))
    const ended = last?.ours === true ? this.#revoke(last, call) : Promise.resolve()
    const [outcome] = await Promise.allSettled([ended, ...before])
    if (outcome.status === 'rejected') throw outcome.reason
  }
}
