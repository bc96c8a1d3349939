/**
 * Vault and OpenBao, through the transit secrets engine.
 *
 * A batch is sent as one `batch_input`. The service answers each item separately, and with HTTP 400
 * or 500 as soon as one item is bad, so these statuses are read like 200.
 *
 * @module
 */

import * as v from 'valibot'
import { KmsError } from '../../base/errors.ts'
import type { Call, KeyState, Plain, Provider, Remark, Wrapped } from '../../base/provider.ts'
import type { FollowedSettings } from '../followed_settings.ts'
import { referenced, resultsOf } from './answer.ts'
import { type VaultReply, type VaultRequest, VaultStatusError } from './api.ts'
import { BatchSizes } from './batches.ts'
import {
  bindingRemarks,
  DIGEST_BYTES,
  noSuchVersion,
  readLabel,
  trialItem,
  VaultBinding,
  wrapItem,
} from './binding.ts'
import { addressesOf, type VaultConfig } from './config.ts'
import { type ConnectionDeps, VaultConnection } from './connection.ts'
import { transitError } from './errors.ts'
import { examineTransit } from './examine.ts'
import { kvAnswer, type TransitPlace, VaultSettings } from './settings.ts'
import { settingsApiPath } from './setup/policy.ts'
import {
  type BatchResult,
  batchAnswer,
  checkKey,
  keyAnswer,
  versionsOf,
  wrapOf,
} from './transit.ts'
import { unwrapAll } from './unwrapping.ts'

interface VaultDeps extends ConnectionDeps {
  /** Called when those settings change that may change. */
  readonly onSettings?: (settings: FollowedSettings) => void
}

/** A nonce of at most 24 bytes (xchacha20) and a tag of 16. */
const OVERHEAD_BYTES = 40
const MAX_PLAINTEXT_BYTES = 65_536

export function createVaultProvider(config: VaultConfig, deps: VaultDeps): Provider {
  return new VaultProvider(config, deps)
}

class VaultProvider implements Provider {
  readonly id: string
  readonly #config: VaultConfig
  readonly #connection: VaultConnection
  readonly #settings: VaultSettings
  readonly #sizes: BatchSizes
  readonly #binding: VaultBinding

