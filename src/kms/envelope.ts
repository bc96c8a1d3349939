/**
 * The ciphertext that the API server stores: two magic bytes, then a protobuf of
 * a header and the wraps made under it (design §4, docs/envelope.md).
 *
 * Every wrap is bound to a digest of the header bytes as they are stored, so no
 * part of one envelope can be moved into another, and nothing that is read from
 * an envelope depends on today's config.
 *
 * @module
 */

import { hash } from 'node:crypto'
import { fromBinary } from '@bufbuild/protobuf'
import { EnvelopeSchema, type Header, HeaderSchema, Scheme, type Wrap } from './envelope_pb.ts'
import { membersBytes, writeEnvelope, writeHeader } from './envelope_writer.ts'
import { KmsError } from './errors.ts'
import { type KeyIdInputs, keyIdOf, type Member } from './key_id.ts'
import { MAX_V1_CIPHERTEXT_BYTES } from './limits.ts'

/** No text starts with F5 (it never occurs in UTF-8), and no foreign form does. The second byte is the format. */
const MAGIC = Uint8Array.of(0xf5, 0x01)
const FORMAT = 1
const ENVELOPE_ID_BYTES = 16

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

export interface OpenedEnvelope {
  readonly keyId: string
  readonly members: readonly Member[]
  readonly digest: Uint8Array
  readonly wraps: readonly EnvelopeWrap[]
}

/** What {@link keyIdOf} and the header are made of for `any`: one wrap opens the envelope. */
export function anyInputs(members: readonly Member[]): KeyIdInputs {
  return { format: FORMAT, scheme: 'any', k: 1, members }
}

/** What is the same in every header under one key id. */
const membersOfInputs = new WeakMap<KeyIdInputs, Uint8Array>()

/** @param random a source of cryptographic randomness */
export function sealHeader(
  inputs: KeyIdInputs,
  random: (bytes: number) => Uint8Array,
): SealedHeader {
  let members = membersOfInputs.get(inputs)
  if (members === undefined) {
    members = membersBytes(inputs.members)
    membersOfInputs.set(inputs, members)
  }
  const envelopeId = random(ENVELOPE_ID_BYTES)
  const whole = writeHeader(MAGIC, { scheme: Scheme.ANY, k: inputs.k, envelopeId, members })
  return { bytes: whole.subarray(MAGIC.length), digest: sha256(whole) }
}

export function encodeEnvelope(header: SealedHeader, wraps: readonly EnvelopeWrap[]): Uint8Array {
  return writeEnvelope(MAGIC, header.bytes, wraps)
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
  const envelope = parse(EnvelopeSchema, ciphertext.subarray(MAGIC.length))
  const members = membersOf(parse(HeaderSchema, envelope.header))
  const wraps = wrapsOf(envelope.wraps, members)
  const digest = digestOf(envelope.header)
  // The codec forgives unknown fields, repeats and wrong wire types; only what this file writes is one of ours.
  const canonical = writeEnvelope(MAGIC, envelope.header, wraps)
  if (!equalBytes(canonical, ciphertext)) throw damaged()
  return { keyId: keyIdOf(anyInputs(members)), members, digest, wraps }
}

/** How long an envelope of `members` can get; each wrap as long as its provider makes it at most. */
export function maxEnvelopeBytes(members: readonly Member[], wrapBytes: readonly number[]): number {
  const header = sealHeader(anyInputs(members), (bytes) => new Uint8Array(bytes).fill(0xff))
  const wraps = wrapBytes.map((bytes, member) => ({ member, data: new Uint8Array(bytes) }))
  return encodeEnvelope(header, wraps).length
}

function membersOf(header: Header): Member[] {
  if (header.scheme !== Scheme.ANY || header.k !== 1) {
    throw notOurs('names a scheme that this version of Trousseau does not know')
  }
  if (header.envelopeId.length !== ENVELOPE_ID_BYTES) throw damaged()
  const members = header.members.map(({ providerId, version, createdAt }) => ({
    providerId,
    version,
    createdAt: Number(createdAt),
  }))
  for (const [index, member] of members.entries()) {
    const before = members[index - 1]
    if (before !== undefined && before.providerId >= member.providerId) throw damaged()
  }
  if (members.length === 0) throw damaged()
  return members
}

function wrapsOf(wraps: readonly Wrap[], members: readonly Member[]): EnvelopeWrap[] {
  const seen = new Set<number>()
  for (const { member, data } of wraps) {
    if (member >= members.length || seen.has(member) || data.length === 0) throw damaged()
    seen.add(member)
  }
  if (wraps.length !== members.length) throw damaged()
  return wraps.map(({ member, data }) => ({ member, data }))
}

function parse<T extends typeof EnvelopeSchema | typeof HeaderSchema>(
  schema: T,
  bytes: Uint8Array,
) {
  try {
    return fromBinary(schema, bytes, { readUnknownFields: false })
  } catch (cause) {
    throw damaged(cause)
  }
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index])
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
