/**
 * Keys in a file of this node: AES-256-GCM under versions that `trousseau keygen` makes. It is for
 * clusters without a key service, and the way back when every key service is gone.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import * as v from 'valibot'
import { KmsError, toKmsError } from '../../base/errors.ts'
import type { EventSink } from '../../base/events.ts'
import type { Call, KeyState, Outcome, Plain, Provider, Wrapped } from '../../base/provider.ts'
import { providerFields } from '../provider_fields.ts'
import {
  type FileMark,
  type LocalKey,
  type LocalKeys,
  markOf,
  readContinuation,
  readKeyFile,
  sameMark,
} from './key_file.ts'

export const localConfig = v.strictObject({
  ...providerFields,
  type: v.literal('local'),
  keyFile: v.pipe(
    v.string(),
    v.startsWith('/'),
    v.description('File of mode 0600 made by "trousseau keygen", the same on every node'),
  ),
})
export type LocalConfig = v.InferOutput<typeof localConfig>

const ALGORITHM = 'aes-256-gcm'
const IV_BYTES = 12
const TAG_BYTES = 16
/**
 * Random nonces of 96 bits are good for 2^32 wraps under one key (NIST SP 800-38D §8.3). This
 * process tells at an eighth: other nodes have the same key, and a restart counts anew.
 */
const WORN_AFTER = 2 ** 29

const ROTATE = 'add a version with "trousseau keygen --add-version"'

interface LocalDeps {
  readonly events: EventSink
  /** How many wraps under one version are told as too many. */
  readonly wornAfter?: number
}

/** @throws KmsError when the file cannot be used */
export async function createLocalProvider(config: LocalConfig, deps: LocalDeps): Promise<Provider> {
  const { keys, mark } = await readKeyFile(config.keyFile)
  return new LocalProvider(config, deps, keys, mark)
}

class LocalProvider implements Provider {
  readonly id: string
  readonly limits = {
    plaintextBytes: 65_536,
    overheadBytes: IV_BYTES + TAG_BYTES,
    batchItems: 1,
  }
  readonly #path: string
  readonly #name: string
  readonly #events: EventSink
  readonly #wornAfter: number
  /** How often this process wrapped, by version. */
  readonly #wraps = new Map<string, number>()
  #keys: LocalKeys
  #mark: FileMark

  constructor(config: LocalConfig, deps: LocalDeps, keys: LocalKeys, mark: FileMark) {
    this.id = config.id ?? `local:${keys.id}`
    this.#path = config.keyFile
    this.#name = config.name
    this.#events = deps.events
    this.#wornAfter = deps.wornAfter ?? WORN_AFTER
    this.#keys = keys
    this.#mark = mark
  }

  /**
   * Reads the file again when it has changed. A file that lost a version is refused, and the keys
   * in memory stay in use.
   */
  async keyState({ signal }: Call): Promise<KeyState> {
    signal.throwIfAborted()
    const mark = await markOf(this.#path)
    if (!sameMark(mark, this.#mark)) await this.#reload()
    return {
      selectable: true,
      serviceTime: undefined,
      versions: this.#keys.keys.map(({ version, createdAt }) => ({
        label: String(version),
        createdAt,
        mayEncrypt: true,
        mayDecrypt: true,
      })),
      note: this.#note(),
    }
  }

  wrap(
    version: string,
    items: readonly Plain[],
    { signal }: Call,
  ): Promise<readonly Outcome<Uint8Array>[]> {
    return batch(items, signal, (item) => {
      const wrapped = seal(this.#key(version), item)
      this.#count(version)
      return wrapped
    })
  }

  unwrap(items: readonly Wrapped[], { signal }: Call): Promise<readonly Outcome<Uint8Array>[]> {
    return batch(items, signal, (item) => unseal(this.#key(item.version), item))
  }

  describe() {
    return { type: 'local', key: `${this.#path} (id ${this.#keys.id})` }
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  #key(version: string): LocalKey {
    const key = this.#keys.keys.find((candidate) => String(candidate.version) === version)
    if (key !== undefined) return key
    throw new KmsError(
      `Key file of provider "${this.#name}" has no version ${version}: copy the file of the node that has it`,
      { code: 'key_unavailable' },
    )
  }

  #count(version: string): void {
    const wraps = (this.#wraps.get(version) ?? 0) + 1
    this.#wraps.set(version, wraps)
    if (wraps !== this.#wornAfter) return
    const message = `Key version ${version} of provider "${this.#name}" has wrapped ${wraps} times in this process: ${ROTATE}`
    const fields = { provider: this.#name, version }
    this.#events.emit({ type: 'notice', level: 'warn', what: 'key_worn', message, fields })
  }

  /** Gone as soon as there is a newer version. */
  #note(): string | undefined {
    const newest = String(this.#keys.keys.at(-1)?.version)
    const worn = (this.#wraps.get(newest) ?? 0) >= this.#wornAfter
    return worn ? `version ${newest} has wrapped very often: ${ROTATE}` : undefined
  }

  async #reload(): Promise<void> {
    const { keys, mark } = await readContinuation(this.#path, this.#keys)
    this.#keys = keys
    this.#mark = mark
    const message = `Read key file of provider "${this.#name}" again`
    const fields = { provider: this.#name, versions: keys.keys.length }
    this.#events.emit({ type: 'notice', level: 'info', what: 'key_file_read', message, fields })
  }
}

async function batch<T>(
  items: readonly T[],
  signal: AbortSignal,
  run: (item: T) => Uint8Array,
): Promise<readonly Outcome<Uint8Array>[]> {
  signal.throwIfAborted()
  return await Promise.resolve(
    items.map((item): Outcome<Uint8Array> => {
      try {
        return { ok: true, value: run(item) }
      } catch (error) {
        return { ok: false, error: toKmsError(error) }
      }
    }),
  )
}

function seal({ key }: LocalKey, { plaintext, associatedData }: Plain): Uint8Array {
  const iv = randomBytes(IV_BYTES)
  const cipher = createCipheriv(ALGORITHM, key, iv).setAAD(associatedData)
  return new Uint8Array(
    Buffer.concat([iv, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]),
  )
}

function unseal({ key }: LocalKey, { bytes, associatedData }: Wrapped): Uint8Array {
  if (associatedData === undefined || bytes.length < IV_BYTES + TAG_BYTES) throw refused()
  const decipher = createDecipheriv(ALGORITHM, key, bytes.subarray(0, IV_BYTES), {
    authTagLength: TAG_BYTES,
  })
  decipher.setAAD(associatedData).setAuthTag(bytes.subarray(-TAG_BYTES))
  try {
    // GCM holds nothing back for the end, and a copy would be one more place with a seed.
    const { buffer, byteOffset, length } = decipher.update(bytes.subarray(IV_BYTES, -TAG_BYTES))
    decipher.final()
    return new Uint8Array(buffer, byteOffset, length)
  } catch (cause) {
    throw refused(cause)
  }
}

function refused(cause?: unknown): KmsError {
  return new KmsError('Local key does not open this ciphertext: it is damaged or of another key', {
    code: 'ciphertext_invalid',
    cause,
  })
}
