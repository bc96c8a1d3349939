/**
 * A key service that several nodes share, and each node's own view of it: away,
 * hanging, or a replica that lags.
 *
 * @module
 */

import { hash } from 'node:crypto'
import { KmsError } from '../../src/base/errors.ts'
import type {
  Call,
  KeyState,
  KeyVersion,
  Outcome,
  Plain,
  Provider,
  Wrapped,
} from '../../src/base/provider.ts'
import { FakeProvider } from '../_lib/kms/fake_provider.ts'

export class SharedService {
  readonly id: string
  /** Everyone gets this instead of an answer. */
  failure: KmsError | undefined
  #key: FakeProvider
  #generation = 1
  readonly #time: () => number

  /** @param time the service's own, in milliseconds since the epoch */
  constructor(id: string, time: () => number) {
    this.id = id
    this.#time = time
    this.#key = new FakeProvider(id, Math.floor(time() / 1000) - 86_400)
  }

  get key(): FakeProvider {
    return this.#key
  }

  get now(): number {
    return this.#time()
  }

  get versions(): readonly KeyVersion[] {
    return this.#key.versions
  }

  rotate(): void {
    const label = String(Number(this.versions.at(-1)?.label ?? '0') + 1)
    this.#key.addVersion(label, Math.floor(this.#time() / 1000))
  }

  /** What the key before this opened is lost. Not within a second: such keys cannot be told apart. */
  recreate(): void {
    if (Math.floor(this.#time() / 1000) === this.versions.at(-1)?.createdAt) return
    this.#generation += 1
    this.#key = new FakeProvider(this.id, Math.floor(this.#time() / 1000))
  }

  /** The same for the same key material, and for no other. */
  materialOf(label: string): string {
    return hash('sha256', `${this.id} ${this.#generation} ${label}`)
  }
}

/** One node's way to a service. */
export class ServiceView implements Provider {
  readonly id: string
  readonly limits = { plaintextBytes: 4096, overheadBytes: 28, batchItems: 4 }
  away = false
  hangs = false
  /** So many of the oldest versions are known to the replica that this node reaches; all where undefined. */
  lagsAt: number | undefined
  /** False hides the service's clock. */
  tellsTime = true
  readonly #service: SharedService

  constructor(service: SharedService) {
    this.id = service.id
    this.#service = service
  }

  get well(): boolean {
    return (
      !this.away && !this.hangs && this.lagsAt === undefined && this.#service.failure === undefined
    )
  }

  async keyState(call: Call): Promise<KeyState> {
    await this.#gate(call)
    const versions = this.#service.versions.slice(0, this.lagsAt)
    const serviceTime = this.tellsTime ? this.#service.now : undefined
    return { selectable: true, versions, serviceTime }
  }

  async wrap(version: string, items: readonly Plain[], call: Call) {
    await this.#gate(call)
    if (!this.#knows(version)) return items.map(() => unknownVersion())
    return await this.#service.key.wrap(version, items, call)
  }

  async unwrap(items: readonly Wrapped[], call: Call) {
    await this.#gate(call)
    const results = await this.#service.key.unwrap(items, call)
    return results.map((result, at) =>
      this.#knows(items[at]?.version ?? '') ? result : unknownVersion(),
    )
  }

  describe() {
    return { type: 'fake', key: this.id }
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  #knows(label: string): boolean {
    return this.#service.versions.slice(0, this.lagsAt).some((version) => version.label === label)
  }

  async #gate({ signal }: Call): Promise<void> {
    if (this.hangs) {
      await new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason))
      })
    }
    if (this.away) throw new KmsError('Away', { code: 'unavailable' })
    if (this.#service.failure !== undefined) throw this.#service.failure
  }
}

function unknownVersion(): Outcome<Uint8Array> {
  return { ok: false, error: new KmsError('No such version', { code: 'key_unavailable' }) }
}
