/**
 * Takeover: decides which provider opens what another KMS plugin stored (docs/takeover.md). A
 * provider reads a format only where its config says so, and a ciphertext goes to at most one
 * provider; only the lines of Trousseau 2 go to one provider each.
 *
 * @module
 */

import { decodeBase64 } from '../base/base64.ts'
import { KmsError } from '../base/errors.ts'
import type { KmsApi } from '../base/events.ts'
import { MAX_V1_CIPHERTEXT_BYTES, MAX_V2_CIPHERTEXT_BYTES, SEED_BYTES } from '../base/limits.ts'
import type { Wrapped } from '../base/provider.ts'
import type { DecryptRequest } from '../base/service.ts'
import { FORMS, type ForeignFormName, LOOK_ALIKES } from './forms.ts'
import type { ForeignPart } from './parts.ts'
import { foreignRefusal } from './refusal.ts'

/** What takeover must know of a provider. */
export interface ForeignReader {
  readonly name: string
  readonly type: string
  readonly reads: readonly ForeignFormName[]
  /** The name of the key in the config, for formats whose key ids name keys (awskms, gcpkms). */
  readonly key?: string | undefined
}

export interface ForeignItem<R extends ForeignReader> {
  readonly reader: R
  readonly form: ForeignFormName
  readonly item: Wrapped
  /**
   * Gets what the API server gave to the other plugin out of what the provider unwrapped.
   *
   * @throws KmsError `ciphertext_invalid`
   */
  readonly plaintextOf: (unwrapped: Uint8Array) => Uint8Array
}

/**
 * Which readers can open a request, at least one; any one of several suffices. Undefined where the
 * ciphertext is Trousseau's own, or has a length that no plugin makes.
 *
 * @throws KmsError where no reader can be meant; it says what to do
 */
export function findForeign<R extends ForeignReader>(
  request: DecryptRequest,
  readers: readonly R[],
): readonly ForeignItem<R>[] | undefined {
  const { api, ciphertext } = request
  if (ciphertext.length === 0 || ciphertext.length > MAX_BYTES[api]) return undefined
  const found = firstOf(request, readers)
  if (found === undefined && ciphertext[0] !== OWN) throw foreignRefusal(request, readers)
  return found
}

/** The first byte of every envelope (envelope.ts). */
const OWN = 0xf5

const MAX_BYTES = {
  v2: MAX_V2_CIPHERTEXT_BYTES,
  v1beta1: MAX_V1_CIPHERTEXT_BYTES,
} as const satisfies Record<KmsApi, number>

function firstOf<R extends ForeignReader>(
  request: DecryptRequest,
  readers: readonly R[],
): readonly ForeignItem<R>[] | undefined {
  for (const reader of readers) {
    for (const name of reader.reads) {
      const items = readForm(name, request, reader, readers)
      if (items !== undefined) return items
    }
  }
  return undefined
}

interface Reads {
  readonly name: string
  readonly reads?: readonly ForeignFormName[] | undefined
}

/**
 * Two readers whose formats cannot be told apart, for the config's problem; undefined where the
 * readers of one socket do not conflict.
 */
export function conflictOf(readers: readonly Reads[]): string | undefined {
  const all = readers.flatMap((reader) => (reader.reads ?? []).map((form) => ({ reader, form })))
  for (const [at, a] of all.entries()) {
    const b = all.slice(at).find(({ reader, form }) => reader !== a.reader && alike(a.form, form))
    if (b !== undefined) {
      return `"${a.reader.name}" reads ${a.form} and "${b.reader.name}" reads ${b.form}`
    }
  }
  return undefined
}

/** The lines of Trousseau 2 name their provider. */
function alike(a: ForeignFormName, b: ForeignFormName): boolean {
  if (a === b) return a !== 'trousseau-2'
  return LOOK_ALIKES.some((pair) => pair.includes(a) && pair.includes(b))
}

function readForm<R extends ForeignReader>(
  name: ForeignFormName,
  request: DecryptRequest,
  reader: R,
  readers: readonly R[],
): readonly ForeignItem<R>[] | undefined {
  if (!canBe(name, request, reader)) return undefined
  const items = FORMS[name].parts(request)?.flatMap((part) => {
    const opener = name === 'trousseau-2' ? lineReader(part, readers) : readerOf(part, reader)
    return opener === undefined ? [] : [itemOf(name, part, opener)]
  })
  return items === undefined || items.length === 0 ? undefined : items
}

function canBe(name: ForeignFormName, request: DecryptRequest, reader: ForeignReader): boolean {
  const { api, ciphertext, keyId = '', annotations } = request
  const form = FORMS[name]
  if (!form.apis.includes(api) || (ciphertext[0] === OWN && !beginsAnyhow(name, api))) return false
  return api === 'v1beta1' || (form.keyId(keyId, reader.key) && form.annotations(annotations))
}

/**
 * What Key Vault makes is random from its first byte on, so one in 256 begins like Trousseau's own.
 * Under v2, key id and annotations tell the two apart for certain.
 */
function beginsAnyhow(name: ForeignFormName, api: KmsApi): boolean {
  return name === 'azure-kubernetes-kms' && api === 'v2'
}

function readerOf<R extends ForeignReader>(part: ForeignPart, reader: R): R | undefined {
  return part.type === reader.type ? reader : undefined
}

/**
 * Finds the reader by the name in the line, or else the only reader of the type that Trousseau 2
 * called by this name.
 */
function lineReader<R extends ForeignReader>(
  { provider, type }: ForeignPart,
  readers: readonly R[],
): R | undefined {
  const able = readers.filter((one) => one.type === type && one.reads.includes('trousseau-2'))
  const named = readers.find((one) => one.name === provider && one.reads.includes('trousseau-2'))
  if (named !== undefined) return able.find((one) => one === named)
  return provider === type && able.length === 1 ? able[0] : undefined
}

function itemOf<R extends ForeignReader>(
  form: ForeignFormName,
  { version, bytes, textInside }: ForeignPart,
  reader: R,
): ForeignItem<R> {
  return {
    reader,
    form,
    item: { version, bytes, associatedData: undefined },
    plaintextOf: (unwrapped) => {
      const plaintext = textInside === true ? decodeBase64(unwrapped, 'url') : unwrapped
      if (plaintext === undefined) throw notWhatItMade(form)
      // All that an API server ever stored the wrap of, under v1beta1 too. Without this check
      // a wrap that somebody had made of other data under the same key would come out here.
      if (plaintext.length !== SEED_BYTES) throw notWhatItMade(form)
      return plaintext
    },
  }
}

function notWhatItMade(form: ForeignFormName): KmsError {
  return new KmsError(`Ciphertext does not hold what ${form} wraps: a key of ${SEED_BYTES} bytes`, {
    code: 'ciphertext_invalid',
  })
}
