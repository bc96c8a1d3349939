/**
 * The signing key of a signer in the transit engine of Vault or OpenBao. The service gets digests
 * alone: what is signed does not leave this process.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { hash } from 'node:crypto'
import * as v from 'valibot'
import { KmsError } from '../../base/errors.ts'
import type { Call, Outcome } from '../../base/provider.ts'
import {
  HASH_OF,
  type PublicVersion,
  type PublicVersions,
  type SigningAlgorithm,
  type SigningKeySource,
  type SignRequest,
} from '../../base/signing_key.ts'
import { type VaultRequest, VaultStatusError } from './api.ts'
import { BatchSizes } from './batches.ts'
import { addressesOf, type VaultSigningConfig } from './config.ts'
import { type ConnectionDeps, VaultConnection } from './connection.ts'
import { transitError } from './errors.ts'

const SIGNING_TYPES = new Set([
  ...['ecdsa-p256', 'ecdsa-p384', 'ecdsa-p521'],
  ...['rsa-2048', 'rsa-3072', 'rsa-4096'],
])
const HASH_NAMES = {
  RS256: 'sha2-256',
  ES256: 'sha2-256',
  ES384: 'sha2-384',
  ES512: 'sha2-512',
} as const satisfies Record<SigningAlgorithm, string>

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const LABEL = /^[1-9]\d{0,8}$/
const keyAnswer = v.object({
  data: v.object({
    name: v.optional(v.string()),
    type: v.string(),
    derived: v.optional(v.boolean(), false),
    soft_deleted: v.optional(v.boolean(), false),
    keys: v.record(
      v.pipe(v.string(), v.regex(LABEL)),
      v.object({ creation_time: v.pipe(v.string(), v.isoTimestamp()), public_key: v.string() }),
    ),
    min_encryption_version: count,
  }),
})
type SigningKey = v.InferOutput<typeof keyAnswer>['data']

const TEXT = v.optional(v.string(), '')
const signAnswer = v.object({
  data: v.object({ batch_results: v.array(v.object({ signature: TEXT, error: TEXT })) }),
})

/** @param name what events have in the place of a provider's name */
export function createVaultSigningKey(
  config: VaultSigningConfig,
  name: string,
  deps: ConnectionDeps,
): SigningKeySource {
  return new VaultSigningKey(config, name, deps)
}

class VaultSigningKey implements SigningKeySource {
  readonly id: string
  readonly batchItems = BatchSizes.MAX_ITEMS
  readonly #config: VaultSigningConfig
  readonly #connection: VaultConnection
  readonly #sizes: BatchSizes

  constructor(config: VaultSigningConfig, name: string, deps: ConnectionDeps) {
    const { namespace, mount, key } = config
    this.id = `vault:${[namespace, mount, key].filter(Boolean).join('/')}`
    this.#config = config
    this.#connection = new VaultConnection({ ...config, name }, deps)
    this.#sizes = new BatchSizes(name, deps.events)
  }

  async publicKeys(call: Call): Promise<PublicVersions> {
    await this.#connection.follow(call)
    const { mount, key } = this.#config
    const path = `${mount}/keys/${key}`
    const [{ body, serviceTime }] = await Promise.all([
      this.#request({ method: 'GET', path, schema: keyAnswer }, call),
      this.#connection.checkNodes(),
    ])
    checkKey(body.data, key)
    return { versions: versionsOf(body.data), serviceTime }
  }

