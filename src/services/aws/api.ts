/**
 * One AWS service in one region. Requests are signed with Signature Version 4
 * (docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html), which also
 * works where this node's clock is wrong.
 *
 * @module
 */

import { AwsV4Signer } from 'aws4fetch'
import type { Clock } from '../../base/clock.ts'
import { KmsError } from '../../base/errors.ts'
import type { Call } from '../../base/provider.ts'
import type { HttpAnswer, HttpClient } from '../../remote/http/client.ts'
import { SigningClock, type SigningClockOptions } from '../../remote/signing_clock.ts'
import { faultOf } from './fault.ts'

export interface AwsCredentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken: string | undefined
  /** In `Clock.monotonic` milliseconds; undefined for credentials whose end is not known. */
  readonly expiresAt: number | undefined
}

interface AwsRequest {
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

interface AwsApiOptions {
  /** The service's name in signatures. */
  readonly service: string
  readonly region: string
  readonly clock: SigningClock
}

/** Printable ASCII: what a header can carry, and all that AWS gives. */
const SENDABLE = /^[!-~]+$/
/** AWS accepts requests that were signed up to five minutes ago, or that far ahead. */
const TOLERANCE_MS = 240_000

export function awsClock(
  clock: Clock,
  { events, provider }: Pick<SigningClockOptions, 'events' | 'provider'>,
): SigningClock {
  return new SigningClock({ clock, events, provider, service: 'AWS', toleranceMs: TOLERANCE_MS })
}

export class AwsApi {
  readonly address: string
  readonly #client: Pick<HttpClient, 'address' | 'send'>
  readonly #options: AwsApiOptions
  /** The signing key derived from a secret and a day, kept as long as the credentials live. */
  readonly #derived = new WeakMap<AwsCredentials, Map<string, ArrayBuffer>>()

  constructor(client: Pick<HttpClient, 'address' | 'send'>, options: AwsApiOptions) {
    this.address = client.address
    this.#client = client
    this.#options = options
  }

  /**
   * Returns the answer, whatever its status. A request that was refused because the clock is wrong
   * is signed and sent once more with the right time.
   *
   * @param credentials undefined for the few requests that need none
   * @throws KmsError as {@link HttpClient.send} does
   */
  async send(
    request: AwsRequest,
    credentials: AwsCredentials | undefined,
    call: Call,
  ): Promise<HttpAnswer> {
    const answer = await this.#once(request, credentials, call)
    const refused = credentials !== undefined && faultOf(answer)?.kind === 'signature'
    if (!refused || !this.#options.clock.correct(answer.serviceTime)) return answer
    return await this.#once(request, credentials, call)
  }

  async #once(
    { headers, body }: AwsRequest,
    credentials: AwsCredentials | undefined,
    { signal }: Call,
  ): Promise<HttpAnswer> {
    const signed = credentials === undefined ? {} : await this.#sign(headers, body, credentials)
    return await this.#client.send({
      method: 'POST',
      path: '/',
      headers: { ...headers, ...signed },
      body,
      signal,
    })
  }

  async #sign(
    headers: AwsRequest['headers'],
    body: string,
    credentials: AwsCredentials,
  ): Promise<Record<string, string>> {
    const { service, region, clock } = this.#options
    const { accessKeyId, secretAccessKey, sessionToken } = credentials
    if ([accessKeyId, sessionToken].some((each) => each !== undefined && !SENDABLE.test(each))) {
      throw new KmsError(
        'The credentials for AWS have an access key id or a session token that is not printable ASCII, as all of AWS are: look at where they come from',
        { code: 'denied' },
      )
    }
    const cache = this.#derived.get(credentials) ?? new Map<string, ArrayBuffer>()
    this.#derived.set(credentials, cache)
    const signer = new AwsV4Signer({
      method: 'POST',
      url: `${this.address}/`,
      headers: { ...headers },
      body,
      accessKeyId,
      secretAccessKey,
      ...(sessionToken === undefined ? {} : { sessionToken }),
      service,
      region,
      cache,
      datetime: new Date(clock.now()).toISOString().replace(/[:-]|\.\d{3}/g, ''),
      // AWS also wants the content type signed, which the package leaves out by default.
      allHeaders: true,
    })
    return Object.fromEntries((await signer.sign()).headers)
  }
}
