/**
 * A key service in memory with real AES-GCM; a test decides its versions, outages and wrong
 * answers. It is for the tests of the domain; the providers are tested on real servers.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { KmsError } from '../../../src/base/errors.ts'
import type {
  Call,
  KeyState,
  KeyVersion,
  Outcome,
  Plain,
  Provider,
  Wrapped,
} from '../../../src/base/provider.ts'

export class FakeProvider implements Provider {
  readonly id: string
  readonly limits = { plaintextBytes: 4096, overheadBytes: 28, batchItems: 4 }
  /** Thrown by every call while set. */
  failure: KmsError | undefined
  /** While true, calls never settle unless their signal fires. */
  hangs = false
  /** Every call waits for it first. */
  pause: (() => Promise<void>) | undefined
  /** What the service says of its time. */
  serviceTime: number | undefined
  versions: KeyVersion[] = []
  calls = { keyState: 0, wrap: 0, unwrap: 0 }
  /**
   * Acts like a service that never reads the field: wraps are bound to nothing, and open under
   * anything.
   */
  ignoresAssociatedData = false
  /** Changes what unwrap answers. */
  distort: (plaintext: Uint8Array) => Uint8Array = (plaintext) => plaintext
  readonly #keys = new Map<string, Buffer>()

  constructor(id = 'fake:one', createdAt = 0) {
    this.id = id
    this.addVersion('1', createdAt)
  }

  addVersion(label: string, createdAt: number): void {
    this.#keys.set(label, randomBytes(32))
    this.versions.push({ label, createdAt, mayEncrypt: true, mayDecrypt: true })
  }

  change(label: string, change: Partial<KeyVersion>): void {
    this.versions = this.versions.map((version) =>
      version.label === label ? { ...version, ...change } : version,
    )
  }

  async keyState(call: Call): Promise<KeyState> {
    this.calls.keyState += 1
    await this.#gate(call)
    return { selectable: true, versions: [...this.versions], serviceTime: this.serviceTime }
  }

  async wrap(version: string, items: readonly Plain[], call: Call) {
    this.calls.wrap += 1
    await this.#gate(call)
    return items.map((item) =>
      this.#each(version, 'mayEncrypt', (key) => seal(key, this.#taken(item))),
    )
  }

  async unwrap(items: readonly Wrapped[], call: Call) {
    this.calls.unwrap += 1
    await this.#gate(call)
    return items.map((item) =>
      this.#each(item.version, 'mayDecrypt', (key) => this.distort(open(key, this.#taken(item)))),
    )
  }

  describe() {
    return { type: 'fake', key: this.id }
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  #taken<T extends object>(item: T): T {
    return this.ignoresAssociatedData ? { ...item, associatedData: new Uint8Array() } : item
  }

  async #gate({ signal }: Call): Promise<void> {
    await this.pause?.()
    if (this.hangs) {
      await new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason))
      })
    }
    if (this.failure !== undefined) throw this.failure
  }

  #each(
    label: string,
    may: 'mayEncrypt' | 'mayDecrypt',
    run: (key: Buffer) => Uint8Array,
  ): Outcome<Uint8Array> {
    const version = this.versions.find((candidate) => candidate.label === label)
    const key = this.#keys.get(label)
    if (version?.[may] !== true || key === undefined) {
      const error = new KmsError(`Version ${label} may not do this`, { code: 'key_unavailable' })
      return { ok: false, error }
    }
    try {
      return { ok: true, value: run(key) }
    } catch (cause) {
      const error = new KmsError('Refused', { code: 'ciphertext_invalid', cause })
      return { ok: false, error }
    }
  }
}

function seal(key: Buffer, { plaintext, associatedData }: Plain): Uint8Array {
  const iv = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(associatedData)
  return Buffer.concat([iv, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
}

function open(key: Buffer, { bytes, associatedData }: Wrapped): Uint8Array {
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, 12), {
    authTagLength: 16,
  })
  decipher.setAAD(associatedData ?? new Uint8Array()).setAuthTag(bytes.subarray(-16))
  return Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()])
}
