/**
 * The time by a key service's own clock. A `Date` header tells it in whole seconds, so
 * a single answer leaves up to a second open; the answers of some minutes together
 * leave next to nothing, and nodes that rely on them switch together.
 *
 * @module
 */

/** What one answer says of the difference between the service's clock and the monotonic one. */
interface Bounds {
  readonly from: number
  readonly to: number
}

/** More would follow a clock that drifts too slowly. */
const KEPT = 16
/** A `Date` header has whole seconds, and cuts off the rest. */
const CUT_MS = 1_000

export class ServiceClock {
  #answers: readonly Bounds[] = []

  /**
   * Takes in what an answer said.
   *
   * @param said milliseconds since the epoch, in whole seconds
   * @param sentAt when it was asked, in monotonic milliseconds
   * @param receivedAt when the answer was there
   * @returns the service's time at `receivedAt`
   */
  timeAt(said: number, sentAt: number, receivedAt: number): number {
    const newest = { from: said - receivedAt, to: said + CUT_MS - sentAt }
    // Those that cannot be true together with the newest are of before its clock was set.
    const agreeing = this.#answers.filter(({ from, to }) => from < newest.to && newest.from < to)
    this.#answers = [...agreeing, newest].slice(-KEPT)
    return receivedAt + Math.max(...this.#answers.map(({ from }) => from))
  }
}