  constructor(config: VaultConfig, deps: VaultDeps) {
    const { namespace, mount = 'transit', key, name } = config
    const { clock, events, onSettings } = deps
    this.id = config.id ?? `vault:${[namespace, mount, key].filter(Boolean).join('/')}`
    this.#config = config
    this.#connection = new VaultConnection(config, deps)
    this.#sizes = new BatchSizes(name, events)
    this.#binding = new VaultBinding({ name, clock, events })
    this.#settings = new VaultSettings(config, {
      events,
      read: (call) => this.#readSettings(call),
      onChange: (settings) => onSettings?.(settings),
    })
  }

  get limits() {
    return {
      plaintextBytes: MAX_PLAINTEXT_BYTES,
      overheadBytes: OVERHEAD_BYTES + (this.#binding.inside ? DIGEST_BYTES : 0),
      batchItems: BatchSizes.MAX_ITEMS,
    }
  }

  async keyState(call: Call): Promise<KeyState> {
    await this.#connection.follow(call)
    const { mount, key } = await this.#settings.place(call)
    const path = `${mount}/keys/${key}`
    const [{ body, serviceTime }] = await Promise.all([
      this.#request({ method: 'GET', path, schema: keyAnswer }, call),
      this.#connection.checkNodes(),
      this.#settings.refresh(call),
    ])
    checkKey(body.data, key)
    const { note } = this.#binding
    const versions = this.#binding.labelled(versionsOf(body.data))
    return { selectable: true, serviceTime, versions, note }
  }

  async wrap(name: string, items: readonly Plain[], call: Call) {
    const label = readLabel(name)
    if (label === undefined) throw noSuchVersion()
    const input = items.map((item) => wrapItem(label, item))
    const place = await this.#settings.place(call)
    const results = await this.#sizes.run(input, async (chunk) => {
      const all = await this.#batch('encrypt', place, [...chunk, trialItem(label.version)], call)
      return this.#binding.withoutTrial(all, label)
    })
    return results.map((result) => wrapOf(result, label.version))
  }

  async unwrap(items: readonly Wrapped[], call: Call) {
    const place = await this.#settings.place(call)
    return await unwrapAll(items, {
      name: this.#config.name,
      binding: this.#binding,
      allowUnbound: this.#config.allowUnboundDecrypt,
      decrypt: (input) =>
        this.#sizes.run(input, (chunk) => this.#batch('decrypt', place, chunk, call)),
    })
  }

  describe() {
    const { namespace, mount = 'transit', key, settingsFrom } = this.#config
    const inside = namespace === undefined ? '' : ` in namespace ${namespace}`
    const place =
      key === undefined && settingsFrom !== undefined
        ? `the key that ${settingsApiPath(settingsFrom)} names`
        : `${mount}/${key}`
    return { type: 'vault', key: `${place}${inside} at ${addressesOf(this.#config).join(', ')}` }
  }

  async examine(call: Call): Promise<readonly Remark[]> {
    const place = await this.#settings.place(call)
    const { inside } = this.#binding
    const allowUnbound = this.#config.allowUnboundDecrypt
    const remarks = await examineTransit(place, {
      read: (request) => this.#connection.request(request, call),
      // A refusal is the answer here, and no reason to log in again.
      statusOf: (path) =>
        this.#connection.withToken(async (token) => {
          const request = { method: 'GET', path, token, schema: v.unknown() } as const
          return await this.#connection.requestOnce(request, call).then(() => 200, statusIn)
        }, call),
    })
    return [...bindingRemarks({ inside, allowUnbound }), ...remarks]
  }

  close(limitMs?: number): Promise<void> {
    return this.#connection.close(limitMs)
  }

  async #batch(
    action: 'encrypt' | 'decrypt',
    { mount, key }: TransitPlace,
    chunk: readonly object[],
    call: Call,
  ): Promise<readonly BatchResult[]> {
    const asked = referenced(chunk)
    const request = {
      method: 'POST',
      path: `${mount}/${action}/${key}`,
      // A bad item, which the trial always is, shall not look like a failure of the service to
      // proxies in between.
      body: { batch_input: asked, partial_failure_response_code: 200 },
      schema: batchAnswer,
      accept: [200, 400, 500],
    } as const
    return resultsOf(asked, (await this.#request(request, call)).body.data.batch_results)
  }

  async #readSettings(call: Call): Promise<Readonly<Record<string, unknown>>> {
    const { settingsFrom } = this.#config
    if (settingsFrom === undefined) return {}
    const path = settingsApiPath(settingsFrom)
    const schema = kvAnswer[settingsFrom.version]
    const { body } = await this.#connection.request({ method: 'GET', path, schema }, call)
    return body.data
  }

  async #request<TSchema extends v.GenericSchema>(
    request: VaultRequest<TSchema>,
    call: Call,
  ): Promise<VaultReply<v.InferOutput<TSchema>>> {
    try {
      return await this.#connection.request(request, call)
    } catch (error) {
      throw await this.#explain(error, call)
    }
  }

  async #explain(error: unknown, call: Call): Promise<unknown> {
    if (!(error instanceof VaultStatusError)) return error
    if (error.code === 'denied') {
      const { mount, key } = await this.#settings.place(call)
      return new KmsError(
        `${error.message}; policy must allow update on ${mount}/encrypt/${key} and ${mount}/decrypt/${key} and read on ${mount}/keys/${key}, the key must exist, and token_bound_cidrs must not leave this node out`,
        { code: 'denied', cause: error },
      )
    }
    return transitError((phrase) => error.says(phrase)) ?? error
  }
}

/** The HTTP status that an error reports. */
function statusIn(error: unknown): number {
  if (error instanceof VaultStatusError) return error.status
  throw error
}
