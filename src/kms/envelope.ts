/**
 * The ciphertext that the API server stores: two magic bytes, then a protobuf of a header and the
 * wraps made under it (docs/envelope.md).
 *
 * Every wrap is bound to a digest of the header bytes as they are stored, so no part of one
 * envelope can be moved into another, and nothing that is read from an envelope depends on the
 * present config.
 *
 * @module
 */

import { hash, timingSafeEqual } from 'node:crypto'
import { fromBinary } from '@bufbuild/protobuf'
import { KmsError } from '../base/errors.ts'
import { MAX_V1_CIPHERTEXT_BYTES } from '../base/limits.ts'
import { type Header, HeaderSchema, Scheme as StoredScheme } from './envelope_pb.ts'
import { readEnvelope } from './envelope_reader.ts'
import { partiesBytes, writeEnvelope, writeHeader } from './envelope_writer.ts'
import { byProviderId, type KeyIdInputs, keyIdOf, type Member, type Scheme } from './key_id.ts'

/** No text starts with F5 (it never occurs in UTF-8), and no foreign form does. The second byte is the format. */
const MAGIC = Uint8Array.of(0xf5, 0x01)
const FORMAT = 1
const ENVELOPE_ID_BYTES = 16
const THUMBPRINT = /^[\w-]{43}$/
const SCHEMES = { any: StoredScheme.ANY, threshold: StoredScheme.THRESHOLD } as const

/** A header ready to wrap under. */
export interface SealedHeader {
  readonly bytes: Uint8Array
  /** Associated data of every wrap. */
  readonly digest: Uint8Array
}

/** One wrap; `member` is an index into the header's members. */
export interface EnvelopeWrap {
  readonly member: number
  readonly data: Uint8Array
}

export interface OpenedEnvelope extends Scheme {
  readonly keyId: string
  readonly members: readonly Member[]
  readonly digest: Uint8Array
  /** One for each member, in their order. */
  readonly wraps: readonly EnvelopeWrap[]
  /** Under `threshold` the encrypted plaintext; empty under `any`. */
  readonly sealed: Uint8Array
}

export const ANY: Scheme = { scheme: 'any', k: 1 }
const NOTHING = new Uint8Array()

/** What {@link keyIdOf} and the header are made of, in today's format. */
export function inputsOf(
  { scheme, k }: Scheme,
  members: readonly Member[],
  recipients: readonly string[] = [],
): KeyIdInputs {
  return { format: FORMAT, scheme, k, members: [...members].sort(byProviderId), recipients }
}

/** What is the same in every header under one key id. */
const partiesOfInputs = new WeakMap<KeyIdInputs, Uint8Array>()

/** @param random a source of cryptographic randomness */
export function sealHeader(
  inputs: KeyIdInputs,
  random: (bytes: number) => Uint8Array,
): SealedHeader {
  let parties = partiesOfInputs.get(inputs)
  if (parties === undefined) {
    parties = partiesBytes(inputs.members, inputs.recipients)
    partiesOfInputs.set(inputs, parties)
  }
  const envelopeId = random(ENVELOPE_ID_BYTES)
  const scheme = SCHEMES[inputs.scheme]
  const whole = writeHeader(MAGIC, { scheme, k: inputs.k, envelopeId, parties })
  return { bytes: whole.subarray(MAGIC.length), digest: sha256(whole) }
}

export function encodeEnvelope(
  header: SealedHeader,
  wraps: readonly EnvelopeWrap[],
  sealed: Uint8Array = NOTHING,
): Uint8Array {
  return writeEnvelope(MAGIC, { header: header.bytes, wraps, sealed })
}

/** @throws KmsError `ciphertext_empty` or `ciphertext_invalid` */
export function decodeEnvelope(ciphertext: Uint8Array): OpenedEnvelope {
  if (ciphertext.length === 0) {
    throw new KmsError(
      'Ciphertext is empty: whatever stored it lost the key of this object (a known fault of Trousseau 1.x with a static token)',
      { code: 'ciphertext_empty' },
    )
  }
  if (ciphertext.length > MAX_V1_CIPHERTEXT_BYTES) throw notOurs('is longer than any of Trousseau')
  if (ciphertext[0] !== MAGIC[0]) throw notOurs('was not made by Trousseau')
  if (ciphertext[1] !== MAGIC[1]) {
    throw notOurs('has a format that this version of Trousseau does not know')
  }
  const envelope = readEnvelope(ciphertext.subarray(MAGIC.length))
  if (envelope === undefined) throw damaged()
  const { header, wraps, sealed } = envelope
  const known = knownHeader(header)
  const { scheme, k, members } = known.inputs
  checkWraps(wraps, members)
  if (sealed.length > 0 !== (scheme === 'threshold')) throw damaged()
  const digest = digestOf(header)
  // Only bytes that this file would write are accepted.
  const canonical = writeEnvelope(MAGIC, { header, wraps, sealed })
  if (!equalBytes(canonical, ciphertext)) throw damaged()
  return { keyId: known.keyId, scheme, k, members, digest, wraps, sealed }
}

