/**
 * One token for all requests: obtained once, renewed at about 70 % of
 * its life, replaced when it cannot be renewed, and kept in use until it really
 * fails. However many requests meet a dead token, there is one login. At the end no
 * token is left behind that nobody else has.
 *
 * @module
 */

import { SingleFlight } from '../base/attempts/single_flight.ts'
import { withinLimit } from '../base/call.ts'
import { KmsError, toKmsError } from '../base/errors.ts'
import type { Call } from '../base/provider.ts'
import { type HolderDeps, Renewal, tellToken } from './renewal.ts'
import { SpentTokens } from './spent_tokens.ts'
import { type Restriction, tellNew } from './token_restriction.ts'

export interface Token {
  /** Undefined where an agent in between has its own. */
  readonly value: string | undefined
  /** 0 for a token that does not expire, or whose life is not told. */
  readonly ttlSeconds: number
  readonly renewable: boolean
  /** A login of this process gave it, and to nobody else: it may be revoked. */
  readonly ours?: boolean
}

/** One way to log in. */
export interface LoginMethod {
  readonly name: string
  /** Gets the credentials as they are now. */
  prepare(call: Call): Promise<PreparedLogin>
  /** A longer life for the same token; absent where tokens are only ever replaced. */
  renew?(token: Token, call: Call): Promise<Token>
  /** Ends a token that is `ours`; absent where the service has no such thing. */
  revoke?(token: Token, call: Call): Promise<void>
  /** What will end a new token, or keep the next login from working: asked beside the work, after each login. */
  restrictions?(token: Token, call: Call): Promise<readonly Restriction[]>
  /** Whether a denial is of the token itself; absent where the service does not tell that from what it may not do. */
  refusesToken?(error: unknown): boolean
}

export interface PreparedLogin {
  /** Digest of the credentials, to know refused ones again. */
  readonly fingerprint: string
  /** True for what is signed with the time of this node: a refusal says nothing any more once its clock was set. */
  readonly signed?: boolean
  /** @throws KmsError `denied` when the service refuses the credentials */
  login(call: Call): Promise<Token>
}

interface TokenSourceDeps extends HolderDeps {
  /** How long refused credentials rest after the first, second and every further refusal; as Vault needs it where absent. */
  readonly refusalWaitsMs?: readonly number[]
}

interface RefusedLogin {
  readonly fingerprint: string
  readonly times: number
  /** Monotonic time before which the same credentials are not tried again. */
  readonly until: number
  /** How far this node's clock was ahead of the monotonic one. */
  readonly clockMs: number
  readonly error: KmsError
}

/**
 * Vault locks an alias for 15 minutes after five refused logins within 15 minutes.
 * Waiting so long after the first, second and every further refusal makes four.
 */
const REFUSAL_WAITS_MS = [30_000, 180_000, 360_000] as const
/** A fresh token that is denied too means that the policy denies: another login would not help now. */
const CONFIRMED_DENIAL_MS = 4_000
/** A renewal that gives less than this part of the first life has met a maximum: time for a new login. */
const WORTHWHILE = 0.5
/** No clock is adjusted so far at once, but where it is set. */
const CLOCK_STEP_MS = 5_000

export class TokenSource {
  readonly #method: LoginMethod
  readonly #deps: TokenSourceDeps
  #current: Token | undefined
  /** Life of the token at its login. */
  #firstTtl = 0
  /** Of the credentials that gave the current token. */
  #fingerprint = ''
  readonly #login = new SingleFlight<Token>()
  #refusal: RefusedLogin | undefined
  #denied: { readonly token: Token; readonly until: number } | undefined
  /** Value of the last token with which something was done. */
  #worked: string | undefined
  readonly #renewal: Renewal
  readonly #spent: SpentTokens
  /** Restrictions that the last login met. */
  #told: ReadonlySet<string> = new Set()
  #examined: Promise<void> | undefined
  #closed = false

  constructor(method: LoginMethod, deps: TokenSourceDeps) {
    this.#method = method
    this.#deps = deps
    this.#spent = new SpentTokens(method, deps)
    this.#renewal = new Renewal(deps, () => void this.#renew())
  }

