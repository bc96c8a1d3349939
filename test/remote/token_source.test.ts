import * as assert from 'uvu/assert'
import { KmsError, type KmsErrorCode } from '../../src/base/errors.ts'
import type { Call } from '../../src/base/provider.ts'
import type { Restriction } from '../../src/remote/token_restriction.ts'
import { type LoginMethod, type Token, TokenSource } from '../../src/remote/token_source.ts'
import { RecordedEvents } from '../_lib/events.ts'
import { FakeClock, settle } from '../_lib/fake_clock.ts'
import { rejection, suite } from '../_lib/uvu.ts'

const HOUR_S = 3_600
const LIMIT_MS = 2_500

/** A service whose tokens a test can kill. */
class FakeService implements LoginMethod {
  readonly name = 'fake'
  fingerprint = 'one'
  ttlSeconds = HOUR_S
  renewedTtl = HOUR_S
  renewable = true
  failure: KmsError | undefined
  renewFailure: KmsError | undefined
  /** While set, getting the credentials waits for it. */
  credentialsGate: Promise<void> | undefined
  /** While set, logins wait for it. */
  gate: Promise<void> | undefined
  signed = false
  logins = 0
  renewals = 0
  valid = new Set<string>()
  /** Whether its tokens are this process's alone. */
  ours = true
  readonly revoked: (string | undefined)[] = []
  /** What a revocation does beside being counted. */
  revoking: (call: Call) => Promise<void> = () => Promise.resolve()
  found: readonly Restriction[] = []
  /** The token of each login, as from a cache in between. */
  again: string | undefined
  /** Whether it says of its denials that they mean the token. */
  refuses = false

  async prepare() {
    await this.credentialsGate
    const { fingerprint, signed } = this
    return { fingerprint, signed, login: () => this.#login() }
  }

  renew(token: Token): Promise<Token> {
    this.renewals += 1
    if (this.renewFailure !== undefined) return Promise.reject(this.renewFailure)
    return Promise.resolve({ ...token, ttlSeconds: this.renewedTtl })
  }

  revoke(token: Token, call: Call): Promise<void> {
    this.revoked.push(token.value)
    return this.revoking(call)
  }

  restrictions(): Promise<readonly Restriction[]> {
    return Promise.resolve(this.found)
  }

  refusesToken(): boolean {
    return this.refuses
  }

  use = (token = ''): Promise<string> =>
    this.valid.has(token) ? Promise.resolve(token) : Promise.reject(failure('denied'))

  async #login(): Promise<Token> {
    this.logins += 1
    await this.gate
    if (this.failure !== undefined) throw this.failure
    const value = this.again ?? `token-${this.logins}`
    this.valid.add(value)
    const { ttlSeconds, renewable, ours } = this
    return { value, ttlSeconds, renewable, ours }
  }
}

function failure(code: KmsErrorCode): KmsError {
  return new KmsError(`Seeded ${code}`, { code })
}

function clockTurn(clock: FakeClock): Promise<void> {
  return new Promise((resolve) => clock.after(1, resolve))
}

function setup() {
  const clock = new FakeClock()
  const events = new RecordedEvents()
  const service = new FakeService()
  const tokens = new TokenSource(service, {
    clock,
    events,
    random: () => 0.5,
    provider: 'p',
    requestTimeoutMs: LIMIT_MS,
  })
  const call = { signal: new AbortController().signal, deadline: 0 }
  return {
    clock,
    events,
    service,
    tokens,
    call,
    run: () => tokens.run((token) => service.use(token), call),
  }
}
type Scene = ReturnType<typeof setup>

const test = suite('remote/token_source', setup)

test('a hundred requests at the start make one login', async ({ service, run }) => {
  const used = await Promise.all(Array.from({ length: 100 }, run))

  assert.equal([...new Set(used)], ['token-1'])
  assert.is(service.logins, 1)
})

