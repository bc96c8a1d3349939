/**
 * Vault and OpenBao, through the transit secrets engine.
 *
 * A batch goes out as one `batch_input`; the service answers each item apart, with
 * HTTP 400 as soon as one of them is bad, so both 200 and 400 are read.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import * as v from 'valibot'
import { TokenSource } from '../auth/token_source.ts'
import {
  VaultApi,
  type VaultReply,
  type VaultRequest,
  VaultStatusError,
} from '../auth/vault_api.ts'
import { createVaultLogin } from '../auth/vault_auth.ts'
import { HttpClient } from '../http/client.ts'
import { Transport } from '../http/transport.ts'
import type { Clock } from '../kms/clock.ts'
import { KmsError } from '../kms/errors.ts'
import type { EventSink } from '../kms/events.ts'
import type { Call, KeyState, Outcome, Plain, Provider, Wrapped } from '../kms/provider.ts'
import type { VaultConfig } from './vault_config.ts'
import { transitError } from './vault_errors.ts'

export interface VaultDeps {
  readonly clock: Clock
  readonly events: EventSink
  readonly requestTimeoutMs: number
}

/** OpenBao takes at most 1000 strings in a request, four an item here. */
const MAX_BATCH = 128
/** A nonce of at most 24 bytes (xchacha20) and a tag of 16. */
const OVERHEAD_BYTES = 40
const MAX_PLAINTEXT_BYTES = 65_536
/** The types that bind associated data. */
const AEAD_TYPES = new Set([
  'aes128-gcm96',
  'aes256-gcm96',
  'chacha20-poly1305',
  'xchacha20-poly1305',
])

const count = v.pipe(v.number(), v.integer(), v.minValue(0))
const batchAnswer = v.object({
  data: v.object({
    batch_results: v.array(
      v.object({
        ciphertext: v.optional(v.string()),
        plaintext: v.optional(v.string()),
        error: v.optional(v.string()),
      }),
    ),
  }),
})
type BatchResult = v.InferOutput<typeof batchAnswer>['data']['batch_results'][number]

const keyAnswer = v.object({
  data: v.object({
    type: v.string(),
    derived: v.optional(v.boolean(), false),
    soft_deleted: v.optional(v.boolean(), false),
    supports_encryption: v.boolean(),
    supports_decryption: v.boolean(),
    // Objects for asymmetric keys, which are refused by their type.
    keys: v.record(v.pipe(v.string(), v.digits()), v.unknown()),
    min_decryption_version: count,
    min_encryption_version: count,
  }),
})
type TransitKey = v.InferOutput<typeof keyAnswer>['data']

export function createVaultProvider(config: VaultConfig, deps: VaultDeps): Provider {
  return new VaultProvider(config, deps)
}

class VaultProvider implements Provider {
  readonly id: string
  readonly limits = { plaintextBytes: MAX_PLAINTEXT_BYTES, overheadBytes: OVERHEAD_BYTES }
  readonly #config: VaultConfig
  readonly #transport: Transport
  readonly #api: VaultApi
  readonly #tokens: TokenSource

