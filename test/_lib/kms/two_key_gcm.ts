/**
 * AES-GCM does not commit to its key: whoever knows two keys can make one ciphertext with one tag
 * that opens under both, to different bytes. GHASH is a polynomial in the hash key over
 * GF(2^128), so one free block of the ciphertext makes both tags equal (NIST SP 800-38D §6.4).
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { createCipheriv } from 'node:crypto'

const BLOCK = 16
/** x^128 + x^7 + x^2 + x + 1, with the bits of GCM: the first is the highest. */
const REDUCTION = 0xe1n << 120n

interface TwoKeys {
  /** Of 32 bytes. */
  readonly keys: readonly [Uint8Array, Uint8Array]
  /** Of 12 bytes. */
  readonly nonce: Uint8Array
  readonly associatedData: Uint8Array
  /** What its first block opens to under the first key. */
  readonly begin: Uint8Array
}

/** A ciphertext of 32 bytes, as that of a seed, and its tag. */
export function sealedUnderTwoKeys({ keys, nonce, associatedData, begin }: TwoKeys): Uint8Array {
  const first = xor(number(begin), keystream(keys[0], nonce, 2))
  const lengths = (BigInt(associatedData.length * 8) << 64n) | BigInt(2 * BLOCK * 8)
  const tagOf = (key: Uint8Array, second: bigint) => {
    const blocks = [...blocksOf(associatedData), first, second, lengths]
    return xor(ghash(hashKey(key), blocks), keystream(key, nonce, 1))
  }
  // The second block is the coefficient of the square in both polynomials.
  const [one, two] = keys
  const squares = keys.map((key) => times(hashKey(key), hashKey(key)))
  const difference = xor(tagOf(one, 0n), tagOf(two, 0n))
  const second = times(difference, inverse(xor(squares[0] ?? 0n, squares[1] ?? 0n)))
  return Buffer.concat([first, second, tagOf(one, second)].map(bytes))
}

function ghash(key: bigint, blocks: readonly bigint[]): bigint {
  return blocks.reduce((sum, block) => times(xor(sum, block), key), 0n)
}

function times(one: bigint, two: bigint): bigint {
  let [product, shifted] = [0n, two]
  for (let bit = 127n; bit >= 0n; bit -= 1n) {
    if ((one >> bit) & 1n) product ^= shifted
    shifted = shifted & 1n ? (shifted >> 1n) ^ REDUCTION : shifted >> 1n
  }
  return product
}

/** The power 2^128 - 2. */
function inverse(of: bigint): bigint {
  let [result, power] = [1n << 127n, of]
  for (let bit = 1; bit < 128; bit += 1) {
    power = times(power, power)
    result = times(result, power)
  }
  return result
}

function hashKey(key: Uint8Array): bigint {
  return encrypted(key, Buffer.alloc(BLOCK))
}

/** Counter 1 masks the tag; what is encrypted begins with 2. */
function keystream(key: Uint8Array, nonce: Uint8Array, counter: number): bigint {
  return encrypted(key, Buffer.concat([nonce, bytes(BigInt(counter)).subarray(-4)]))
}

function encrypted(key: Uint8Array, block: Uint8Array): bigint {
  return number(createCipheriv('aes-256-ecb', key, null).update(block))
}

function blocksOf(data: Uint8Array): bigint[] {
  const count = Math.ceil(data.length / BLOCK)
  const padded = Buffer.concat([data], count * BLOCK)
  return Array.from({ length: count }, (_, at) =>
    number(padded.subarray(at * BLOCK, (at + 1) * BLOCK)),
  )
}

function xor(one: bigint, two: bigint): bigint {
  return one ^ two
}

function number(block: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(block).toString('hex')}`)
}

function bytes(block: bigint): Buffer {
  return Buffer.from(block.toString(16).padStart(2 * BLOCK, '0'), 'hex')
}
