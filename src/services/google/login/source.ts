/** What all logins to Google share: where tokens come from, and what they are for. @module */

import * as v from 'valibot'
import { retry } from '../../../base/attempts/retry.ts'
import type { Clock } from '../../../base/clock.ts'
import { KmsError, systemReasonOf } from '../../../base/errors.ts'
import type { Call } from '../../../base/provider.ts'
import { readSmallFile } from '../../../base/small_file.ts'
import { HttpClient } from '../../../remote/http/client.ts'
import type { Transport } from '../../../remote/http/transport.ts'
import type { SigningClock } from '../../../remote/signing_clock.ts'
import type { Token } from '../../../remote/token_source.ts'
import {
  askGoogle,
  type GoogleReply,
  type GoogleRequest,
  GoogleStatusError,
  mayPass,
} from '../api.ts'

/**
 * What a token is for. Scopes are those that the pages of the methods list under "Authorization
 * scopes".
 */
export interface GoogleUse {
  /** The claim `aud` of a self-signed JWT. */
  readonly audience: string
  /** The scope of an access token. */
  readonly scope: string
}

export const USES = {
  cloudKms: {
    audience: 'https://cloudkms.googleapis.com/',
    scope: 'https://www.googleapis.com/auth/cloudkms',
  },
  iamCredentials: {
    audience: 'https://iamcredentials.googleapis.com/',
    scope: 'https://www.googleapis.com/auth/cloud-platform',
  },
} as const satisfies Record<string, GoogleUse>

/** One way to get tokens. */
export interface GoogleSource {
  /** Reads the credentials as they are now. */
  prepare(): Promise<PreparedSource>
}

export interface PreparedSource {
  /** Digest of the credentials, by which refused ones are recognised. */
  readonly fingerprint: string
  /** @throws KmsError `denied` when the credentials are refused */
  token(use: GoogleUse, call: Call): Promise<Token>
}

export interface GoogleDeps {
  readonly clock: Clock
  /** The clock with which JWTs are signed here. */
  readonly signing: SigningClock
  /** From 0 to 1; for jitter alone. */
  readonly random: () => number
  /** Connections to Google through the configured proxy. */
  readonly transport: Transport
  /** Connections that never use a proxy, to what runs on or beside this node. */
  readonly direct: Transport
}

/**
 * Learns the service's time from a refusal: where this node's clock is far off, the next JWT is
 * signed with that time.
 */
export function heard(signing: SigningClock): (error: unknown) => never {
  return (error) => {
    const refused = error instanceof GoogleStatusError && error.status === 401
    if (refused && error.state !== '') signing.correct(error.serviceTime)
    throw error
  }
}

/** Makes a request, and repeats it where its failure may pass. */
export function askWithRetries<TSchema extends v.GenericSchema>(
  { clock, signing, random }: GoogleDeps,
  transport: Transport,
  address: string,
  request: GoogleRequest<TSchema>,
  call: Call,
): Promise<GoogleReply<v.InferOutput<TSchema>>> {
  const client = new HttpClient(address, transport)
  const ask = () => askGoogle(client, request, call).catch(heard(signing))
  return retry(ask, { clock, random, mayPass }, call)
}

/** The characters that a header can carry. */
export const bearer = v.pipe(v.string(), v.regex(/^[\x21-\x7e]+$/))
export const tokenAnswer = v.object({
  access_token: bearer,
  expires_in: v.pipe(v.number(), v.finite(), v.minValue(0)),
})

/** The token is never renewed; it is replaced. */
export function tokenOf(value: string, seconds: number): Token {
  return { value, ttlSeconds: Math.max(Math.floor(seconds), 1), renewable: false }
}

interface SecretJson<T> {
  readonly text: string
  readonly value: T
}

/**
 * Reads a file of credentials in the form that Google issues.
 *
 * @param what the config key, for messages
 * @param wanted what `schema` reads, for messages
 * @throws KmsError `denied` that names places in the file, never values
 */
export async function readGoogleFile<TSchema extends v.GenericSchema>(
  path: string,
  { what, wanted, schema }: { readonly what: string; readonly wanted: string; schema: TSchema },
): Promise<SecretJson<v.InferOutput<TSchema>>> {
  const refused = (why: string, cause?: unknown) =>
    new KmsError(`File "${path}" of ${what} ${why}`, { code: 'denied', cause })
  const text = await readSmallFile(path).catch((cause: unknown) => {
    throw refused(`cannot be read: ${systemReasonOf(cause)}`, cause)
  })
  const json = v.safeParse(v.pipe(v.string(), v.parseJson()), text)
  if (!json.success) throw refused(`is not JSON: wanted ${wanted}`)
  const result = v.safeParse(schema, json.output)
  if (result.success) return { text, value: result.output }
  const at = result.issues.map((issue) => v.getDotPath(issue) ?? '(root)').join(', ')
  throw refused(`is wrong at ${at}: wanted ${wanted}`)
}
