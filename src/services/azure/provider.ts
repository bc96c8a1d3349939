/**
 * Azure Key Vault and Managed HSM. Neither has batches, so items are sent side by side, as many at
 * once as there are connections. Every wrap names its key version, and an answer that names another
 * version is refused.
 *
 * @module
 */

import type * as v from 'valibot'
import type { Clock } from '../../base/clock.ts'
import { KmsError, toKmsError } from '../../base/errors.ts'
import type { EventSink } from '../../base/events.ts'
import { SEED_BYTES } from '../../base/limits.ts'
import { type Notify, notifierOf, type OfProvider } from '../../base/notices.ts'
import type { Call, KeyState, Plain, Provider, Wrapped } from '../../base/provider.ts'
import { HttpClient } from '../../remote/http/client.ts'
import { Transport } from '../../remote/http/transport.ts'
import { TokenSource } from '../../remote/token_source.ts'
import { azureVersions } from '../../takeover/azure.ts'
import { sideBySide } from '../side_by_side.ts'
import { checkDistinct, WrapCheck, wrong } from '../wrap_check.ts'
import { KeyApi, type KeyReply } from './api.ts'
import { AZURE_CLOUDS } from './clouds.ts'
import {
  type AzureAlgorithm,
  type AzureKmsConfig,
  type AzurePlace,
  algorithmOf,
  placeOf,
} from './config.ts'
import {
  byAge,
  checkVersion,
  decryptBody,
  deletedAnswer,
  encryptBody,
  faultOf,
  keyAnswer,
  type ListedKey,
  limitsOf,
  listedKey,
  type OperationAnswer,
  operationAnswer,
  plaintextOf,
  versionIn,
  versionsAnswer,
  wrapOf,
} from './key.ts'
import { createAzureLogin } from './login/auth.ts'
import { permissionsText } from './policy.ts'

interface AzureKmsDeps {
  readonly clock: Clock
  readonly events: EventSink
  readonly requestTimeoutMs: number
}

/**
 * Microsoft Entra locks no application, but identities and roles that were just made need a while.
 */
const REFUSAL_WAITS_MS = [10_000, 30_000]
/** Nobody rotates so often on purpose that a key has more versions than these pages hold. */
const MAX_PAGES = 100

export function createAzureKmsProvider(config: AzureKmsConfig, deps: AzureKmsDeps): Provider {
  return new AzureKmsProvider(config, deps)
}

/**
 * The lengths of a seed, and of its base64 text without and with padding; other plugins wrapped
 * nothing else.
 */
const WRAPPED_BYTES: ReadonlySet<number> = new Set([SEED_BYTES, 43, 44])

class AzureKmsProvider implements Provider {
  readonly id: string
  readonly limits
  readonly #config: AzureKmsConfig
  readonly #deps: AzureKmsDeps
  readonly #notify: Notify<OfProvider>
  readonly #algorithm: AzureAlgorithm
  readonly #place: AzurePlace
  readonly #transports: readonly Transport[]
  readonly #tokens: TokenSource
  readonly #api: KeyApi
  readonly #wraps = new WrapCheck()
  /** As the service listed them last. */
  #listed: readonly ListedKey[] | undefined
  /** What is wrong with each version that was examined; the key of a version never changes. */
  readonly #faults = new Map<string, string | undefined>()

