/**
 * Takes work of many clients in turns, so that one who asks for much does not keep the others
 * waiting: one piece of each, around and around, and so much until input is looked at again.
 *
 * @module
 */

import type { Clock } from '../base/clock.ts'

/** An API server that starts is through in four. */
const PER_TURN = 64

export class Turns<Client> {
  readonly #clock: Clock
  /** In the order in which they are next; none has nothing. */
  readonly #waiting = new Map<Client, (() => void)[]>()
  #done = 0
  #isBetween = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Runs it at once where nothing waits. */
  take(client: Client, run: () => void): void {
    const mine = this.#waiting.get(client)
    if (mine !== undefined) mine.push(run)
    else this.#waiting.set(client, [run])
    this.#work()
  }

  #work(): void {
    for (const [client, mine] of this.#waiting) {
      if (this.#done >= PER_TURN) break
      this.#waiting.delete(client)
      const run = mine.shift()
      // Behind all others.
      if (mine.length > 0) this.#waiting.set(client, mine)
      this.#done += 1
      run?.()
    }
    this.#endTurn()
  }

  #endTurn(): void {
    if (this.#isBetween || this.#done === 0) return
    this.#isBetween = true
    this.#clock.soon(() => {
      this.#isBetween = false
      this.#done = 0
      this.#work()
    })
  }
}
