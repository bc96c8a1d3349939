/**
 * The time for what this node signs: its own, or that of the service, where a refusal
 * told that the two are far from each other. A node without a battery for its clock
 * starts somewhere, and must log in before its time service has put that right.
 *
 * @module
 */

import type { Clock } from '../base/clock.ts'
import { KmsError, type KmsErrorOptions, toKmsError } from '../base/errors.ts'
import type { EventSink } from '../base/events.ts'

export interface SigningClockOptions {
  readonly clock: Clock
  readonly events: EventSink
  /** The provider's name, for events. */
  readonly provider: string
  /** Whose time it is, for messages. */
  readonly service: string
  /** Clocks that differ by less are good enough for the service. */
  readonly toleranceMs: number
}

/** A refusal, with the time of the service that refused. */
export class RefusedError extends KmsError {
  readonly serviceTime: number | undefined

  constructor(
    message: string,
    { serviceTime, ...options }: KmsErrorOptions & { readonly serviceTime: number | undefined },
  ) {
    super(message, options)
    this.serviceTime = serviceTime
  }
}

export class SigningClock {
  readonly #options: SigningClockOptions
  /** The service's time when the monotonic one was 0, so that it stays right when this node's clock is set. */
  #origin: number | undefined

  constructor(options: SigningClockOptions) {
    this.#options = options
  }

  /** Milliseconds since the epoch. */
  now(): number {
    const { clock } = this.#options
    const own = clock.now()
    if (this.#origin === undefined) return own
    const served = this.#origin + clock.monotonic()
    return this.#isFar(own, served) ? served : own
  }

  /** True where the time was wrong enough to have a signature refused, and is right now. */
  correct(serviceTime: number | undefined): boolean {
    if (serviceTime === undefined) return false
    const used = this.now()
    this.#origin = serviceTime - this.#options.clock.monotonic()
    if (!this.#isFar(used, serviceTime)) return false
    this.#tell(serviceTime)
    return true
  }

  /**
   * Runs what signs, and once more where that was refused for a clock that is wrong.
   *
   * @throws KmsError as `attempt` does; a refusal says so where this node's clock is far off
   */
  async run<T>(attempt: () => Promise<T>): Promise<T> {
    try {
      return await attempt()
    } catch (error) {
      if (!(error instanceof RefusedError) || !this.correct(error.serviceTime)) {
        throw this.#explained(error)
      }
    }
    try {
      return await attempt()
    } catch (error) {
      throw this.#explained(error)
    }
  }

  #explained(error: unknown): unknown {
    if (!(error instanceof RefusedError) || error.serviceTime === undefined) return error
    const difference = this.#difference(error.serviceTime)
    if (difference === undefined) return error
    const { code, message } = toKmsError(error)
    return new KmsError(`${message}; the clock of this node is ${difference}: set it (NTP)`, {
      code,
      cause: error,
    })
  }

  #tell(serviceTime: number): void {
    const { events, provider, service } = this.#options
    const difference = this.#difference(serviceTime)
    if (difference === undefined) return
    const message = `Clock of this node is ${difference}: what it signs has the time of ${service}; put the clock right (NTP)`
    const fields = { provider }
    events.emit({ type: 'notice', level: 'warn', what: 'clock_skew', message, fields })
  }

  /** Undefined where this node's own clock is good enough. */
  #difference(serviceTime: number): string | undefined {
    const { clock, service } = this.#options
    const ahead = clock.now() - serviceTime
    if (!this.#isFar(ahead, 0)) return undefined
    const seconds = Math.round(Math.abs(ahead) / 1000)
    const how = ahead > 0 ? 'ahead of' : 'behind'
    return `${seconds} s ${how} that of ${service}, which says ${new Date(serviceTime).toISOString()}`
  }

  #isFar(one: number, other: number): boolean {
    return Math.abs(one - other) >= this.#options.toleranceMs
  }
}