  async sign(
    { version, algorithm, inputs }: SignRequest,
    call: Call,
  ): Promise<readonly Outcome<Uint8Array>[]> {
    const { mount, key } = this.#config
    const items = inputs.map((input) => ({ input: hash(HASH_OF[algorithm], input, 'base64') }))
    const results = await this.#sizes.run(items, async (part) => {
      const body = {
        batch_input: part,
        key_version: Number(version),
        prehashed: true,
        hash_algorithm: HASH_NAMES[algorithm],
        signature_algorithm: 'pkcs1v15',
        marshaling_algorithm: 'jws',
      }
      const path = `${mount}/sign/${key}`
      const request = { method: 'POST', path, body, schema: signAnswer } as const
      const answer = await this.#request({ ...request, accept: [200, 400, 500] }, call)
      const signed = answer.body.data.batch_results
      if (signed.length !== part.length) throw wrongCount(signed.length, part.length)
      return signed
    })
    return results.map((result) => signatureOf(result, version))
  }

  describe(): string {
    const { namespace, mount, key } = this.#config
    const inside = namespace === undefined ? '' : ` in namespace ${namespace}`
    return `${mount}/${key}${inside} at ${addressesOf(this.#config).join(', ')}`
  }

  close(limitMs?: number): Promise<void> {
    return this.#connection.close(limitMs)
  }

  async #request<TSchema extends v.GenericSchema>(request: VaultRequest<TSchema>, call: Call) {
    try {
      return await this.#connection.request(request, call)
    } catch (error) {
      throw this.#explained(error)
    }
  }

  #explained(error: unknown): unknown {
    if (!(error instanceof VaultStatusError)) return error
    const { mount, key } = this.#config
    if (error.code === 'denied') {
      const message = `${error.message}; policy must allow update on ${mount}/sign/${key} and read on ${mount}/keys/${key}, and the key must exist`
      return new KmsError(message, { code: 'denied', cause: error })
    }
    return transitError((phrase) => error.says(phrase)) ?? error
  }
}

function checkKey({ name = '', type, derived, soft_deleted }: SigningKey, key: string): void {
  if (name !== '' && name !== key) {
    throw new KmsError(`Key service answered for another key than "${key}"`, { code: 'protocol' })
  }
  const why = soft_deleted
    ? 'is deleted: restore it'
    : SIGNING_TYPES.has(type)
      ? derived && 'is derived: wanted one made with derived=false'
      : `has type ${type.slice(0, 40)}, which cannot sign tokens: wanted ecdsa-p256`
  if (why === false) return
  throw new KmsError(`Transit key "${key}" ${why}`, { code: 'key_unavailable' })
}

function versionsOf({ keys, min_encryption_version }: SigningKey): PublicVersion[] {
  return Object.entries(keys)
    .map(([label, { creation_time, public_key }]) => ({
      label,
      createdAt: Math.floor(Date.parse(creation_time) / 1_000),
      publicKey: derOf(public_key),
      maySign: Number(label) >= min_encryption_version,
    }))
    .sort((a, b) => Number(a.label) - Number(b.label))
}

/** The bytes between the lines of a PEM; whoever gets them finds out whether they are a key. */
function derOf(pem: string): Uint8Array {
  return new Uint8Array(Buffer.from(pem.replaceAll(/-----[^-]*-----/g, ''), 'base64'))
}

/** Whether it is a good one, the public key says. */
function signatureOf(
  { signature, error }: { readonly signature: string; readonly error: string },
  version: string,
): Outcome<Uint8Array> {
  if (error !== '') return { ok: false, error: refused(error) }
  const prefix = `vault:v${version}:`
  if (!signature.startsWith(prefix)) {
    const message = `Key service did not sign under version ${version}, which it was asked for`
    return { ok: false, error: new KmsError(message, { code: 'protocol' }) }
  }
  const value = new Uint8Array(Buffer.from(signature.slice(prefix.length), 'base64url'))
  return { ok: true, value }
}

/** The service's own words are not passed on. */
function refused(text: string): KmsError {
  return (
    transitError((phrase) => text.includes(phrase)) ??
    new KmsError('Key service failed this item', { code: 'unavailable' })
  )
}

function wrongCount(results: number, items: number): KmsError {
  const message = `Key service answered ${results} signatures for ${items} tokens`
  return new KmsError(message, { code: 'protocol' })
}
