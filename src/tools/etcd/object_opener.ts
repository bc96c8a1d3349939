/**
 * Opens stored objects one after the other. What a plugin wrapped is opened once for all objects
 * that were encrypted with it, and forgotten at the end.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import type { DecryptRequest } from '../../base/service.ts'
import { decryptObject } from './decrypt.ts'
import type { V1Record, V2Record } from './record.ts'
import { type OpenedSource, openWith, type SourceOpener } from './source_opener.ts'

/**
 * Far more seeds than an API server makes in a year; under KMS v1, however, every object has its
 * own key.
 */
const KEPT = 1_024

interface OpenedObject {
  /** As the API server would have stored it in the clear. */
  readonly plaintext: Uint8Array
  /** The name of the key or provider that opened it. */
  readonly by: string
  readonly differs: string | undefined
}

type Source = OpenedSource & { readonly by: string }

export class ObjectOpener {
  readonly #openers: readonly SourceOpener[]
  /**
   * The one that was used longest ago comes first. Failures are kept too, so that the same failing
   * request is not made for every object.
   */
  readonly #sources = new Map<string, Promise<Source>>()
  #asked = 0

  constructor(openers: readonly SourceOpener[]) {
    this.#openers = openers
  }

  /** How many wrapped keys or seeds had to be opened. */
  get asked(): number {
    return this.#asked
  }

  /**
   * Opens at most {@link KEPT} at the same time.
   *
   * @param etcdKey the object's whole key in etcd
   * @throws KmsError
   */
  async open(record: V2Record | V1Record, etcdKey: Uint8Array): Promise<OpenedObject> {
    const { unwrapped, by, differs } = await this.#sourceOf(requestOf(record))
    return { plaintext: decryptObject(record, unwrapped, etcdKey), by, differs }
  }

  /** Overwrites what was unwrapped. */
  close(): void {
    for (const source of this.#sources.values()) forget(source)
    this.#sources.clear()
  }

  #sourceOf(request: DecryptRequest): Promise<Source> {
    const name = nameOf(request)
    const known = this.#sources.get(name)
    const source = known ?? openWith(this.#openers, request)
    if (known === undefined) this.#asked += 1
    this.#sources.delete(name)
    this.#sources.set(name, source)
    const [oldest] = this.#sources
    if (this.#sources.size > KEPT && oldest !== undefined) {
      this.#sources.delete(oldest[0])
      forget(oldest[1])
    }
    return source
  }
}

function forget(source: Promise<Source>): void {
  source.then(
    ({ unwrapped }) => unwrapped.fill(0),
    () => undefined,
  )
}

function requestOf(record: V2Record | V1Record): DecryptRequest {
  if (record.form === 'kms-v1') {
    return { api: 'v1beta1', ciphertext: record.wrappedKey, keyId: undefined, annotations: {} }
  }
  const { source: ciphertext, keyId, annotations } = record
  return { api: 'v2', ciphertext, keyId, annotations }
}

/** The same name for requests that are equal in every field. */
function nameOf({ api, ciphertext, keyId = '', annotations }: DecryptRequest): string {
  const hash = createHash('sha256')
  for (const part of [api, ciphertext, keyId, ...Object.entries(annotations).flat()]) {
    const bytes = Buffer.from(part)
    hash.update(`${bytes.length}:`).update(bytes)
  }
  return hash.digest('hex')
}
