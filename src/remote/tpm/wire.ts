/**
 * The bytes of TPM 2.0 structures (TPM 2.0 Library, part 2): numbers are big-endian, and a buffer of
 * variable size begins with its size in two bytes.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { KmsError } from '../../base/errors.ts'

export function u8(value: number): Buffer {
  return Buffer.of(value)
}

export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(value)
  return bytes
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** A buffer with its size before it (TPM2B). */
export function sized(...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts)
  return Buffer.concat([u16(content.length), content])
}

/** Reads structures, and believes none: what is too short, too long or left over is refused. */
export class Reader {
  readonly #bytes: Buffer
  readonly #of: string
  #at = 0

  /** @param of what the bytes are, for messages */
  constructor(bytes: Uint8Array, of: string) {
    this.#bytes = Buffer.from(bytes)
    this.#of = of
  }

  u8(): number {
    return this.bytes(1).readUInt8()
  }

  u16(): number {
    return this.bytes(2).readUInt16BE()
  }

  u32(): number {
    return this.bytes(4).readUInt32BE()
  }

  bytes(count: number): Buffer {
    const end = this.#at + count
    if (end > this.#bytes.length) throw this.wrong('is too short')
    const part = this.#bytes.subarray(this.#at, end)
    this.#at = end
    return part
  }

  sized(maxBytes: number): Buffer {
    const size = this.u16()
    if (size > maxBytes) throw this.wrong('has a part that is too long')
    return this.bytes(size)
  }

  /** @throws KmsError where it is another number */
  expect(found: number, wanted: number, what: string): void {
    if (found !== wanted) throw this.wrong(`has another ${what} than was asked for`)
  }

  /** @throws KmsError where bytes are left over */
  end(): void {
    if (this.#at !== this.#bytes.length) throw this.wrong('is too long')
  }

  wrong(why: string, cause?: unknown): KmsError {
    return new KmsError(`${this.#of} ${why}`, { code: 'protocol', cause })
  }
}
