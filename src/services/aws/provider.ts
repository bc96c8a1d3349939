/**
 * AWS KMS: Encrypt, Decrypt and DescribeKey of one symmetric key.
 *
 * KMS chooses the key material itself, and does not say at Encrypt which one it took. So the key is
 * the version, and the version's label is the key id. What another key id wrapped is opened by that
 * other key, so that a key can be replaced by another key of the account.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import type { Clock } from '../../base/clock.ts'
import { KmsError } from '../../base/errors.ts'
import type { EventSink } from '../../base/events.ts'
import type { Call, KeyState, Plain, Provider, Wrapped } from '../../base/provider.ts'
import { HttpClient } from '../../remote/http/client.ts'
import { Transport } from '../../remote/http/transport.ts'
import { sideBySide } from '../side_by_side.ts'
import { AwsApi, awsClock } from './api.ts'
import { KmsClient } from './client.ts'
import {
  type AwsKmsConfig,
  contextBytes,
  DIGEST_NAME,
  isKeyId,
  type KeyName,
  keyNameOf,
  providerIdOf,
} from './config.ts'
import { awsEndpoint } from './endpoints.ts'
import { checkIdentity, checkUsable, otherKey } from './key.ts'
import { CredentialStore } from './login/credential_store.ts'
import { createCredentialSource, type Environment } from './login/credentials.ts'
import { type Context, FRAME_BYTES, packWrap, unpackWrap } from './wrap.ts'

interface AwsKmsDeps {
  readonly clock: Clock
  readonly events: EventSink
  readonly requestTimeoutMs: number
  readonly environment: Environment
}

/** A 32-byte plaintext becomes 184 bytes; longer ones need a few more for their lengths. */
const CIPHERTEXT_OVERHEAD_BYTES = 256
const MAX_PLAINTEXT_BYTES = 4_096
const MAX_CIPHERTEXT_BYTES = 6_144

export function createAwsKmsProvider(config: AwsKmsConfig, deps: AwsKmsDeps): Provider {
  return new AwsKmsProvider(config, deps)
}

class AwsKmsProvider implements Provider {
  readonly id: string
  readonly limits
  readonly #config: AwsKmsConfig
  readonly #events: EventSink
  readonly #name: KeyName & { readonly region: string }
  readonly #transports: readonly Transport[]
  readonly #store: CredentialStore
  readonly #client: KmsClient
  /** The ARN of the key, which is used until the process ends. */
  #pinned: string | undefined
  /** The ARN that was reported last. */
  #movedTo: string | undefined