test('a hundred requests that meet a revoked token succeed with one login', async ({
  service,
  run,
}) => {
  await run()
  service.valid.clear()

  const used = await Promise.all(Array.from({ length: 100 }, run))

  assert.equal([...new Set(used)], ['token-2'])
  assert.is(service.logins, 2)
})

test('a request that met the old token after it was replaced takes the new one', async ({
  service,
  tokens,
  call,
  run,
}) => {
  await run()
  const { promise, resolve } = Promise.withResolvers<void>()
  const slow = tokens.run(async (token) => {
    if (token === 'token-1') await promise
    return await service.use(token)
  }, call)
  service.valid.clear()
  await run()
  resolve()

  assert.is(await slow, 'token-2')
  assert.is(service.logins, 2)
})

test('a fresh token that is denied too is denied, without a login for each request', async ({
  clock,
  service,
  tokens,
  call,
  run,
}) => {
  await run()
  const denied = () => tokens.run(() => Promise.reject(failure('denied')), call)

  for (let turn = 0; turn < 50; turn += 1) {
    assert.is(((await rejection(denied())) as KmsError).code, 'denied')
  }
  assert.is(service.logins, 2)
  await clock.advance(5_000)
  await rejection(denied())
  assert.is(service.logins, 3)
})

/** A request that finds its token dead, and the next one too, although that worked for others. */
async function meetsTwoEnds({ service, tokens, call, run }: Scene): Promise<KmsError> {
  await run()
  service.valid.clear()
  let turn = 0
  const twice = async (token: string | undefined) => {
    turn += 1
    if (turn === 2) {
      await run()
      service.valid.clear()
    }
    return await service.use(token)
  }
  return (await rejection(tokens.run(twice, call))) as KmsError
}

test('a fresh token that worked and is refused itself has ended: the next request logs in', async (scene) => {
  scene.service.refuses = true

  assert.is((await meetsTwoEnds(scene)).code, 'denied')

  assert.is(await scene.run(), 'token-3')
})

test('a fresh token that worked and is denied something only is kept', async (scene) => {
  assert.is((await meetsTwoEnds(scene)).code, 'denied')

  assert.is(((await rejection(scene.run())) as KmsError).code, 'denied')
  assert.is(scene.service.logins, 2)
})

test('a fresh token that never worked and is refused itself is no reason for a login each time', async ({
  service,
  run,
}) => {
  service.refuses = true
  service.use = () => Promise.reject(failure('denied'))

  for (let turn = 0; turn < 50; turn += 1) {
    assert.is(((await rejection(run())) as KmsError).code, 'denied')
  }

  assert.is(service.logins, 2)
})

test('a dead token that logins give again is no reason for a login each time', async ({
  service,
  run,
}) => {
  service.refuses = true
  service.again = 'token-1'
  await run()
  service.use = () => Promise.reject(failure('denied'))

  for (let turn = 0; turn < 50; turn += 1) {
    assert.is(((await rejection(run())) as KmsError).code, 'denied')
  }

  assert.is(service.logins, 2)
})

test('changed credentials are used at once, also right after a confirmed denial', async ({
  service,
  run,
}) => {
  await run()
  service.valid.clear()
  const working = service.use
  service.use = () => Promise.reject(failure('denied'))
  await rejection(run())
  service.use = working
  service.valid.clear()
  assert.is(((await rejection(run())) as KmsError).code, 'denied')

  service.fingerprint = 'two'

  assert.is(await run(), 'token-3')
})

test('other failures pass through without a login', async ({ service, tokens, call, run }) => {
  await run()

  const error = await rejection(tokens.run(() => Promise.reject(failure('unavailable')), call))

  assert.is((error as KmsError).code, 'unavailable')
  assert.is(service.logins, 1)
})

