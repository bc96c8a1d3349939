/**
 * Writes the messages of `proto/trousseau/v1/envelope.proto` in their one canonical
 * form. By hand, since every Encrypt and every Decrypt needs it: it takes a tenth
 * of what the protobuf runtime does and leaves no garbage. The tests hold it
 * against that runtime.
 *
 * @module
 */

import { Slab } from '../base/slab.ts'
import type { Member } from './key_id.ts'

/** Number of a field, and how its value is written: as a varint or with its length before it. */
const tag = (field: number, wire: 'varint' | 'bytes') => field * 8 + (wire === 'bytes' ? 2 : 0)
const HEADER = {
  scheme: tag(1, 'varint'),
  k: tag(2, 'varint'),
  envelopeId: tag(3, 'bytes'),
  members: tag(4, 'bytes'),
  recipients: tag(5, 'bytes'),
}
const MEMBER = {
  providerId: tag(1, 'bytes'),
  version: tag(2, 'bytes'),
  createdAt: tag(3, 'varint'),
}
export const ENVELOPE = { header: tag(1, 'bytes'), wraps: tag(2, 'bytes'), sealed: tag(3, 'bytes') }
export const WRAP = { member: tag(1, 'varint'), data: tag(2, 'bytes') }

const SLAB_BYTES = 16_384
/** Of things that live as long as a request. */
const slab = new Slab(SLAB_BYTES)
const utf8 = new TextEncoder()

interface HeaderParts {
  readonly scheme: number
  readonly k: number
  readonly envelopeId: Uint8Array
  /** From {@link partiesBytes}. */
  readonly parties: Uint8Array
}

/** `magic` and then the header. */
export function writeHeader(
  magic: Uint8Array,
  { scheme, k, envelopeId, parties }: HeaderParts,
): Uint8Array {
  const length =
    magic.length +
    varintField(scheme) +
    varintField(k) +
    bytesField(envelopeId.length) +
    parties.length
  const writer = new Writer(slab.take(length))
  writer.raw(magic)
  writer.varint(HEADER.scheme, scheme)
  writer.varint(HEADER.k, k)
  writer.bytes(HEADER.envelopeId, envelopeId)
  writer.raw(parties)
  return writer.target
}

/** The members and recipients of a header; the same bytes for every envelope under one key id. */
export function partiesBytes(
  members: readonly Member[],
  recipients: readonly string[],
): Uint8Array {
  const parts = members.map(({ providerId, version, createdAt }) => {
    const id = utf8.encode(providerId)
    const label = utf8.encode(version)
    const length = bytesField(id.length) + bytesField(label.length) + varintField(createdAt)
    return { id, label, createdAt, length }
  })
  const thumbprints = recipients.map((text) => utf8.encode(text))
  const total =
    parts.reduce((sum, { length }) => sum + messageField(length), 0) +
    thumbprints.reduce((sum, { length }) => sum + bytesField(length), 0)
  const writer = new Writer(new Uint8Array(total))
  for (const { id, label, createdAt, length } of parts) {
    writer.start(HEADER.members, length)
    writer.bytes(MEMBER.providerId, id)
    writer.bytes(MEMBER.version, label)
    writer.varint(MEMBER.createdAt, createdAt)
  }
  for (const thumbprint of thumbprints) writer.bytes(HEADER.recipients, thumbprint)
  return writer.target
}

interface EnvelopeParts {
  readonly header: Uint8Array
  readonly wraps: readonly { readonly member: number; readonly data: Uint8Array }[]
  readonly sealed: Uint8Array
}

/** `magic` and then the envelope. */
export function writeEnvelope(
  magic: Uint8Array,
  { header, wraps, sealed }: EnvelopeParts,
): Uint8Array {
  let length = magic.length + bytesField(header.length) + bytesField(sealed.length)
  for (const wrap of wraps) length += messageField(wrapLength(wrap))
  const writer = new Writer(slab.take(length))
  writer.raw(magic)
  writer.bytes(ENVELOPE.header, header)
  for (const wrap of wraps) {
    writer.start(ENVELOPE.wraps, wrapLength(wrap))
    writer.varint(WRAP.member, wrap.member)
    writer.bytes(WRAP.data, wrap.data)
  }
  writer.bytes(ENVELOPE.sealed, sealed)
  return writer.target
}

function wrapLength({
  member,
  data,
}: {
  readonly member: number
  readonly data: Uint8Array
}): number {
  return varintField(member) + bytesField(data.length)
}

/** Zero and empty are left out, as proto3 has it. */
function varintField(value: number): number {
  return value === 0 ? 0 : 1 + varintBytes(value)
}

function bytesField(length: number): number {
  return length === 0 ? 0 : messageField(length)
}

/** An item of a list stands there also where it is empty. */
function messageField(length: number): number {
  return 1 + varintBytes(length) + length
}

function varintBytes(value: number): number {
  let bytes = 1
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) bytes += 1
  return bytes
}

/** Fills a place that is exactly as long as what is written. */
class Writer {
  readonly target: Uint8Array
  #at = 0

  constructor(target: Uint8Array) {
    this.target = target
  }

  raw(bytes: Uint8Array): void {
    this.target.set(bytes, this.#at)
    this.#at += bytes.length
  }

  varint(fieldTag: number, value: number): void {
    if (value === 0) return
    this.#number(fieldTag)
    this.#number(value)
  }

  bytes(fieldTag: number, bytes: Uint8Array): void {
    if (bytes.length === 0) return
    this.start(fieldTag, bytes.length)
    this.raw(bytes)
  }

  start(fieldTag: number, length: number): void {
    this.#number(fieldTag)
    this.#number(length)
  }

  /** Seven bits a byte, the lowest first; without shifts, which end at 32 bits. */
  #number(value: number): void {
    let rest = value
    while (rest >= 128) {
      this.target[this.#at] = (rest % 128) + 128
      this.#at += 1
      rest = Math.floor(rest / 128)
    }
    this.target[this.#at] = rest
    this.#at += 1
  }
}
