/**
 * kube-apiserver as a KMS plugin sees it, on a virtual clock: when it asks for Status and Encrypt,
 * what it checks and caches, when it stops writing, and what it stores. docs/contract.md has
 * the rules that it checks.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { createCipheriv, createDecipheriv, createHmac, hash, randomBytes } from 'node:crypto'
import { withinLimit } from '../../../src/base/call.ts'
import type { Clock } from '../../../src/base/clock.ts'
import type { EncryptReply, KmsService } from '../../../src/base/service.ts'

const SEED_BYTES = 32
const EXPIRY_MS = 180_000
const HEALTHY_TICK_MS = 60_000
const UNHEALTHY_TICK_MS = 10_000
const GOOD_CHECK_MS = 20_000
const BAD_CHECK_MS = 3_000
const CACHE_MS = 86_400_000
const MAX_BYTES = 1024
const MAX_ANNOTATION_BYTES = 32_768
const FQDN =
  /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+\.?$/

/** What v2 stores beside each object's own bytes. */
interface StoredObject {
  readonly data: Buffer
  readonly keyId: string
  readonly seed: Uint8Array
  readonly annotations: EncryptReply['annotations']
}

/** Shared by the API servers of one cluster. */
export type Etcd = Map<string, StoredObject>

interface WriteState {
  readonly keyId: string
  readonly seed: Buffer
  readonly wrapped: EncryptReply
  readonly expires: number
}

interface ApiServerOptions {
  readonly clock: Clock
  /** The plugin behind the socket now; undefined while nobody listens. */
  readonly plugin: () => KmsService | undefined
  readonly etcd: Etcd
  /** `timeout` of the EncryptionConfiguration. */
  readonly timeoutMs?: number
}

export class ApiServer {
  /** Answers that broke a rule. */
  readonly violations: string[] = []
  /** Encrypts that answered another key id than the Status before them (rule R3). */
  races = 0
  calls = { status: 0, encrypt: 0, decrypt: 0 }
  readonly #options: ApiServerOptions
  readonly #cache = new Map<string, { readonly seed: Buffer; readonly until: number }>()
  #state: WriteState | undefined
  #check: { readonly good: boolean; readonly until: number } | undefined
  #checking: Promise<boolean> | undefined
  #cancelTick: () => void = () => undefined
  #lastKeyId: string | undefined

  constructor(options: ApiServerOptions) {
    this.#options = options
  }

  /** The key id of the last good Status. */
  get keyId(): string | undefined {
    return this.#lastKeyId
  }

  /** Never fails: an API server starts without its plugin too. */
  async start(): Promise<void> {
    await this.#tick()
  }

  stop(): void {
    this.#cancelTick()
  }