test('renewal comes at 70 % of the life, again and again, with no login', async ({
  clock,
  service,
  run,
}) => {
  await run()

  await clock.advance(0.69 * HOUR_S * 1_000)
  assert.is(service.renewals, 0)
  await clock.advance(0.02 * HOUR_S * 1_000)
  assert.is(service.renewals, 1)
  await clock.advance(10 * HOUR_S * 1_000)
  assert.is(service.renewals, 15)
  assert.is(service.logins, 1)
})

interface Ahead {
  readonly title: string
  /** Done before the first request and after it. */
  readonly before?: (context: Parts) => void
  readonly after?: (context: Parts) => void
  /** Of a token, until somebody looks. */
  readonly lifetimes: number
  readonly wanted: readonly [renewals: number, logins: number]
  /** What the next request gets. */
  readonly used?: string
}

interface Parts {
  readonly service: FakeService
  readonly tokens: TokenSource
}

const AHEAD: readonly Ahead[] = [
  {
    title: 'a renewal that meets the maximum life makes a login ahead of time',
    after: ({ service }) => {
      service.renewedTtl = HOUR_S / 3
    },
    lifetimes: 0.71,
    wanted: [1, 2],
    used: 'token-2',
  },
  {
    title: 'a token that cannot be renewed is replaced ahead of time',
    before: ({ service }) => {
      service.renewable = false
    },
    lifetimes: 0.71,
    wanted: [0, 2],
    used: 'token-2',
  },
  {
    title: 'a token without an end is not renewed',
    before: ({ service }) => {
      service.ttlSeconds = 0
    },
    lifetimes: 1_000,
    wanted: [0, 1],
    used: 'token-1',
  },
  {
    title: 'close() ends renewals',
    after: ({ tokens }) => tokens.close(),
    lifetimes: 10,
    wanted: [0, 1],
  },
]

for (const { title, before, after, lifetimes, wanted, used } of AHEAD) {
  test(title, async (context) => {
    const { clock, service, run } = context
    before?.(context)
    await run()
    after?.(context)

    await clock.advance(lifetimes * HOUR_S * 1_000)

    assert.equal([service.renewals, service.logins], wanted)
    if (used !== undefined) assert.is(await run(), used)
  })
}

test('while neither renewal nor login works the old token stays in use, with growing pauses', async ({
  clock,
  service,
  run,
}) => {
  await run()
  service.renewFailure = failure('unavailable')
  service.failure = failure('unavailable')

  await clock.advance(0.7 * HOUR_S * 1_000 + 300_000)

  assert.is(await run(), 'token-1')
  assert.ok(service.renewals > 5 && service.renewals < 25, `${service.renewals} tries in 5 min`)
  service.renewFailure = undefined
  await clock.advance(40_000)
  assert.is(await run(), 'token-1')
})

test('refused credentials are not tried again at once, and never five times in 15 minutes', async ({
  clock,
  service,
  run,
}) => {
  service.failure = failure('denied')
  const times: number[] = []
  for (let second = 0; second < 3_600; second += 1) {
    const before = service.logins
    assert.is(((await rejection(run())) as KmsError).code, 'denied')
    if (service.logins > before) times.push(second)
    await clock.advance(1_000)
  }

  assert.equal(times.slice(0, 4), [0, 30, 210, 570])
  for (const [index, at] of times.entries()) {
    assert.ok(
      (times[index + 4] ?? Number.POSITIVE_INFINITY) - at > 900,
      `five within 15 min from ${at}`,
    )
  }
})

test('what is signed with the time of this node is tried at once where its clock was set, and nothing else is', async ({
  clock,
  service,
  run,
}) => {
  service.failure = failure('denied')
  for (const [signed, stepMs, logins] of [
    [true, 0, 1],
    [true, 4_000, 1],
    [true, -40_000, 2],
    [true, 0, 2],
    [false, 40_000, 2],
    [true, 0, 3],
  ] as const) {
    service.signed = signed
    clock.wallOffset += stepMs
    await rejection(run())
    assert.is(service.logins, logins, `${signed} ${stepMs}`)
  }
})

