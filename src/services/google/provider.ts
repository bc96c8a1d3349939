/**
 * Google Cloud KMS over its REST API.
 *
 * `POST /v1/KEY/cryptoKeyVersions/N:encrypt`, `POST /v1/KEY:decrypt`, `GET /v1/KEY` and
 * `GET /v1/KEY/cryptoKeyVersions`, with `Authorization: Bearer …`:
 * https://cloud.google.com/kms/docs/reference/rest/v1/projects.locations.keyRings.cryptoKeys
 *
 * @module
 */

import type * as v from 'valibot'
import { retry } from '../../base/attempts/retry.ts'
import type { Clock } from '../../base/clock.ts'
import { KmsError } from '../../base/errors.ts'
import type { EventSink } from '../../base/events.ts'
import type { Call, KeyState, Plain, Provider, Wrapped } from '../../base/provider.ts'
import { HttpClient } from '../../remote/http/client.ts'
import { Transport } from '../../remote/http/transport.ts'
import { SigningClock } from '../../remote/signing_clock.ts'
import { TokenSource } from '../../remote/token_source.ts'
import { sideBySide } from '../side_by_side.ts'
import { checkDistinct, checkOpened, WrapCheck, wrong } from '../wrap_check.ts'
import { askGoogle, type GoogleReply, type GoogleRequest } from './api.ts'
import { endpointOf, type GcpKmsConfig, partsOf } from './config.ts'
import { type KmsAction, kmsError, mayPass, readChecksumFault } from './errors.ts'
import { createGoogleLogin } from './login/auth.ts'
import { heard } from './login/source.ts'
import {
  checkIdentity,
  ciphertextIn,
  decryptAnswer,
  decryptBody,
  encryptAnswer,
  encryptBody,
  keyAnswer,
  type ListedVersion,
  plaintextIn,
  versionsAnswer,
  versionsOf,
} from './messages.ts'

interface GcpKmsDeps {
  readonly clock: Clock
  readonly events: EventSink
  readonly requestTimeoutMs: number
}

/** HSM keys accept 8 KiB including the associated data, others 64 KiB. */
const MAX_PLAINTEXT_BYTES = 8_192 - 64
/**
 * A seed under a software key takes 81 bytes more. Google promises no number, so this is about
 * twice that.
 */
const OVERHEAD_BYTES = 160
/** A permission that was just granted works within seconds, and nothing locks an account. */
const REFUSAL_WAITS_MS = [5_000, 15_000, 60_000]

/** If a JWT is refused while the clock is off by less than this, the clock is not the reason. */
const TOLERANCE_MS = 30_000
/** Each page has a thousand versions. */
const MAX_PAGES = 100

export function createGcpKmsProvider(config: GcpKmsConfig, deps: GcpKmsDeps): Provider {
  return new GcpKmsProvider(config, deps)
}

class GcpKmsProvider implements Provider {
  readonly id: string
  readonly limits = {
    plaintextBytes: MAX_PLAINTEXT_BYTES,
    overheadBytes: OVERHEAD_BYTES,
    batchItems: 1,
  }
  readonly #key: string
  readonly #clock: Clock
  readonly #client: HttpClient
  readonly #transports: readonly Transport[]
  readonly #tokens: TokenSource
  readonly #wraps = new WrapCheck()
  readonly #signing: SigningClock

  constructor(config: GcpKmsConfig, { clock, events, requestTimeoutMs }: GcpKmsDeps) {
    const { name: provider, key, tls, proxy } = config
    const { project, location, ring, name } = partsOf(key)
    this.id = config.id ?? `gcpkms:${project}/${location}/${ring}/${name}`
    this.#key = key
    this.#clock = clock
    const deps = { provider, clock, events, random: Math.random }
    const kms = new Transport({ ...deps, tls, proxy })
    // Server name and client certificate are for Cloud KMS alone.
    const { caFile, caDir, dangerouslySkipVerification } = tls
    const loginTls = { caFile, caDir, dangerouslySkipVerification }
    const transport = new Transport({ ...deps, tls: loginTls, proxy })
    const direct = new Transport({ ...deps, tls: {} })
    this.#transports = [kms, transport, direct]
    this.#client = new HttpClient(endpointOf(config), kms)
    const signing = new SigningClock({ ...deps, service: 'Google', toleranceMs: TOLERANCE_MS })
    this.#signing = signing
    const login = createGoogleLogin(config.auth, { ...deps, signing, transport, direct })
    const refusalWaitsMs = REFUSAL_WAITS_MS
    this.#tokens = new TokenSource(login, { ...deps, requestTimeoutMs, refusalWaitsMs })
  }