  /** `/readyz/kms-providers`. */
  async ready(): Promise<boolean> {
    const now = this.#options.clock.monotonic()
    if (this.#check !== undefined && now < this.#check.until) return this.#check.good
    return await this.#checked()
  }

  /** @throws Error where the write is not acknowledged */
  write(key: string, value: string): void {
    const { clock, etcd } = this.#options
    const state = this.#state
    if (state === undefined) throw new Error('Write: no seed yet')
    if (clock.monotonic() >= state.expires) throw new Error('Write: the seed expired')
    const info = randomBytes(SEED_BYTES)
    const nonce = randomBytes(12)
    const cipher = createCipheriv('aes-256-gcm', keyOf(state.seed, info), nonce)
    cipher.setAAD(Buffer.from(key))
    const body = [cipher.update(value), cipher.final(), cipher.getAuthTag()]
    const { keyId, ciphertext, annotations } = state.wrapped
    const data = Buffer.concat([info, nonce, ...body])
    etcd.set(key, { data, keyId, seed: ciphertext, annotations })
    this.#remember(state.wrapped, state.seed)
  }

  /** @throws Error where the object cannot be read now */
  async read(key: string): Promise<string> {
    const object = this.#options.etcd.get(key)
    if (object === undefined) throw new Error('Read: no such object')
    if (this.#state === undefined) throw new Error('Read: no transformer yet')
    const { keyId, annotations, data } = object
    const wrapped = { ciphertext: object.seed, keyId, annotations }
    const seed = this.#remembered(wrapped) ?? (await this.#decrypt(wrapped))
    const [info, nonce] = [data.subarray(0, 32), data.subarray(32, 44)]
    const decipher = createDecipheriv('aes-256-gcm', keyOf(seed, info), nonce, {
      authTagLength: 16,
    })
    decipher.setAAD(Buffer.from(key)).setAuthTag(data.subarray(-16))
    return Buffer.concat([decipher.update(data.subarray(44, -16)), decipher.final()]).toString()
  }

  async #tick(): Promise<void> {
    const good = await this.ready()
    const ms = good ? HEALTHY_TICK_MS : UNHEALTHY_TICK_MS
    this.#cancelTick = this.#options.clock.after(ms, () => void this.#tick())
  }

  /** Only one check runs at a time; callers that come meanwhile get its result. */
  #checked(): Promise<boolean> {
    this.#checking ??= this.#checkOnce().finally(() => {
      this.#checking = undefined
    })
    return this.#checking
  }

  async #checkOnce(): Promise<boolean> {
    const { clock } = this.#options
    const good = await this.#rotateMaybe().then(
      () => true,
      () => false,
    )
    this.#check = { good, until: clock.monotonic() + (good ? GOOD_CHECK_MS : BAD_CHECK_MS) }
    return good
  }

  async #rotateMaybe(): Promise<void> {
    const { clock } = this.#options
    this.calls.status += 1
    const keyId = this.#plugin().status()
    this.#validateKeyId(keyId, 'Status')
    this.#lastKeyId = keyId
    const expires = clock.monotonic() + EXPIRY_MS
    if (this.#state?.keyId === keyId) {
      this.#state = { ...this.#state, expires }
      return
    }
    const seed = randomBytes(SEED_BYTES)
    this.calls.encrypt += 1
    const wrapped = await this.#limited((plugin, call) =>
      plugin.encrypt({ api: 'v2', plaintext: seed }, call),
    )
    this.#validate(wrapped)
    if (wrapped.keyId !== keyId) {
      this.races += 1
      throw new Error('Encrypt answered another key id than Status')
    }
    this.#state = { keyId, seed, wrapped, expires }
    this.#remember(wrapped, seed)
  }

  async #decrypt(wrapped: EncryptReply): Promise<Buffer> {
    this.calls.decrypt += 1
    const opened = await this.#limited((plugin, call) =>
      plugin.decrypt({ api: 'v2', ...wrapped }, call),
    )
    const seed = Buffer.from(opened)
    if (seed.length < SEED_BYTES) this.violations.push('Decrypt answered a short seed')
    this.#remember(wrapped, seed)
    return seed
  }

  #plugin(): KmsService {
    const plugin = this.#options.plugin()
    if (plugin === undefined) throw new Error('Nobody listens on the socket')
    return plugin
  }

  async #limited<T>(
    work: (plugin: KmsService, call: Parameters<KmsService['encrypt']>[1]) => Promise<T>,
  ): Promise<T> {
    const { clock, timeoutMs = 3_000 } = this.#options
    const plugin = this.#plugin()
    return await withinLimit(clock, timeoutMs, (call) => work(plugin, call))
  }

  #validate({ ciphertext, keyId, annotations }: EncryptReply): void {
    this.#validateKeyId(keyId, 'Encrypt')
    if (ciphertext.length === 0 || ciphertext.length > MAX_BYTES) {
      this.violations.push(`Encrypt answered ${ciphertext.length} bytes`)
    }
    let bytes = 0
    for (const [name, value] of Object.entries(annotations)) {
      if (!FQDN.test(name)) this.violations.push(`Annotation ${name} is no domain name`)
      bytes += Buffer.byteLength(name) + value.length
    }
    if (bytes > MAX_ANNOTATION_BYTES) this.violations.push(`Annotations have ${bytes} bytes`)
  }

  #validateKeyId(keyId: string, method: string): void {
    const bytes = Buffer.byteLength(keyId)
    if (bytes === 0 || bytes > MAX_BYTES) {
      this.violations.push(`${method} answered a key id of ${bytes} bytes`)
    }
  }

  #remember(wrapped: EncryptReply, seed: Buffer): void {
    const now = this.#options.clock.monotonic()
    const name = nameOf(wrapped)
    for (const [key, { until }] of this.#cache) if (until <= now) this.#cache.delete(key)
    if (!this.#cache.has(name)) this.#cache.set(name, { seed, until: now + CACHE_MS })
  }

  #remembered(wrapped: EncryptReply): Buffer | undefined {
    return this.#cache.get(nameOf(wrapped))?.seed
  }
}