  /**
   * Runs `work` with the token; when the service denies it, logs in afresh and runs
   * it once more.
   */
  async run<T>(work: (token: string | undefined) => Promise<T>, call: Call): Promise<T> {
    const token = this.#current ?? (await this.#shared(call))
    try {
      return await this.#done(work, token)
    } catch (error) {
      if (toKmsError(error).code !== 'denied' || !(await this.#mayReplace(token, call))) throw error
    }
    return await this.#runAgain(work, token, call)
  }

  /**
   * Logs in again where the credentials have changed since the last login; a failure is reported,
   * and the token stays.
   */
  async follow(call: Call): Promise<void> {
    if (await this.#saysAnotherThing(call)) await this.#shared(call).catch(() => undefined)
  }

  /**
   * The same where what the credentials say may be another thing now: where the service refuses
   * that, the token that they gave before is used no more.
   */
  async followOrEnd(call: Call): Promise<void> {
    const before = this.#current
    const refused = before === undefined && this.#refusal !== undefined
    if (!refused && !(await this.#saysAnotherThing(call))) return
    try {
      await this.#shared(call)
    } catch (error) {
      if (toKmsError(error).code === 'denied' && this.#current === before) this.#end(before)
    }
  }

  async #saysAnotherThing(call: Call): Promise<boolean> {
    if (this.#current === undefined) return false
    const prepared = await this.#method.prepare(call).catch(() => undefined)
    return prepared !== undefined && prepared.fingerprint !== this.#fingerprint
  }

  #end(token: Token | undefined): void {
    if (token === undefined) return
    this.#current = undefined
    this.#renewal.cancel()
    this.#spent.add(token)
  }

  close(): void {
    this.#closed = true
    this.#renewal.close()
  }

  /** Closes, and revokes what is ours, for at most `limitMs`: a login under way leaves a token too. */
  async end(limitMs: number): Promise<void> {
    this.close()
    const { clock, events, provider } = this.#deps
    try {
      await withinLimit(clock, limitMs, async (call) => {
        await Promise.allSettled([this.#login.underWay, this.#examined])
        await this.#spent.end(this.#current, call)
      })
    } catch (error) {
      const message = `The token of provider "${provider}" was not revoked, and stays valid until it expires: ${toKmsError(error).message}`
      const what = 'token_not_revoked'
      events.emit({ type: 'notice', level: 'info', what, message, fields: { provider } })
    }
  }

  async #runAgain<T>(
    work: (token: string | undefined) => Promise<T>,
    dead: Token,
    call: Call,
  ): Promise<T> {
    const current = this.#current
    const fresh = current === undefined || current === dead ? await this.#shared(call) : current
    try {
      return await this.#done(work, fresh)
    } catch (error) {
      if (toKmsError(error).code === 'denied' && !this.#hasEnded(fresh, dead, error)) {
        const until = this.#deps.clock.monotonic() + CONFIRMED_DENIAL_MS
        this.#denied = { token: fresh, until }
      }
      throw error
    }
  }

  async #done<T>(work: (token: string | undefined) => Promise<T>, { value }: Token): Promise<T> {
    const result = await work(value)
    this.#worked = value
    return result
  }

  /**
   * Such as one that was revoked a moment after it was given: it worked, and another will. Not so one
   * that a cache in between gives again and again.
   */
  #hasEnded({ value }: Token, before: Token, error: unknown): boolean {
    if (this.#worked !== value || value === before.value) return false
    return this.#method.refusesToken?.(error) === true
  }

  /** Where a fresh token was denied a moment ago, another login helps only with other credentials. */
  async #mayReplace(token: Token, call: Call): Promise<boolean> {
    const denied = this.#denied
    if (denied === undefined || denied.token.value !== token.value) return true
    if (this.#deps.clock.monotonic() >= denied.until) return true
    const prepared = await this.#method.prepare(call).catch(() => undefined)
    return prepared !== undefined && prepared.fingerprint !== this.#fingerprint
  }

  /** One login for everyone who waits; each waits no longer than its own call allows. */
  #shared({ signal }: Call): Promise<Token> {
    if (this.#closed && this.#login.underWay === undefined) return Promise.reject(stopping())
    return this.#login.run(() => this.#logIn(), signal)
  }

  async #logIn(): Promise<Token> {
    try {
      const token = await this.#tryLogin()
      this.#refusal = undefined
      this.#firstTtl = token.ttlSeconds
      const before = this.#current
      if (before !== undefined && before.value !== token.value) this.#spent.add(before)
      this.#use(token)
      this.#tell('login', token)
      this.#examined = this.#examine(token)
      return token
    } catch (error) {
      const known = toKmsError(error)
      // A refusal is told once, however often it is remembered.
      if (known !== this.#refusal?.error) this.#tell('login', known)
      throw known
    }
  }

  async #tryLogin(): Promise<Token> {
    const { clock, requestTimeoutMs } = this.#deps
    const until = clock.monotonic() + requestTimeoutMs
    const prepared = await withinLimit(clock, requestTimeoutMs, (call) =>
      this.#method.prepare(call),
    )
    const { fingerprint, login } = prepared
    const before = this.#refusalOf(prepared)
    if (before !== undefined && clock.monotonic() < before.until) throw before.error
    try {
      const token = await withinLimit(clock, until - clock.monotonic(), login)
      this.#fingerprint = fingerprint
      return token
    } catch (error) {
      const known = toKmsError(error)
      if (known.code === 'denied') {
        this.#tell('login', known)
        this.#refusal = this.#refused(fingerprint, (before?.times ?? 0) + 1, known)
      }
      throw known
    }
  }

  /** Nothing waits for it, and nothing fails by it. */
  async #examine(token: Token): Promise<void> {
    const { clock, requestTimeoutMs } = this.#deps
    const ask = this.#method.restrictions?.bind(this.#method)
    if (ask === undefined) return
    try {
      const found = await withinLimit(clock, requestTimeoutMs, (call) => ask(token, call))
      this.#told = tellNew(found, this.#told, this.#deps)
    } catch {
      // The next login asks again.
    }
  }

  #refusalOf({ fingerprint, signed = false }: PreparedLogin): RefusedLogin | undefined {
    const refusal = this.#refusal
    if (refusal === undefined || refusal.fingerprint !== fingerprint) return undefined
    const stepMs = Math.abs(this.#clockMs() - refusal.clockMs)
    return signed && stepMs >= CLOCK_STEP_MS ? undefined : refusal
  }

  #clockMs(): number {
    return this.#deps.clock.now() - this.#deps.clock.monotonic()
  }

  #refused(fingerprint: string, times: number, error: KmsError): RefusedLogin {
    const { refusalWaitsMs: waits = REFUSAL_WAITS_MS } = this.#deps
    const wait = waits[Math.min(times, waits.length) - 1] ?? 0
    const until = this.#deps.clock.monotonic() + wait
    return { fingerprint, times, until, clockMs: this.#clockMs(), error }
  }

  #use(token: Token): void {
    this.#current = token
    if (token.ttlSeconds === 0) this.#renewal.cancel()
    else this.#renewal.inTimeFor(token.ttlSeconds * 1000)
  }

  async #renew(): Promise<void> {
    const token = this.#current
    if (token === undefined || this.#closed) return
    try {
      if (token.renewable && (await this.#extend(token))) return
      const { clock, requestTimeoutMs } = this.#deps
      await withinLimit(clock, requestTimeoutMs, (call) => this.#shared(call))
    } catch {
      // Told already; the old token stays in use until it fails.
      this.#renewal.afterFailure()
    }
  }

  /** False where the token's life cannot be made much longer any more. */
  async #extend(token: Token): Promise<boolean> {
    const { clock, requestTimeoutMs } = this.#deps
    const renew = this.#method.renew?.bind(this.#method)
    if (renew === undefined) return false
    try {
      const renewed = await withinLimit(clock, requestTimeoutMs, (call) => renew(token, call))
      this.#tell('renew', renewed)
      if (this.#current !== token) return true
      if (renewed.ttlSeconds < this.#firstTtl * WORTHWHILE) return false
      this.#use(renewed)
      return true
    } catch (error) {
      const known = toKmsError(error)
      this.#tell('renew', known)
      if (known.code === 'denied' || known.code === 'protocol') return false
      throw known
    }
  }

  #tell(action: 'login' | 'renew', outcome: Token | KmsError): void {
    const told = outcome instanceof KmsError ? outcome : outcome.ttlSeconds
    tellToken(this.#deps, { action, method: this.#method.name }, told)
  }
}

function stopping(): KmsError {
  return new KmsError('The plugin stops, or has another config: it logs in no more', {
    code: 'unavailable',
  })
}
