/**
 * What must hold whatever happens. It remembers everything that the plugin acknowledged, and knows
 * nothing of why a request failed.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import type { RpcError } from '../../src/grpc/client.ts'
import { decodeEnvelope, type OpenedEnvelope } from '../../src/kms/envelope.ts'
import { REMOTE_WORDS } from './answers.ts'

export interface Acknowledged {
  readonly api: 'v1' | 'v2'
  readonly plaintext: Uint8Array
  readonly ciphertext: Uint8Array
  readonly keyId: string
  readonly annotations: Readonly<Record<string, Uint8Array>>
  readonly envelope: OpenedEnvelope
}

type Rule =
  | 'wrong plaintext'
  | 'acknowledged, and cannot be opened'
  | 'acknowledged is called invalid'
  | 'one key id for two keys'
  | 'Status names another key id than Encrypt uses'
  | 'key id of the answer is not the one in the ciphertext'
  | 'ciphertext was not made by the key in its header'
  | 'secret in output'
  | 'no recovery'
  | 'request without an end'
  | 'fault that nobody caught'
  | 'memory or descriptors'

export class Violation extends Error {
  override readonly name = 'Violation'
  readonly rule: Rule

  constructor(rule: Rule, detail: string) {
    super(`${rule}: ${detail}`)
    this.rule = rule
  }
}

const INVALID_ARGUMENT = 3
/** An answer of a KMS plugin in v1beta1 says nothing of its key id. */
const NO_KEY_ID = undefined

export class Oracle {
  readonly acknowledged: Acknowledged[] = []
  /** By operation and how it ended. */
  readonly counts = new Map<string, number>()
  readonly violations: Violation[] = []
  /** Members by key id. */
  readonly #keys = new Map<string, string>()
  readonly #words: string[] = []
  /** All that was to be encrypted, whatever came of it. */
  readonly #given: Uint8Array[] = []

  /** Remembers what nobody may see. */
  given(plaintext: Uint8Array): void {
    this.#given.push(plaintext)
  }

  /** Remembers a ciphertext, and returns its key id. */
  encrypted(
    api: 'v1' | 'v2',
    plaintext: Uint8Array,
    {
      ciphertext,
      keyId = NO_KEY_ID,
      annotations = {},
    }: {
      readonly ciphertext: Uint8Array
      readonly keyId?: string
      readonly annotations?: Readonly<Record<string, Uint8Array>>
    },
  ): string {
    const envelope = decodeEnvelope(ciphertext)
    this.count(`encrypt ${api} ok`)
    if (keyId !== undefined && keyId !== envelope.keyId) {
      this.broken(
        'key id of the answer is not the one in the ciphertext',
        `${keyId}, ${envelope.keyId}`,
      )
    }
    this.#oneKey(envelope)
    const made = { api, plaintext, ciphertext, keyId: envelope.keyId, annotations, envelope }
    this.acknowledged.push(made)
    return envelope.keyId
  }

  decrypted({ keyId, plaintext }: Acknowledged, opened: Uint8Array): void {
    this.count('decrypt ok')
    if (!Buffer.from(opened).equals(plaintext)) this.broken('wrong plaintext', `under ${keyId}`)
  }

  failed(operation: string, error: unknown): void {
    const { status = 'not an answer', message = '' } = error as Partial<RpcError>
    this.count(`${operation} ${status}`)
    this.#words.push(message)
  }

  /** A Decrypt of what was acknowledged. */
  refused({ keyId }: Acknowledged, error: unknown): void {
    this.failed('decrypt', error)
    const { code, message } = error as RpcError
    if (code !== INVALID_ARGUMENT) return
    this.broken('acknowledged is called invalid', `under ${keyId}: ${message}`)
  }

  broken(rule: Rule, detail: string): void {
    this.violations.push(new Violation(rule, detail))
  }

  count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1)
  }

  /** Looks for what nobody may see: plaintexts, tokens and credentials, in every usual spelling. */
  read(output: string, secrets: Iterable<string>): void {
    const text = [output, ...this.#words].join('\n')
    for (const plaintext of this.#given) this.#lookFor(text, 'a plaintext', plaintext)
    for (const secret of secrets) this.#lookFor(text, 'a token or credential', Buffer.from(secret))
    if (text.includes(REMOTE_WORDS)) this.broken('secret in output', 'words of the key service')
  }

  #lookFor(text: string, what: string, bytes: Uint8Array): void {
    const spelt = Buffer.from(bytes)
    const hex = spelt.toString('hex')
    const spellings = [
      spelt.toString('latin1'),
      hex,
      // As `inspect` shows bytes.
      hex.replaceAll(/..(?!$)/g, '$& '),
      // As JSON and `String` show them.
      [...spelt].join(','),
      // The last characters depend on what follows.
      spelt.toString('base64').slice(0, 20),
    ]
    if (spellings.some((spelling) => text.includes(spelling))) this.broken('secret in output', what)
  }

  #oneKey({ keyId, scheme, k, members }: OpenedEnvelope): void {
    const keys = JSON.stringify([scheme, k, members])
    const known = this.#keys.get(keyId) ?? keys
    this.#keys.set(keyId, known)
    if (known !== keys) this.broken('one key id for two keys', `${keyId}: ${known}, ${keys}`)
  }
}
