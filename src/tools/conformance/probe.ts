/**
 * What the rules share while they probe one plugin: a client, all answers so far, and one Encrypt
 * that most rules use.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { randomBytes, randomUUID } from 'node:crypto'
import { SEED_BYTES } from '../../base/limits.ts'
import { connectKms, type KmsClient, RpcError } from '../../grpc/client.ts'
import { Broken, NotSeen, needed } from './rule.ts'

export interface ProbeOptions {
  readonly timeoutMs: number
  /** How long a connection is left idle to see whether it stays open (rule T12). */
  readonly idleMs: number
}

export interface StatusSeen {
  readonly version: string
  readonly healthz: string
  readonly keyId: string
}

export interface Encrypted {
  readonly plaintext: Uint8Array
  readonly ciphertext: Uint8Array
  readonly keyId: string
  readonly annotations: Readonly<Record<string, Uint8Array>>
}

type Stored = Omit<Encrypted, 'plaintext'>

/** The status code of a handler that throws, and of Go's errors that have no code. */
const UNKNOWN = 2

export class Probe implements Disposable {
  readonly path: string
  readonly options: ProbeOptions
  readonly client: KmsClient
  /** Every Status, in the order of the answers. */
  readonly statuses: StatusSeen[] = []
  readonly statusMs: number[] = []
  readonly encryptMs: number[] = []
  readonly decryptMs: number[] = []
  /** Every error the plugin answered. */
  readonly errors: RpcError[] = []
  readonly #plaintexts: Uint8Array[] = []
  #sample: Promise<Encrypted> | undefined
  #opened: Promise<boolean> | undefined

  constructor(path: string, options: ProbeOptions) {
    this.path = path
    this.options = options
    this.client = connectKms(path, options)
  }

  [Symbol.dispose](): void {
    this.client.close()
  }

  async status(client = this.client): Promise<StatusSeen> {
    const start = performance.now()
    const { version, healthz, keyId } = await this.#asked(() => client.v2.status())
    this.statusMs.push(performance.now() - start)
    const seen = { version, healthz, keyId }
    this.statuses.push(seen)
    return seen
  }

  async encrypt(plaintext: Uint8Array = randomBytes(SEED_BYTES)): Promise<Encrypted> {
    this.#plaintexts.push(plaintext)
    const start = performance.now()
    const { ciphertext, keyId, annotations } = await this.#asked(() =>
      this.client.v2.encrypt({ plaintext, uid: uid() }),
    )
    this.encryptMs.push(performance.now() - start)
    return { plaintext, ciphertext, keyId, annotations }
  }

  async decrypt({ ciphertext, keyId, annotations }: Stored): Promise<Uint8Array> {
    const start = performance.now()
    const { plaintext } = await this.#asked(() =>
      this.client.v2.decrypt({ ciphertext, keyId, annotations, uid: uid() }),
    )
    this.decryptMs.push(performance.now() - start)
    return plaintext
  }

  /**
   * What Decrypt opened, or undefined when it refused. Rule D12 decides whether an empty answer
   * counts as a refusal.
   */
  async opened(stored: Stored): Promise<Uint8Array | undefined> {
    try {
      const plaintext = await this.decrypt(stored)
      return plaintext.length === 0 ? undefined : plaintext
    } catch (error) {
      if (error instanceof RpcError) return undefined
      throw error
    }
  }

  /** The one Encrypt that most rules examine. */
  firstEncrypt(): Promise<Encrypted> {
    this.#sample ??= this.encrypt()
    return this.#sample
  }

  /** The same Encrypt, for rules that are not about Encrypt itself. */
  sample(): Promise<Encrypted> {
    return needed('an Encrypt that works (E1)', this.firstEncrypt())
  }

  /** A sample that Decrypt is known to open. */
  async openable(): Promise<Encrypted> {
    const sample = await this.sample()
    this.#opened ??= this.opened(sample).then(
      (plaintext) => plaintext !== undefined && same(plaintext, sample.plaintext),
    )
    if (await this.#opened) return sample
    throw new NotSeen('needs a Decrypt that works (D1)')
  }

  /** Calls v1beta1; errors of these calls are recorded as well. */
  async v1<T>(run: (client: KmsClient['v1']) => Promise<T>): Promise<T> {
    return await this.#asked(() => run(this.client.v1))
  }

  /** Whether a text quotes anything that this probe had encrypted. */
  quotesPlaintext(bytes: Uint8Array): boolean {
    const text = Buffer.from(bytes)
    return this.#plaintexts.some((plaintext) => quotes(text, Buffer.from(plaintext)))
  }

  remember(plaintext: Uint8Array): void {
    this.#plaintexts.push(plaintext)
  }

  async #asked<T>(run: () => Promise<T>): Promise<T> {
    try {
      return await run()
    } catch (error) {
      if (!(error instanceof RpcError)) throw notAMessage(error)
      this.errors.push(error)
      throw error
    }
  }
}

/** Distinguishes this probe's requests from others in the plugin's log. */
function uid(): string {
  return `trousseau-check-${randomUUID()}`
}

/**
 * How a finding describes an error. The plugin's words stay out, since they may quote what was
 * sent.
 */
export function codeOf(error: unknown): string {
  return error instanceof RpcError ? error.status : 'an error of the client'
}

export function isUnknown({ code }: RpcError): boolean {
  return code === UNKNOWN
}

export function same(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.from(one).equals(other)
}

/**
 * Whether kube-apiserver could not tell the two answers apart (its cache key has all three fields).
 */
export function sameAnswer(one: Encrypted, other: Encrypted): boolean {
  const entries = ({ annotations }: Encrypted) =>
    Object.entries(annotations).map(
      ([key, value]) => `${key}=${Buffer.from(value).toString('hex')}`,
    )
  return (
    same(one.ciphertext, other.ciphertext) &&
    one.keyId === other.keyId &&
    entries(one).toSorted().join() === entries(other).toSorted().join()
  )
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? 0
}

function notAMessage(cause: unknown): Broken {
  return new Broken('the answer is not a message of this API (or has text that is not UTF-8)', {
    cause,
  })
}

const MIN_QUOTE_BYTES = 16

function quotes(text: Buffer, secret: Buffer): boolean {
  if (secret.length < MIN_QUOTE_BYTES) return false
  const lower = text.toString('latin1').toLowerCase()
  return (
    text.includes(secret) ||
    lower.includes(secret.toString('hex')) ||
    // Compared without its last characters, which depend on what follows.
    ['base64', 'base64url'].some((form) =>
      text.includes(secret.toString(form as 'base64' | 'base64url').slice(0, -4)),
    )
  )
}