test('changed credentials are tried at once', async ({ service, run }) => {
  service.failure = failure('denied')
  await rejection(run())
  service.failure = undefined
  await rejection(run())
  assert.is(service.logins, 1)

  service.fingerprint = 'two'

  assert.is(await run(), 'token-2')
})

test('a login that found no service is tried again at the next request', async ({
  service,
  run,
}) => {
  service.failure = failure('unavailable')
  await rejection(run())
  service.failure = undefined

  assert.is(await run(), 'token-2')
})

test('a caller that gives up does not end the login of the others', async ({
  service,
  tokens,
  run,
}) => {
  const { promise, resolve } = Promise.withResolvers<void>()
  service.gate = promise
  const controller = new AbortController()
  const impatient = tokens.run(service.use, { signal: controller.signal, deadline: 0 })
  const patient = run()
  await settle()

  const reason = failure('cancelled')
  controller.abort(reason)
  assert.is(await rejection(impatient), reason)
  resolve()

  assert.is(await patient, 'token-1')
})

test('a login that hangs ends at the time limit', async ({ clock, service, run }) => {
  service.gate = new Promise(() => undefined)
  const error = rejection(run())

  await clock.advance(LIMIT_MS)

  assert.is(((await error) as KmsError).code, 'timeout')
})

test('events tell of logins and renewals with the life, and a refusal once', async ({
  clock,
  events,
  service,
  run,
}) => {
  await run()
  await clock.advance(0.71 * HOUR_S * 1_000)
  service.valid.clear()
  service.failure = failure('denied')
  await rejection(run())
  await rejection(run())

  assert.equal(
    events.of('token').map(({ action, code, ttlSeconds }) => [action, code, ttlSeconds]),
    [
      ['login', 'ok', HOUR_S],
      ['renew', 'ok', HOUR_S],
      ['login', 'denied', undefined],
    ],
  )
  assert.not.match(JSON.stringify(events.all), /token-\d/)
})

test('end() revokes the token, and no login follows it', async ({ service, tokens, run }) => {
  await run()

  await tokens.end(LIMIT_MS)

  assert.equal(service.revoked, ['token-1'])
  service.valid.clear()
  assert.is(((await rejection(run())) as KmsError).code, 'unavailable')
  assert.is(service.logins, 1)
})

test('end() waits for a login under way, and revokes what that gives', async ({
  service,
  tokens,
  run,
}) => {
  const { promise, resolve } = Promise.withResolvers<void>()
  service.gate = promise
  const running = run()
  await settle()
  const ended = tokens.end(LIMIT_MS)
  await settle()
  assert.equal(service.revoked, [])

  resolve()
  await ended

  assert.equal(service.revoked, ['token-1'])
  assert.is(await running, 'token-1')
})

test('end() gives up at its limit, also on a login that hangs, and says so once', async ({
  clock,
  events,
  service,
  tokens,
  run,
}) => {
  service.revoking = () => Promise.withResolvers<void>().promise
  await run()

  const ended = tokens.end(1_000)
  await clock.advance(1_000)
  await ended

  assert.equal(
    events.of('notice').map(({ level, what }) => `${level} ${what}`),
    ['info token_not_revoked'],
  )
})

test('end() leaves a token that others may have', async ({ service, tokens, run }) => {
  service.ours = false
  await run()

  await tokens.end(LIMIT_MS)

  assert.equal(service.revoked, [])
})

test('a token that was replaced is revoked after the time that a request may take, renewed ones are not', async ({
  clock,
  service,
  tokens,
  run,
}) => {
  await run()
  await clock.advance(HOUR_S * 700)
  assert.equal([service.renewals, service.revoked], [1, []])
  service.valid.clear()
  await run()

  await clock.advance(LIMIT_MS - 1)
  assert.equal(service.revoked, [])
  await clock.advance(1)
  assert.equal(service.revoked, ['token-1'])

  await tokens.end(LIMIT_MS)
  assert.equal(service.revoked, ['token-1', 'token-2'])
})

