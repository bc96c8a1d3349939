/** Removing the symbols from a binary. test/package shows that the result runs. @module */

import { Buffer } from 'node:buffer'
import * as assert from 'uvu/assert'
import { withoutSymbols } from '../../build/elf.ts'
import { suite } from '../_lib/uvu.ts'

const HEADER_BYTES = 64
const SEGMENT_BYTES = 56

const test = suite('build/elf', () => ({}))

/** A header, a segment for each end in the file, and something behind them. */
function elf(ends: readonly number[], size: number): Buffer {
  const file = Buffer.alloc(size, 0xaa)
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1])
  file.writeBigUInt64LE(BigInt(HEADER_BYTES), 32)
  file.writeBigUInt64LE(BigInt(size - 10), 40)
  file.writeUInt16LE(SEGMENT_BYTES, 54)
  file.writeUInt16LE(ends.length, 56)
  for (const [index, end] of ends.entries()) {
    const at = HEADER_BYTES + index * SEGMENT_BYTES
    file.writeBigUInt64LE(100n, at + 8)
    file.writeBigUInt64LE(BigInt(end - 100), at + 32)
  }
  return file
}

test('withoutSymbols ends the file behind its last segment, and its table of sections is gone', () => {
  const file = elf([300, 400, 200], 1000)
  const stripped = withoutSymbols(file)

  assert.is(stripped.length, 400)
  assert.is(stripped.readBigUInt64LE(40), 0n)
  assert.equal([stripped.readUInt16LE(60), stripped.readUInt16LE(62)], [0, 0])
  assert.equal(stripped.subarray(HEADER_BYTES), file.subarray(HEADER_BYTES, 400))
  assert.is(file.length, 1000)
})

test('withoutSymbols refuses what is no such file', () => {
  assert.throws(() => withoutSymbols(Buffer.from('#!/bin/sh')), /64-bit little-endian ELF/)
})

test.run()
