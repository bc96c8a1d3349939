/**
 * Reads the outer message of an envelope in its one canonical form, as `envelope_writer.ts` writes
 * it. By hand, since every Decrypt needs it. Whoever reads an envelope compares it afterwards with
 * what would be written, so nothing depends on how strict this is.
 *
 * @module
 */

import { ENVELOPE, WRAP } from './envelope_writer.ts'

const NOTHING = new Uint8Array()

interface ReadEnvelope {
  readonly header: Uint8Array
  readonly wraps: readonly { readonly member: number; readonly data: Uint8Array }[]
  readonly sealed: Uint8Array
}

/** Undefined for bytes that are no envelope in canonical form. */
export function readEnvelope(bytes: Uint8Array): ReadEnvelope | undefined {
  const reader = new Reader(bytes)
  const header = reader.bytes(ENVELOPE.header)
  const wraps: { member: number; data: Uint8Array }[] = []
  for (let wrap = reader.bytes(ENVELOPE.wraps); wrap !== undefined; ) {
    const inner = new Reader(wrap)
    const member = inner.varint(WRAP.member)
    const data = inner.bytes(WRAP.data)
    if (data === undefined || !inner.ended) return undefined
    wraps.push({ member, data })
    wrap = reader.bytes(ENVELOPE.wraps)
  }
  const sealed = reader.bytes(ENVELOPE.sealed)
  if (header === undefined || !reader.ended) return undefined
  return { header, wraps, sealed: sealed ?? NOTHING }
}

/** Reads field after field; each is asked for by its tag. */
class Reader {
  readonly #source: Uint8Array
  #at = 0

  constructor(source: Uint8Array) {
    this.#source = source
  }

  get ended(): boolean {
    return this.#at === this.#source.length
  }

  /** 0 where the field is left out. */
  varint(fieldTag: number): number {
    return this.#has(fieldTag) ? this.#number() : 0
  }

  /** Undefined where the field is left out, or does not end in time. */
  bytes(fieldTag: number): Uint8Array | undefined {
    if (!this.#has(fieldTag)) return undefined
    const length = this.#number()
    const end = this.#at + length
    if (end > this.#source.length) return undefined
    const found = this.#source.subarray(this.#at, end)
    this.#at = end
    return found
  }

  #has(fieldTag: number): boolean {
    if (this.#source[this.#at] !== fieldTag) return false
    this.#at += 1
    return true
  }

  /** Seven bits a byte, the lowest first. */
  #number(): number {
    let value = 0
    for (let weight = 1; weight < MAX_WEIGHT; weight *= 128) {
      const byte = this.#source[this.#at] ?? 0
      this.#at += 1
      value += (byte % 128) * weight
      if (byte < 128) break
    }
    return value
  }
}

/** Lengths and members are far below this. */
const MAX_WEIGHT = 2 ** 35
