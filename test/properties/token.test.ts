/** A token's life: while the service is well no request meets a token that ended by itself, and logins stay few. @module */

import * as fc from 'fast-check'
import * as assert from 'uvu/assert'
import { KmsError } from '../../src/base/errors.ts'
import { type LoginMethod, type Token, TokenSource } from '../../src/remote/token_source.ts'
import { RecordedEvents } from '../_lib/events.ts'
import { FakeClock } from '../_lib/fake_clock.ts'
import { holds } from '../_lib/properties.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('properties/token', () => ({}))

const step = fc.record({
  /** Time that passes before the request. */
  ms: fc.constantFrom(0, 1_000, 60_000, 600_000, 3_600_000),
  /** Somebody revokes the token that is in use. */
  kills: fc.nat(9).map((of) => of === 0),
  /** Requests at once. */
  requests: fc.integer({ min: 1, max: 4 }),
})
const terms = fc.record({
  ttlSeconds: fc.integer({ min: 60, max: 7_200 }),
  renewable: fc.boolean(),
  /** No renewal goes beyond so much after the login. */
  maxSeconds: fc.integer({ min: 60, max: 20_000 }),
})

class Service implements LoginMethod {
  readonly name = 'fake'
  logins = 0
  denials = 0
  renewals = 0
  readonly #clock: FakeClock
  readonly #terms: { ttlSeconds: number; renewable: boolean; maxSeconds: number }
  readonly #ends = new Map<string, { end: number; last: number }>()

  constructor(clock: FakeClock, given: Service['terms']) {
    this.#clock = clock
    this.#terms = given
  }

  get terms() {
    return this.#terms
  }

  prepare() {
    return Promise.resolve({ fingerprint: 'same', login: () => Promise.resolve(this.#login()) })
  }

  renew({ value = '' }: Token): Promise<Token> {
    const life = this.#ends.get(value)
    const now = this.#clock.monotonic()
    if (life === undefined || life.end <= now) return Promise.reject(denied())
    this.renewals += 1
    life.end = Math.min(now + this.#terms.ttlSeconds * 1_000, life.last)
    const ttlSeconds = Math.floor((life.end - now) / 1_000)
    return Promise.resolve({ value, ttlSeconds: Math.max(ttlSeconds, 1), renewable: true })
  }

  kill(): void {
    this.#ends.clear()
  }

  /** @param ms how long the answer takes */
  async use(value: string | undefined, ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#clock.after(ms, resolve)
    })
    const end = this.#ends.get(value ?? '')?.end ?? 0
    if (end > this.#clock.monotonic()) return
    this.denials += 1
    throw denied()
  }

  #login(): Token {
    this.logins += 1
    const { ttlSeconds, renewable, maxSeconds } = this.#terms
    const now = this.#clock.monotonic()
    const life = Math.min(ttlSeconds, maxSeconds)
    const value = `token-${this.logins}`
    this.#ends.set(value, { end: now + life * 1_000, last: now + maxSeconds * 1_000 })
    return { value, ttlSeconds: life, renewable }
  }
}

function denied(): KmsError {
  return new KmsError('Seeded', { code: 'denied' })
}

test('only a token that somebody revoked is ever denied, and each costs one login', async () => {
  await holds(
    150,
    fc.asyncProperty(
      terms,
      fc.array(step, { minLength: 1, maxLength: 16 }),
      async (given, steps) => {
        const clock = new FakeClock({ quick: true })
        const service = new Service(clock, given)
        const tokens = new TokenSource(service, {
          clock,
          events: new RecordedEvents(),
          random: () => 0.5,
          provider: 'p',
          requestTimeoutMs: 2_500,
        })
        const call = { signal: new AbortController().signal, deadline: 0 }
        let kills = 0
        let passedMs = 0
        for (const { ms, kills: kill, requests } of steps) {
          await clock.advance(ms)
          passedMs += ms
          if (kill) {
            service.kill()
            kills += 1
          }
          // A policy that denies is believed for a moment: a second revocation then may be taken for it.
          await clock.advance(5_000)
          passedMs += 5_000
          const before = service.denials
          const all = Array.from({ length: requests }, (_, at) =>
            tokens.run((token) => service.use(token, at * 50), call),
          )
          await clock.advance(1_000)
          passedMs += 1_000
          await Promise.all(all)
          assert.ok(
            service.denials - before <= (kill ? requests : 0),
            'denied though nobody revoked it',
          )
        }
        tokens.close()
        const life = Math.min(given.ttlSeconds, given.maxSeconds) * 1_000
        // At the soonest at half of the shortest life.
        const renewals = 1 + kills + (3 * passedMs) / life
        assert.ok(service.renewals <= renewals, `${service.renewals} renewals`)
        assert.ok(service.logins <= 1 + kills + (2 * passedMs) / life, `${service.logins} logins`)
      },
    ),
  )
})

test.run()
