/**
 * One set of credentials for all requests. It is fetched once for everyone who waits, replaced well
 * before it ends, and kept in use until it really has ended where it cannot be replaced.
 *
 * @module
 */

import { SingleFlight } from '../../../base/attempts/single_flight.ts'
import { withinLimit } from '../../../base/call.ts'
import { KmsError, toKmsError } from '../../../base/errors.ts'
import type { Call } from '../../../base/provider.ts'
import { FIRST_RETRY_MS, type HolderDeps, Renewal, tellToken } from '../../../remote/renewal.ts'
import type { AwsCredentials } from '../api.ts'

/** One way to get credentials. */
export interface CredentialSource {
  /** The source's name, for events and messages. */
  readonly name: string
  /**
   * @throws KmsError `denied` where an operator has to do something before there are credentials
   */
  fetch(call: Call): Promise<AwsCredentials>
}

/** How often files are read again whose keys have no known end. */
const REREAD_MS = 300_000
/** Requests that come so soon after a failure get the same failure. */
const REMEMBER_MS = 5_000
/** If credentials that are younger than this are refused too, there are no others now. */
const CONFIRMED_MS = 4_000

export class CredentialStore {
  readonly #source: CredentialSource
  readonly #deps: HolderDeps
  #current: AwsCredentials | undefined
  #fetchedAt = 0
  readonly #fetching = new SingleFlight<AwsCredentials>()
  #failure: { readonly error: KmsError; readonly until: number } | undefined
  readonly #renewal: Renewal

  constructor(source: CredentialSource, deps: HolderDeps) {
    this.#source = source
    this.#deps = deps
    this.#renewal = new Renewal(deps, () => {
      // A failure is reported, and the next attempt is scheduled.
      this.#fetch({ signal: new AbortController().signal, deadline: 0 }).catch(() => undefined)
    })
  }

  /** @throws KmsError where no credentials are valid */
  async get(call: Call): Promise<AwsCredentials> {
    const current = this.#current
    if (current === undefined) return await this.#fetch(call)
    if (!this.#ended(current)) return current
    return await this.#fetch(call).catch((error: unknown) => {
      if (error === call.signal.reason) throw error
      const { code, message } = toKmsError(error)
      const said = `Credentials (${this.#source.name}) have expired and cannot be replaced: ${message}`
      throw new KmsError(said, { code, cause: error })
    })
  }

  /**
   * Called after the service refused `dead`. Returns other credentials, or undefined where there
   * are none.
   *
   * @throws KmsError where there may be others, but they cannot be fetched
   */
  async replace(dead: AwsCredentials, call: Call): Promise<AwsCredentials | undefined> {
    const young = this.#deps.clock.monotonic() - this.#fetchedAt < CONFIRMED_MS
    const fresh = this.#current === dead && !young ? await this.#fetch(call) : this.#current
    return fresh === dead ? undefined : fresh
  }

  close(): void {
    this.#renewal.close()
  }

  #ended({ expiresAt }: AwsCredentials): boolean {
    return expiresAt !== undefined && expiresAt <= this.#deps.clock.monotonic()
  }

  /** Fetches once for everyone who waits; each caller waits no longer than its own call allows. */
  #fetch({ signal }: Call): Promise<AwsCredentials> {
    return this.#fetching.run(() => this.#load(), signal)
  }

  async #load(): Promise<AwsCredentials> {
    const { clock, requestTimeoutMs } = this.#deps
    if (this.#failure !== undefined && clock.monotonic() < this.#failure.until) {
      throw this.#failure.error
    }
    try {
      const fetched = await withinLimit(clock, requestTimeoutMs, (call) => this.#source.fetch(call))
      if (this.#ended(fetched)) {
        const message = `Credentials (${this.#source.name}) had expired when they came: is the clock of their source right?`
        throw new KmsError(message, { code: 'unavailable' })
      }
      return this.#use(fetched)
    } catch (error) {
      throw this.#failed(toKmsError(error))
    }
  }

  #use(fetched: AwsCredentials): AwsCredentials {
    const before = this.#current
    const now = this.#deps.clock.monotonic()
    this.#fetchedAt = now
    this.#failure = undefined
    // The same object stays in use, with the signing keys that were derived from it.
    const current = before !== undefined && isSame(before, fetched) ? before : fetched
    this.#current = current
    const lifeMs = current.expiresAt === undefined ? undefined : current.expiresAt - now
    if (lifeMs === undefined) this.#renewal.after(REREAD_MS)
    else this.#renewal.inTimeFor(lifeMs, FIRST_RETRY_MS)
    if (current === fetched) this.#tell(before === undefined ? 'login' : 'renew', lifeMs ?? 0)
    return current
  }

  #failed(error: KmsError): KmsError {
    const waitMs = this.#renewal.afterFailure()
    const until = this.#deps.clock.monotonic() + Math.min(waitMs, REMEMBER_MS)
    this.#failure = { error, until }
    this.#tell(this.#current === undefined ? 'login' : 'renew', error)
    return error
  }

  #tell(action: 'login' | 'renew', outcome: number | KmsError): void {
    const told = outcome instanceof KmsError ? outcome : Math.floor(outcome / 1000)
    tellToken(this.#deps, { action, method: this.#source.name }, told)
  }
}

function isSame(a: AwsCredentials, b: AwsCredentials): boolean {
  return (
    a.accessKeyId === b.accessKeyId &&
    a.secretAccessKey === b.secretAccessKey &&
    a.sessionToken === b.sessionToken
  )
}