  async keyState(call: Call): Promise<KeyState> {
    // A login that hangs is no reason to wait while the token is valid.
    void this.#tokens.follow(call)
    const get = { key: this.#key, permission: 'cloudkms.cryptoKeys.get' } as const
    const [{ body: key, serviceTime }, listed] = await Promise.all([
      this.#ask(get, { path: `/v1/${this.#key}`, schema: keyAnswer }, (reply) => reply, call),
      this.#listed(call),
    ])
    if (key.purpose !== 'ENCRYPT_DECRYPT') {
      const message = `Key ${this.#key} has another purpose: wanted one made with "gcloud kms keys create --purpose encryption"`
      throw new KmsError(message, { code: 'key_unavailable' })
    }
    checkIdentity(key, listed, this.#key)
    const versions = versionsOf(listed, key.primary?.name)
    checkDistinct(versions)
    return { selectable: true, serviceTime, versions }
  }

  wrap(version: string, items: readonly Plain[], call: Call) {
    const permission = 'cloudkms.cryptoKeyVersions.useToEncrypt'
    const name = `${this.#key}/cryptoKeyVersions/${version}`
    return sideBySide(items, call.signal, (item) => {
      const request = {
        path: `/v1/${name}:encrypt`,
        json: encryptBody(item),
        schema: encryptAnswer,
      }
      const action = { key: this.#key, permission, version } as const
      return this.#ask(
        action,
        request,
        ({ body }) => this.#wraps.sealed(ciphertextIn(body, name), item.plaintext),
        call,
      )
    })
  }

  /** Google finds the version in the ciphertext itself. */
  unwrap(items: readonly Wrapped[], call: Call) {
    const permission = 'cloudkms.cryptoKeyVersions.useToDecrypt'
    const path = `/v1/${this.#key}:decrypt`
    return sideBySide(items, call.signal, (item) => {
      const request = { path, json: decryptBody(item), schema: decryptAnswer }
      const action = { key: this.#key, permission, version: item.version } as const
      return this.#ask(
        action,
        request,
        ({ body }) => checkOpened(plaintextIn(body), item.bytes),
        call,
      )
    })
  }

  describe() {
    return { type: 'gcpkms', key: `${this.#key} at ${this.#client.address}` }
  }

  async close(): Promise<void> {
    this.#tokens.close()
    for (const transport of this.#transports) await transport.close()
  }

  async #listed(call: Call): Promise<ListedVersion[]> {
    const action = { key: this.#key, permission: 'cloudkms.cryptoKeyVersions.list' } as const
    const listed: ListedVersion[] = []
    let page = ''
    for (let pages = 0; pages < MAX_PAGES; pages += 1) {
      const query = new URLSearchParams({ pageSize: '1000', ...(page && { pageToken: page }) })
      const path = `/v1/${this.#key}/cryptoKeyVersions?${query}`
      const request = { path, schema: versionsAnswer }
      const { cryptoKeyVersions, nextPageToken } = await this.#ask(
        action,
        request,
        ({ body }) => body,
        call,
      )
      listed.push(...cryptoKeyVersions)
      page = nextPageToken
      if (page === '') return listed
    }
    throw wrong('pages of key versions without an end')
  }

  /**
   * Asks with the shared token, logs in again and repeats the request once where it is denied, and
   * repeats it where its failure may pass.
   */
  async #ask<TSchema extends v.GenericSchema, T>(
    action: KmsAction,
    request: GoogleRequest<TSchema>,
    read: (reply: GoogleReply<v.InferOutput<TSchema>>) => T,
    call: Call,
  ): Promise<T> {
    const retrying = { clock: this.#clock, random: Math.random, mayPass }
    const once = async (token: string | undefined) => {
      try {
        const asking = askGoogle(this.#client, { ...request, token }, call)
        return read(await asking.catch(heard(this.#signing)))
      } catch (error) {
        throw readChecksumFault(error)
      }
    }
    const work = async (token: string | undefined) => {
      try {
        return await retry(() => once(token), retrying, call)
      } catch (error) {
        throw kmsError(error, action, this.#clock.now())
      }
    }
    call.signal.throwIfAborted()
    return await this.#tokens.run(work, call)
  }
}
