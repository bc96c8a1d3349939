/**
 * Revokes tokens of this process alone that are not needed any more, so that no stop, restart or
 * new login leaves one alive. A token that is not revoked in time stays valid until it expires.
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
  /** With the function that cancels the later revocation. */
  readonly #waiting = new Map<Token, () => void>()

  constructor(method: Pick<LoginMethod, 'revoke'>, deps: SpentTokensDeps) {
    this.#revoke = method.revoke?.bind(method) ?? (() => Promise.resolve())
    this.#deps = deps
  }

  /**
   * Revokes a token once the requests that carry it are over. It may be dead already, so a failure
   * is ignored.
   */
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
   * Revokes the last token, and at once those that wait.
   *
   * @throws KmsError where the last one could not be revoked
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