test('end() revokes at once what waits for it', async ({ service, tokens, run }) => {
  await run()
  service.valid.clear()
  await run()

  await tokens.end(LIMIT_MS)

  assert.equal(service.revoked.sort(), ['token-1', 'token-2'])
})

test('end() tells of the last token alone where the service revokes none', async ({
  clock,
  events,
  service,
  tokens,
  run,
}) => {
  await run()
  service.valid.clear()
  await run()
  // The last one is refused while the one before it still waits for its answer.
  service.revoking = async () => {
    if (service.revoked.at(-1) === 'token-1') await clockTurn(clock)
    throw failure('denied')
  }

  const ended = tokens.end(LIMIT_MS)
  await settle()
  await clock.advance(1)
  await ended

  assert.equal(events.notices(), ['token_not_revoked'])
})

test('each restriction of a token is told once, however many logins find it', async ({
  events,
  service,
  run,
}) => {
  const restriction = (id: Restriction['id']) => ({ id, level: 'warn', message: id }) as const
  service.found = [restriction('bound')]
  await run()
  await settle()
  service.found = [restriction('bound'), restriction('parent')]
  service.valid.clear()
  await run()
  await settle()

  assert.equal(
    events.noticesOf('token_restricted').map(({ fields }) => fields?.restriction),
    ['bound', 'parent'],
  )
  assert.is(events.of('notice').length, 2)
})

test('follow() logs in anew where the credentials have changed, and only there', async ({
  service,
  tokens,
  call,
  run,
}) => {
  await tokens.follow(call)
  assert.is(service.logins, 0)
  await run()
  await tokens.follow(call)
  assert.is(service.logins, 1)

  service.fingerprint = 'two'
  await tokens.follow(call)

  assert.is(service.logins, 2)
  assert.is(await run(), 'token-2')
})

test('follow() keeps the token where the new credentials fail', async ({
  service,
  tokens,
  call,
  run,
}) => {
  await run()
  service.fingerprint = 'two'
  service.failure = failure('denied')

  await tokens.follow(call)

  assert.is(await run(), 'token-1')
})

test('refused credentials wait as long as the service wants it', async ({
  clock,
  events,
  call,
}) => {
  const service = new FakeService()
  service.failure = failure('denied')
  const deps = { clock, events, random: () => 0.5, provider: 'p', requestTimeoutMs: LIMIT_MS }
  const tokens = new TokenSource(service, { ...deps, refusalWaitsMs: [5_000, 60_000] })
  const run = () => rejection(tokens.run((token) => service.use(token), call))

  await run()
  await run()
  assert.is(service.logins, 1)
  await clock.advance(5_000)
  await run()
  assert.is(service.logins, 2)
  await clock.advance(59_999)
  await run()
  assert.is(service.logins, 2)
})

test('credentials that do not come end the login at its limit, and the next one tries anew', async ({
  clock,
  service,
  run,
}) => {
  service.credentialsGate = new Promise(() => undefined)
  const waiting = rejection(run())
  await clock.advance(LIMIT_MS)

  assert.is(((await waiting) as KmsError).code, 'timeout')
  assert.is(service.logins, 0)
  service.credentialsGate = undefined
  assert.is(await run(), 'token-1')
})

test('credentials and login have one limit together', async ({ clock, service, run }) => {
  const { promise, resolve } = Promise.withResolvers<void>()
  service.credentialsGate = promise
  service.gate = new Promise(() => undefined)
  const waiting = rejection(run())
  await clock.advance(LIMIT_MS - 1)
  resolve()
  await settle()
  assert.is(service.logins, 1)
  await clock.advance(1)

  assert.is(((await waiting) as KmsError).code, 'timeout')
})

test.run()