  constructor(config: VaultConfig, { clock, events, requestTimeoutMs }: VaultDeps) {
    const { address, namespace, mount, key, tls, auth, name } = config
    this.id = config.id ?? `vault:${[namespace, mount, key].filter(Boolean).join('/')}`
    this.#config = config
    this.#transport = new Transport(tls)
    this.#api = new VaultApi(new HttpClient(address, this.#transport), namespace)
    this.#tokens = new TokenSource(createVaultLogin(auth, { api: this.#api, events }), {
      clock,
      events,
      random: Math.random,
      provider: name,
      requestTimeoutMs,
    })
  }

  async keyState(call: Call): Promise<KeyState> {
    const { mount, key } = this.#config
    const request = { method: 'GET', path: `${mount}/keys/${key}`, schema: keyAnswer } as const
    const { body, serviceTime } = await this.#request(request, call)
    checkKey(body.data, key)
    return { selectable: true, serviceTime, versions: versionsOf(body.data) }
  }

  wrap(version: string, items: readonly Plain[], call: Call) {
    const input = items.map(({ plaintext, associatedData }) => ({
      plaintext: base64(plaintext),
      associated_data: base64(associatedData),
      key_version: Number(version),
    }))
    return this.#batch('encrypt', input, call, (result) => wrapOf(result, version))
  }

  unwrap(items: readonly Wrapped[], call: Call) {
    const input = items.map(({ version, bytes, associatedData }) => ({
      ciphertext: `vault:v${version}:${base64(bytes)}`,
      associated_data: base64(associatedData),
    }))
    return this.#batch('decrypt', input, call, plaintextOf)
  }

  describe() {
    const { namespace, mount, key, address } = this.#config
    const inside = namespace === undefined ? '' : ` in namespace ${namespace}`
    return { type: 'vault', key: `${mount}/${key}${inside} at ${address}` }
  }

  async close(): Promise<void> {
    this.#tokens.close()
    await this.#transport.close()
  }

  async #batch(
    action: 'encrypt' | 'decrypt',
    input: readonly object[],
    call: Call,
    read: (result: BatchResult) => Outcome<Uint8Array>,
  ): Promise<readonly Outcome<Uint8Array>[]> {
    const { mount, key } = this.#config
    const path = `${mount}/${action}/${key}`
    const chunks = Array.from({ length: Math.ceil(input.length / MAX_BATCH) }, (_, index) =>
      input.slice(index * MAX_BATCH, (index + 1) * MAX_BATCH),
    )
    const outcomes = await Promise.all(
      chunks.map(async (chunk) => {
        const body = { batch_input: chunk }
        const request = {
          method: 'POST',
          path,
          body,
          schema: batchAnswer,
          accept: [200, 400],
        } as const
        const { batch_results } = (await this.#request(request, call)).body.data
        if (batch_results.length === chunk.length) return batch_results.map(read)
        throw new KmsError(
          `Key service answered ${batch_results.length} results for ${chunk.length} items`,
          { code: 'protocol' },
        )
      }),
    )
    return outcomes.flat()
  }

  /** Under the shared token, with one login and one retry where it is denied. */
  async #request<TSchema extends v.GenericSchema>(
    request: VaultRequest<TSchema>,
    call: Call,
  ): Promise<VaultReply<v.InferOutput<TSchema>>> {
    try {
      return await this.#tokens.run((token) => this.#api.request({ ...request, token }, call), call)
    } catch (error) {
      throw this.#explain(error)
    }
  }

  #explain(error: unknown): unknown {
    if (!(error instanceof VaultStatusError)) return error
    if (error.status === 403) {
      const { mount, key } = this.#config
      return new KmsError(
        `${error.message}; policy must allow update on ${mount}/encrypt/${key} and ${mount}/decrypt/${key} and read on ${mount}/keys/${key}, and the key must exist`,
        { code: 'denied', cause: error },
      )
    }
    return transitError((phrase) => error.says(phrase)) ?? error
  }
}

function checkKey(data: TransitKey, key: string): void {
  const wrong = faultOf(data)
  if (wrong === undefined) return
  throw new KmsError(`Transit key "${key}" ${wrong}`, { code: 'key_unavailable' })
}

function faultOf(data: TransitKey): string | undefined {
  if (data.soft_deleted) return 'is deleted: restore it'
  if (!AEAD_TYPES.has(data.type)) {
    return `has type ${data.type.slice(0, 40)}, which does not bind associated data: wanted aes256-gcm96`
  }
  if (data.derived) return 'is derived: wanted one made with derived=false'
  const complete = data.supports_encryption && data.supports_decryption
  return complete ? undefined : 'does not both encrypt and decrypt'
}

function versionsOf(data: TransitKey): KeyState['versions'] {
  const { keys, min_encryption_version, min_decryption_version } = data
  // 0 means that only the newest version encrypts by default; any usable one may be named.
  const lowest = Math.max(min_encryption_version, min_decryption_version)
  return Object.entries(keys)
    .map(([label, createdAt]) => ({ label: Number(label), createdAt }))
    .sort((a, b) => a.label - b.label)
    .map(({ label, createdAt }) => ({
      label: String(label),
      createdAt: v.is(count, createdAt) ? createdAt : 0,
      mayEncrypt: label >= lowest,
      mayDecrypt: label >= min_decryption_version,
    }))
}

function wrapOf({ ciphertext, error }: BatchResult, version: string): Outcome<Uint8Array> {
  if (error !== undefined && error !== '') return refused(error)
  const prefix = `vault:v${version}:`
  if (ciphertext?.startsWith(prefix) !== true) {
    const message = `Key service did not encrypt under version ${version}, which it was asked for`
    return { ok: false, error: new KmsError(message, { code: 'protocol' }) }
  }
  return decoded(ciphertext.slice(prefix.length))
}

/** A failed item also carries an empty plaintext: the error decides. */
function plaintextOf({ plaintext, error }: BatchResult): Outcome<Uint8Array> {
  if (error !== undefined && error !== '') return refused(error)
  return decoded(plaintext ?? '')
}

function refused(text: string): Outcome<Uint8Array> {
  const error =
    transitError((phrase) => text.includes(phrase)) ??
    new KmsError('Key service failed this item', { code: 'unavailable' })
  return { ok: false, error }
}

function decoded(text: string): Outcome<Uint8Array> {
  const bytes = Buffer.from(text, 'base64')
  if (bytes.length > 0 && bytes.toString('base64') === text) {
    return { ok: true, value: new Uint8Array(bytes) }
  }
  const message = 'Key service answered something other than base64'
  return { ok: false, error: new KmsError(message, { code: 'protocol' }) }
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64')
}
