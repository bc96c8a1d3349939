/**
 * A client that asks a plugin without pause, as API servers with both versions of the protocol
 * would: Status, Encrypt and Decrypt side by side, each as soon as the previous one is answered. It
 * remembers every answer, and everything that was encrypted.
 *
 * @module
 */

import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { connectKms, type KmsClient, type RpcError } from '../../../src/grpc/client.ts'
import { decodeEnvelope, type OpenedEnvelope } from '../../../src/kms/envelope.ts'

const KINDS = ['status', 'encrypt_v2', 'encrypt_v1', 'decrypt_v2', 'decrypt_v1'] as const
export type Kind = (typeof KINDS)[number]

/** As long as the API server waits. */
const API_SERVER_MS = 3_000
const PAUSE_MS: Readonly<Record<Kind, number>> = {
  status: 20,
  encrypt_v2: 5,
  encrypt_v1: 5,
  decrypt_v2: 1,
  decrypt_v1: 1,
}
/** For each API and key id the oldest ciphertexts are kept, and for each API the latest. */
const OLDEST = 4
const LATEST = 32

interface Attempt {
  readonly kind: Kind
  /** In `performance.now` milliseconds, as is `end`. */
  readonly start: number
  readonly end: number
  /** What Status answered, or what was encrypted or decrypted was made under. */
  readonly keyId: string | undefined
  readonly failed: RpcError | undefined
}

interface Made {
  readonly api: 'v2' | 'v1'
  readonly plaintext: Uint8Array
  readonly ciphertext: Uint8Array
  /** Of the envelope itself. */
  readonly keyId: string
  readonly annotations: Readonly<Record<string, Uint8Array>>
  readonly envelope: OpenedEnvelope
}

interface LoadOptions {
  /**
   * Called before and after each Decrypt. Where it returns false, the Decrypt may fail, and so is
   * not made.
   */
  readonly opens?: (envelope: OpenedEnvelope) => boolean
}

export class KmsLoad implements AsyncDisposable {
  readonly attempts: Attempt[] = []
  /** Answers that were wrong. */
  readonly wrong: string[] = []
  readonly #client: KmsClient
  readonly #opens: (envelope: OpenedEnvelope) => boolean
  readonly #oldest = new Map<string, Made[]>()
  readonly #latest: Record<Made['api'], Made[]> = { v1: [], v2: [] }
  readonly #workers: Promise<void>[]
  readonly #turns: Record<Made['api'], number> = { v1: 0, v2: 0 }
  #stopped = false

  constructor(socketPath: string, { opens = () => true }: LoadOptions = {}) {
    this.#client = connectKms(socketPath, { timeoutMs: API_SERVER_MS })
    this.#opens = opens
    this.#workers = KINDS.map((kind) => this.#work(kind))
  }

  of(kind: Kind, since = 0): Attempt[] {
    return this.attempts.filter((each) => each.kind === kind && each.start >= since)
  }

  /** Code and message of each failed request of the kind. */
  failures(kind: Kind, since = 0): string[] {
    return this.of(kind, since).flatMap(({ failed }) =>
      failed === undefined ? [] : `${failed.status}: ${failed.message}`,
    )
  }

  /** The longest time without a successful answer. */
  longestGapMs(kind: Kind, since = 0): number {
    const ends = this.of(kind).flatMap(({ end, failed }) => (failed || end < since ? [] : end))
    const gaps = ends.map((end, index) => end - (ends[index - 1] ?? (since || end)))
    return Math.round(Math.max(0, ...gaps))
  }

  /** One or more of each key id that anything was encrypted under, by either API. */
  get kept(): readonly Made[] {
    return [...this.#oldest.values()].flat()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all(this.#workers)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
    this.#client.close()
  }

  async #work(kind: Kind): Promise<void> {
    while (!this.#stopped) {
      await this.#ask(kind)
      await pause(PAUSE_MS[kind])
    }
  }

  async #ask(kind: Kind): Promise<void> {
    if (kind === 'status') {
      await this.#recorded(kind, undefined, async () => (await this.#client.v2.status()).keyId)
    } else if (kind === 'encrypt_v1' || kind === 'encrypt_v2') {
      await this.#encrypt(kind)
    } else {
      await this.#decrypt(kind)
    }
  }

  async #encrypt(kind: 'encrypt_v1' | 'encrypt_v2'): Promise<void> {
    const plaintext = randomBytes(32)
    await this.#recorded(kind, undefined, async () => {
      if (kind === 'encrypt_v1') {
        const { cipher } = await this.#client.v1.encrypt(plaintext)
        return this.#keep({ api: 'v1', plaintext, ciphertext: cipher, annotations: {} })
      }
      const { ciphertext, keyId, annotations } = await this.#client.v2.encrypt({
        plaintext,
        uid: 'load',
      })
      const stated = this.#keep({ api: 'v2', plaintext, ciphertext, annotations })
      if (stated !== keyId) this.wrong.push(`Encrypt said ${keyId} and made ${stated}`)
      return keyId
    })
  }

  async #decrypt(kind: 'decrypt_v1' | 'decrypt_v2'): Promise<void> {
    const made = this.#choose(kind === 'decrypt_v1' ? 'v1' : 'v2')
    if (made === undefined) return
    const { ciphertext, keyId, annotations, envelope } = made
    const judge = () => this.#opens(envelope)
    await this.#recorded(
      kind,
      keyId,
      async () => {
        const opened =
          kind === 'decrypt_v1'
            ? (await this.#client.v1.decrypt(ciphertext)).plain
            : (await this.#client.v2.decrypt({ ciphertext, uid: 'load', keyId, annotations }))
                .plaintext
        const equal = made.plaintext.every((byte, index) => byte === opened[index])
        if (!equal) this.wrong.push(`${kind} of what was made under ${keyId} gave something else`)
        return keyId
      },
      judge,
    )
  }

  /** @param counts asked after a failure: whether it is one */
  async #recorded(
    kind: Kind,
    keyId: string | undefined,
    run: () => Promise<string>,
    counts: () => boolean = () => true,
  ): Promise<void> {
    const start = performance.now()
    try {
      const answered = await run()
      const end = performance.now()
      this.attempts.push({ kind, start, end, keyId: answered, failed: undefined })
    } catch (error) {
      const failed = error as RpcError
      if (counts()) this.attempts.push({ kind, start, end: performance.now(), keyId, failed })
    }
  }

  #keep(made: Omit<Made, 'envelope' | 'keyId'>): string {
    const envelope = decodeEnvelope(made.ciphertext)
    const { keyId } = envelope
    const whole = { ...made, keyId, envelope }
    const name = `${made.api} ${keyId}`
    const oldest = this.#oldest.get(name) ?? []
    this.#oldest.set(name, oldest)
    if (oldest.length < OLDEST) oldest.push(whole)
    const latest = this.#latest[made.api]
    latest.push(whole)
    if (latest.length > LATEST) latest.shift()
    return keyId
  }

  /** Old and new ones in turn. */
  #choose(api: Made['api']): Made | undefined {
    this.#turns[api] += 1
    const turn = this.#turns[api]
    const old = this.kept.filter((each) => each.api === api && this.#opens(each.envelope))
    const young = this.#latest[api].filter(({ envelope }) => this.#opens(envelope))
    const from = turn % 2 === 0 ? old : young
    return from[Math.floor(turn / 2) % Math.max(from.length, 1)]
  }
}