/** True where the first bytes are those of an envelope, of whatever format. */
export function startsAsEnvelope(ciphertext: Uint8Array): boolean {
  return ciphertext[0] === MAGIC[0]
}

/**
 * How long an envelope under `inputs` can get.
 *
 * @param wrapBytes how long the wrap of each member gets at most
 * @param sealedBytes how long what stands beside the wraps is
 */
export function maxEnvelopeBytes(
  inputs: KeyIdInputs,
  wrapBytes: readonly number[],
  sealedBytes: number,
): number {
  const header = sealHeader(inputs, (bytes) => new Uint8Array(bytes).fill(0xff))
  const wraps = wrapBytes.map((bytes, member) => ({ member, data: new Uint8Array(bytes) }))
  return encodeEnvelope(header, wraps, new Uint8Array(sealedBytes)).length
}

interface KnownHeader {
  readonly inputs: KeyIdInputs
  readonly keyId: string
}

/** What the last header said, with the bytes around its envelope id. */
let last: (KnownHeader & { readonly before: Uint8Array; readonly after: Uint8Array }) | undefined

/**
 * Nearly all envelopes are of one key id, and their headers differ in the envelope id alone: the
 * others are read as the last one was.
 */
function knownHeader(bytes: Uint8Array): KnownHeader {
  if (last !== undefined) {
    const { before, after } = last
    const end = before.length + ENVELOPE_ID_BYTES
    const fits =
      bytes.length === end + after.length &&
      equalBytes(bytes.subarray(0, before.length), before) &&
      equalBytes(bytes.subarray(end), after)
    if (fits) return last
  }
  const header = parseHeader(bytes)
  const inputs = inputsOfHeader(header)
  const known = { inputs, keyId: keyIdOf(inputs) }
  const { scheme, k, envelopeId } = header
  const after = partiesBytes(inputs.members, inputs.recipients)
  const whole = writeHeader(NOTHING, { scheme, k, envelopeId, parties: after })
  if (equalBytes(whole, bytes)) {
    const before = bytes.slice(0, bytes.length - after.length - ENVELOPE_ID_BYTES)
    last = { ...known, before, after }
  }
  return known
}

function inputsOfHeader(header: Header): KeyIdInputs {
  const { k, envelopeId } = header
  const scheme = schemeOf(header.scheme)
  if (envelopeId.length !== ENVELOPE_ID_BYTES) throw damaged()
  const members = header.members.map(({ providerId, version, createdAt }) => ({
    providerId,
    version,
    createdAt: Number(createdAt),
  }))
  if (!inOrder(members.map(({ providerId }) => providerId)) || members.length === 0) throw damaged()
  const fits = scheme === 'any' ? k === 1 : k >= 2 && k <= members.length
  if (!fits) throw damaged()
  const { recipients } = header
  if (!inOrder(recipients) || !recipients.every((text) => THUMBPRINT.test(text))) throw damaged()
  return { format: FORMAT, scheme, k, members, recipients }
}

function schemeOf(scheme: Header['scheme']): Scheme['scheme'] {
  if (scheme === StoredScheme.ANY) return 'any'
  if (scheme === StoredScheme.THRESHOLD) return 'threshold'
  throw notOurs('names a scheme that this version of Trousseau does not know')
}

/** Sorted, and none twice. */
function inOrder(texts: readonly string[]): boolean {
  return texts.every((text, index) => index === 0 || (texts[index - 1] ?? '') < text)
}

function checkWraps(wraps: readonly EnvelopeWrap[], members: readonly Member[]): void {
  if (wraps.length !== members.length) throw damaged()
  for (const [index, { member, data }] of wraps.entries()) {
    if (member !== index || data.length === 0) throw damaged()
  }
}

function parseHeader(bytes: Uint8Array): Header {
  try {
    return fromBinary(HeaderSchema, bytes, { readUnknownFields: false })
  } catch (cause) {
    throw damaged(cause)
  }
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}

function digestOf(headerBytes: Uint8Array): Uint8Array {
  const whole = new Uint8Array(MAGIC.length + headerBytes.length)
  whole.set(MAGIC)
  whole.set(headerBytes, MAGIC.length)
  return sha256(whole)
}

function sha256(bytes: Uint8Array): Uint8Array {
  return hash('sha256', bytes, 'buffer')
}

function notOurs(what: string, cause?: unknown): KmsError {
  return new KmsError(`Ciphertext ${what}`, { code: 'ciphertext_invalid', cause })
}

function damaged(cause?: unknown): KmsError {
  return notOurs('is damaged', cause)
}