  constructor(config: AwsKmsConfig, deps: AwsKmsDeps) {
    const { clock, events, environment } = deps
    const { name: provider, tls, proxy, grantTokenFile } = config
    this.id = providerIdOf(config)
    this.limits = {
      plaintextBytes: MAX_PLAINTEXT_BYTES,
      overheadBytes:
        CIPHERTEXT_OVERHEAD_BYTES + FRAME_BYTES + contextBytes(config.encryptionContext),
      batchItems: 1,
    }
    this.#config = config
    this.#events = events
    this.#name = keyNameOf(config)
    const { region, kind } = this.#name
    if (kind === 'key' && config.key.startsWith('arn:')) this.#pinned = config.key
    const transport = new Transport({ provider, tls, proxy, clock, events })
    const direct = new Transport({ provider, tls: {}, clock, events })
    this.#transports = [transport, direct]
    const signing = awsClock(clock, { events, provider })
    const place = { ...config, region }
    const api = (service: 'kms' | 'sts', own: string | undefined) =>
      new AwsApi(new HttpClient(own ?? awsEndpoint(service, place), transport), {
        service,
        region,
        clock: signing,
      })
    const sts = api('sts', config.stsEndpoint)
    const source = { clock, direct, sts, signing, environment }
    const random = Math.random
    this.#store = new CredentialStore(createCredentialSource(config.credentials, source), {
      ...deps,
      random,
      provider,
    })
    const kms = api('kms', config.endpoint)
    this.#client = new KmsClient({
      api: kms,
      store: this.#store,
      clock,
      random,
      region,
      grantTokenFile,
    })
  }

  async keyState(call: Call): Promise<KeyState> {
    call.signal.throwIfAborted()
    const { metadata, serviceTime } = await this.#describe(call)
    checkUsable(metadata)
    const { KeyId: label, CreationDate, MultiRegion, CurrentKeyMaterialId: material } = metadata
    // The replicas of a key have one id but different dates, and a change of region must not look
    // like a new key.
    const createdAt = MultiRegion ? 0 : Math.floor(CreationDate)
    const versions = [{ label, createdAt, mayEncrypt: true, mayDecrypt: true }]
    return { selectable: false, versions, serviceTime, material }
  }

  async wrap(version: string, items: readonly Plain[], call: Call) {
    return await sideBySide(items, call.signal, async ({ plaintext, associatedData }) => {
      const key = await this.#arn(call)
      if (version !== keyIdIn(key)) throw unknownVersion(version)
      const own = this.#config.encryptionContext
      const context = withDigest(own, associatedData)
      return packWrap(own, await this.#client.encrypt({ key, context, bytes: plaintext }, call))
    })
  }

  async unwrap(items: readonly Wrapped[], call: Call) {
    return await sideBySide(items, call.signal, async (item) => {
      const { key, context, ciphertext } = await this.#opened(item, call)
      if (ciphertext.length > MAX_CIPHERTEXT_BYTES) {
        throw new KmsError('Ciphertext is longer than any of KMS', { code: 'ciphertext_invalid' })
      }
      return await this.#client.decrypt({ key, context, bytes: ciphertext }, call)
    })
  }

  describe() {
    const { text, region } = this.#name
    const pinned = text === this.#pinned || this.#pinned === undefined ? '' : `, ${this.#pinned}`
    return { type: 'awskms', key: `${text} in ${region}${pinned}` }
  }

  async close(): Promise<void> {
    this.#store.close()
    for (const transport of this.#transports) await transport.close()
  }

  /** Describes the pinned key, and first checks whether its alias has moved. */
  async #describe(call: Call) {
    const named = await this.#named(call)
    const { Arn } = named.metadata
    this.#pinned ??= Arn
    if (Arn === this.#pinned) return named
    if (this.#name.kind === 'key') throw otherKey(this.#pinned)
    this.#tellMove(Arn, this.#pinned)
    const pinned = await this.#client.describeKey(this.#pinned, call)
    if (pinned.metadata.Arn !== this.#pinned) throw otherKey(this.#pinned)
    return pinned
  }

  async #named(call: Call) {
    const named = await this.#client.describeKey(this.#name.text, call)
    checkIdentity(named.metadata, this.#name)
    return named
  }

  #tellMove(to: string, from: string): void {
    if (to === this.#movedTo) return
    this.#movedTo = to
    const provider = this.#config.name
    const message = `${this.#name.text} of provider "${provider}" points to another KMS key now, ${to}: ${from} stays in use until the plugin starts anew; if nobody meant this, point the alias back`
    const fields = { provider, from, to }
    this.#events.emit({ type: 'notice', level: 'error', what: 'alias_moved', message, fields })
  }

  async #arn(call: Call): Promise<string> {
    if (this.#pinned !== undefined) return this.#pinned
    const { metadata } = await this.#named(call)
    this.#pinned ??= metadata.Arn
    return this.#pinned
  }

  /** The key and the context with which Decrypt is asked. */
  async #opened({ version, bytes, associatedData }: Wrapped, call: Call) {
    const pinned = await this.#arn(call)
    if (associatedData === undefined) {
      return { key: pinned, context: this.#config.encryptionContext, ciphertext: bytes }
    }
    if (!isKeyId(version)) throw unknownVersion(version)
    const { context, ciphertext } = unpackWrap(bytes)
    const key = `${pinned.slice(0, pinned.lastIndexOf('/'))}/${version}`
    return { key, context: withDigest(context, associatedData), ciphertext }
  }
}

function withDigest(own: Context, digest: Uint8Array): Context {
  return { ...own, [DIGEST_NAME]: Buffer.from(digest).toString('base64') }
}

function keyIdIn(arn: string): string {
  return arn.slice(arn.lastIndexOf('/') + 1)
}

function unknownVersion(version: string): KmsError {
  const shown = isKeyId(version) ? `KMS key ${version}` : 'a version that is no key id of KMS'
  return new KmsError(`This provider does not use ${shown}`, { code: 'key_unavailable' })
}