  constructor(config: AzureKmsConfig, deps: AzureKmsDeps) {
    const { name, key, keySize, cloud, endpoints, tls, proxy, login } = config
    const { clock, events } = deps
    this.#config = config
    this.#deps = deps
    this.#notify = notifierOf(events, { provider: name })
    this.#place = placeOf(config)
    this.#algorithm = algorithmOf(config)
    this.id = config.id ?? `azurekms:${this.#place.name}/${key.toLowerCase()}`
    this.limits = limitsOf(this.#algorithm, keySize)
    const common = { provider: name, clock, events }
    const keys = new Transport({ ...common, tls, proxy })
    const authority =
      tls.serverName === undefined
        ? keys
        : new Transport({ ...common, tls: { ...tls, serverName: undefined }, proxy })
    const metadata = new Transport({ ...common, tls: {} })
    this.#transports = [keys, authority, metadata]
    const shared = { clock, events, random: Math.random, provider: name }
    const method = createAzureLogin(login, {
      ...shared,
      cloud,
      resource: this.#place.audience,
      authority: new HttpClient(endpoints.authority ?? AZURE_CLOUDS[cloud].authority, authority),
      metadata: new HttpClient(endpoints.metadata, metadata),
    })
    const { requestTimeoutMs } = deps
    const source = { ...shared, requestTimeoutMs, refusalWaitsMs: REFUSAL_WAITS_MS }
    this.#tokens = new TokenSource(method, source)
    this.#api = new KeyApi({
      ...shared,
      http: new HttpClient(this.#place.address, keys),
      tokens: this.#tokens,
      permissions: permissionsText(config),
    })
    if (this.#algorithm === 'RSA-OAEP-256') this.#warnOfForgery()
  }

  async keyState(call: Call): Promise<KeyState> {
    const { listed, serviceTime } = await this.#list(call)
    if (listed.length === 0) throw await this.#absence(call)
    const usable = listed.filter(({ refusal }) => refusal === undefined)
    await Promise.all(usable.map(({ label }) => this.#examine(label, call)))
    const versions = listed.map(({ label, createdAt, mayDecrypt, refusal }) => {
      const mayEncrypt = refusal === undefined && this.#faults.get(label) === undefined
      return { label, createdAt, mayEncrypt, mayDecrypt }
    })
    if (!versions.some(({ mayEncrypt }) => mayEncrypt)) throw this.#uselessness(listed)
    return { selectable: true, serviceTime, versions }
  }

  wrap(version: string, items: readonly Plain[], call: Call) {
    return sideBySide(items, call.signal, async (item) => {
      const body = encryptBody(this.#algorithm, item)
      const answer = await this.#operate('encrypt', version, body, call)
      return this.#wraps.sealed(wrapOf(this.#algorithm, answer, item), item.plaintext)
    })
  }

  unwrap(items: readonly Wrapped[], call: Call) {
    return sideBySide(items, call.signal, (item) =>
      item.associatedData === undefined ? this.#openForeign(item, call) : this.#open(item, call),
    )
  }

  describe() {
    return {
      type: 'azurekms',
      key: `${this.#config.key} (${this.#algorithm}) at ${this.#place.address}`,
    }
  }

  async close(): Promise<void> {
    this.#tokens.close()
    await Promise.all(this.#transports.map((transport) => transport.close()))
  }

  async #open(item: Wrapped, call: Call): Promise<Uint8Array> {
    const { version, body } = decryptBody(this.#algorithm, item)
    const answer = await this.#operate('decrypt', version, body, call)
    return plaintextOf(this.#algorithm, answer, item)
  }

  /** What another plugin wrapped does not say which version did it, so all that fit are tried. */
  async #openForeign(item: Wrapped, call: Call): Promise<Uint8Array> {
    const listed = this.#listed ?? (await this.#list(call)).listed
    const labels = listed.filter(({ mayDecrypt }) => mayDecrypt).map(({ label }) => label)
    const url = `https://${this.#place.host}/keys/${this.#config.key}`
    let refusal = new KmsError('No version of the key is the one that this was wrapped with', {
      code: 'key_unknown',
    })
    for (const version of azureVersions(item.version, url, labels.reverse())) {
      try {
        const opened = await this.#open({ ...item, version }, call)
        // RSA1_5 authenticates nothing: with the key of another version it may open to any bytes.
        if (WRAPPED_BYTES.has(opened.length)) return opened
        refusal = new KmsError('Ciphertext opens to no key of an API server', {
          code: 'ciphertext_invalid',
        })
      } catch (error) {
        refusal = toKmsError(error)
        if (refusal.code !== 'ciphertext_invalid') throw refusal
      }
    }
    throw refusal
  }

  async #operate(
    operation: 'encrypt' | 'decrypt',
    version: string,
    body: object,
    call: Call,
  ): Promise<OperationAnswer> {
    const { key } = this.#config
    const path = `/keys/${key}/${checkVersion(version)}/${operation}`
    const reply = await this.#api.request({ operation, path, body, schema: operationAnswer }, call)
    if (versionIn(reply.body.kid, key) === version) return reply.body
    throw wrong('under another key version')
  }

  async #list(call: Call): Promise<{ listed: ListedKey[]; serviceTime: number | undefined }> {
    const { key } = this.#config
    let path: string | undefined = `/keys/${key}/versions`
    const found: v.InferOutput<typeof versionsAnswer>['value'] = []
    let serviceTime: number | undefined
    for (let page = 0; path !== undefined; page += 1) {
      if (page === MAX_PAGES) throw wrong('pages of key versions without an end')
      const request = { operation: 'list', path, schema: versionsAnswer } as const
      const { body, serviceTime: time }: KeyReply<v.InferOutput<typeof versionsAnswer>> =
        await this.#api.request(request, call)
      serviceTime ??= time
      found.push(...body.value)
      path = this.#nextPath(body.nextLink)
    }
    const now = (serviceTime ?? this.#deps.clock.now()) / 1000
    const listed = found.map((one) => listedKey(one, key, now)).sort(byAge)
    checkDistinct(listed)
    this.#listed = listed
    return { listed, serviceTime }
  }

  /** A link to another host is not followed, since the token would be sent there. */
  #nextPath(link: string | null | undefined): string | undefined {
    if (link === null || link === undefined || link === '') return undefined
    const url = URL.canParse(link) ? new URL(link) : undefined
    const own = [new URL(this.#place.address).host, this.#place.host]
    const versions = `/keys/${this.#config.key}/versions`.toLowerCase()
    if (url !== undefined && own.includes(url.host) && url.pathname.toLowerCase() === versions) {
      return url.pathname + url.search
    }
    throw wrong('another place for the next key versions')
  }

  /**
   * The service lists no versions, both for a deleted key and for one that never existed; this
   * finds out which.
   */
  async #absence(call: Call): Promise<KmsError> {
    const { key } = this.#config
    const request = {
      operation: 'get',
      path: `/deletedkeys/${key}`,
      schema: deletedAnswer,
    } as const
    const deleted = await this.#api.request(request, call).then(
      () => true,
      () => false,
    )
    const { address } = this.#place
    return deleted
      ? new KmsError(
          `Key "${key}" at ${address} is deleted: recover it before it is purged (az keyvault key recover)`,
          { code: 'key_unavailable' },
        )
      : new KmsError(`There is no key "${key}" at ${address}, or it is deleted`, {
          code: 'key_unknown',
        })
  }

  /** Examines each version that may encrypt once. */
  async #examine(version: string, call: Call): Promise<void> {
    if (this.#faults.has(version)) return
    const path = `/keys/${this.#config.key}/${checkVersion(version)}`
    const reply = await this.#api.request({ operation: 'get', path, schema: keyAnswer }, call)
    if (versionIn(reply.body.key.kid, this.#config.key) !== version) {
      throw wrong('for another key version')
    }
    const fault = faultOf(reply.body, this.#algorithm, this.#config.keySize)
    this.#faults.set(version, fault)
    if (fault === undefined) return
    this.#notify(
      'warn',
      'key_version_unfit',
      `Version ${version} of key "${this.#config.key}" ${fault}`,
    )
  }

  #uselessness(listed: readonly ListedKey[]): KmsError {
    const { label = '', refusal } = listed.at(-1) ?? {}
    const why = refusal === undefined ? this.#faults.get(label) : `is ${refusal}`
    return new KmsError(
      `Key "${this.#config.key}" has no version that may encrypt: the newest, ${label}, ${why}`,
      { code: 'key_unavailable' },
    )
  }

  #warnOfForgery(): void {
    this.#notify(
      'warn',
      'wraps_forgeable',
      `Provider "${this.#config.name}" uses an RSA key: whoever has its public key and can write to etcd can make wraps of its own; a managed HSM with A256GCM prevents that`,
    )
  }
}
