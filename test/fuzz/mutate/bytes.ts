/** Changes bytes of which nothing is known: bits, numbers, pieces. @module */

import { Buffer } from 'node:buffer'
import type { SeededRandom } from '../../_lib/seeded_random.ts'
import { MAX_INPUT_BYTES, type Mutator } from './mutator.ts'

/** Where lengths, counts and signs turn over. */
const EDGES = [0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0xffffffff]
const MOST_CHANGES = 5
const PIECE_BYTES = 64

type Change = (bytes: Buffer, other: Uint8Array, random: SeededRandom) => Buffer

const CHANGES: readonly Change[] = [flip, set, edge, cut, insert, repeat, truncate, splice, move]

export const mutateBytes: Mutator = (input, other, random) => {
  let bytes: Buffer = Buffer.from(input)
  for (let left = 1 + random.below(MOST_CHANGES); left > 0; left -= 1) {
    bytes = random.pick(CHANGES)(bytes, other, random)
  }
  return bytes.subarray(0, MAX_INPUT_BYTES)
}

function flip(bytes: Buffer, _other: Uint8Array, random: SeededRandom): Buffer {
  if (bytes.length === 0) return bytes
  const at = random.below(bytes.length)
  bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8))
  return bytes
}

function set(bytes: Buffer, _other: Uint8Array, random: SeededRandom): Buffer {
  if (bytes.length > 0) bytes[random.below(bytes.length)] = random.below(256)
  return bytes
}

/** A number at an edge, of one, two or four bytes, in either order. */
function edge(bytes: Buffer, _other: Uint8Array, random: SeededRandom): Buffer {
  const size = random.pick([1, 2, 4])
  if (bytes.length < size) return bytes
  const at = random.below(bytes.length - size + 1)
  const value = random.pick(EDGES) % 2 ** (8 * size)
  if (random.below(2) === 0) bytes.writeUIntLE(value, at, size)
  else bytes.writeUIntBE(value, at, size)
  return bytes
}

function cut(bytes: Buffer, _other: Uint8Array, random: SeededRandom): Buffer {
  const at = random.below(bytes.length + 1)
  return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random.below(PIECE_BYTES))])
}

function insert(bytes: Buffer, _other: Uint8Array, random: SeededRandom): Buffer {
  const at = random.below(bytes.length + 1)
  const made = random.bytes(1 + random.below(8))
  return Buffer.concat([bytes.subarray(0, at), made, bytes.subarray(at)])
}

function repeat(bytes: Buffer, _other: Uint8Array, random: SeededRandom): Buffer {
  const at = random.below(bytes.length + 1)
  const piece = bytes.subarray(at, at + 1 + random.below(PIECE_BYTES))
  return Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at)])
}

function truncate(bytes: Buffer, _other: Uint8Array, random: SeededRandom): Buffer {
  return bytes.subarray(0, random.below(bytes.length + 1))
}

function splice(bytes: Buffer, other: Uint8Array, random: SeededRandom): Buffer {
  const [at, from] = [random.below(bytes.length + 1), random.below(other.length + 1)]
  return Buffer.concat([bytes.subarray(0, at), other.subarray(from)])
}

/** A piece of it at another place. */
function move(bytes: Buffer, _other: Uint8Array, random: SeededRandom): Buffer {
  if (bytes.length < 2) return bytes
  const size = 1 + random.below(Math.min(PIECE_BYTES, bytes.length - 1))
  const [from, to] = [random.below(bytes.length - size + 1), random.below(bytes.length - size + 1)]
  bytes.copyWithin(to, from, from + size)
  return bytes
}