function nameOf({ ciphertext, keyId, annotations }: EncryptReply): string {
  const listed = Object.entries(annotations)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => [name, Buffer.from(value).toString('base64')])
  const whole = JSON.stringify([Buffer.from(ciphertext).toString('base64'), keyId, listed])
  return hash('sha256', whole)
}

/** One block of HKDF-Expand with SHA-256. */
function keyOf(seed: Buffer, info: Buffer): Buffer {
  return createHmac('sha256', seed).update(info).update(Buffer.of(1)).digest()
}

/** kube-apiserver with KMS v1: a key for each write, wrapped by the plugin. */
export class ApiServerV1 {
  readonly #options: Omit<ApiServerOptions, 'etcd'>
  readonly #stored = new Map<string, { readonly data: Buffer; readonly wrapped: Uint8Array }>()
  #cache = new Map<string, Buffer>()

  constructor(options: Omit<ApiServerOptions, 'etcd'>) {
    this.#options = options
  }

  /** @throws Error where the write is not acknowledged */
  async write(key: string, value: string): Promise<void> {
    const secret = randomBytes(32)
    const { ciphertext } = await this.#limited((plugin, call) =>
      plugin.encrypt({ api: 'v1beta1', plaintext: secret }, call),
    )
    const nonce = randomBytes(12)
    const cipher = createCipheriv('aes-256-gcm', secret, nonce).setAAD(Buffer.from(key))
    const body = [cipher.update(value), cipher.final(), cipher.getAuthTag()]
    this.#stored.set(key, { data: Buffer.concat([nonce, ...body]), wrapped: ciphertext })
    this.#cache.set(Buffer.from(ciphertext).toString('base64'), secret)
  }

  /** @throws Error where the object cannot be read now */
  async read(key: string): Promise<string> {
    const object = this.#stored.get(key)
    if (object === undefined) throw new Error('Read: no such object')
    const name = Buffer.from(object.wrapped).toString('base64')
    const secret =
      this.#cache.get(name) ??
      Buffer.from(
        await this.#limited((plugin, call) => {
          const { wrapped: ciphertext } = object
          const request = { api: 'v1beta1', ciphertext, keyId: undefined, annotations: {} } as const
          return plugin.decrypt(request, call)
        }),
      )
    this.#cache.set(name, secret)
    const decipher = createDecipheriv('aes-256-gcm', secret, object.data.subarray(0, 12), {
      authTagLength: 16,
    })
    decipher.setAAD(Buffer.from(key)).setAuthTag(object.data.subarray(-16))
    const body = [decipher.update(object.data.subarray(12, -16)), decipher.final()]
    return Buffer.concat(body).toString()
  }

  restart(): void {
    this.#cache = new Map()
  }

  async #limited<T>(
    work: (plugin: KmsService, call: Parameters<KmsService['encrypt']>[1]) => Promise<T>,
  ): Promise<T> {
    const { clock, plugin, timeoutMs = 3_000 } = this.#options
    const now = plugin()
    if (now === undefined) throw new Error('Nobody listens on the socket')
    return await withinLimit(clock, timeoutMs, (call) => work(now, call))
  }
}
