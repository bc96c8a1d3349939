/**
 * Removes from an ELF file what no running program reads: symbols and debug sections. Linkers put
 * them behind everything that is loaded, so the file can end there. This must happen before a
 * program is injected, since that is added at the end.
 *
 * @module
 */

import { Buffer } from 'node:buffer'

const MAGIC = Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1])
/** Offsets in the header of a 64-bit little-endian file. */
const HEADER = { segments: 32, sections: 40, segmentSize: 54, segmentCount: 56, sectionCount: 60 }
const SEGMENT = { offset: 8, fileSize: 32 }

export function withoutSymbols(file: Buffer): Buffer {
  if (!file.subarray(0, MAGIC.length).equals(MAGIC)) {
    throw new Error('Wanted a 64-bit little-endian ELF file')
  }
  const first = Number(file.readBigUInt64LE(HEADER.segments))
  const size = file.readUInt16LE(HEADER.segmentSize)
  const ends = Array.from({ length: file.readUInt16LE(HEADER.segmentCount) }, (_, index) => {
    const at = first + index * size
    const end =
      file.readBigUInt64LE(at + SEGMENT.offset) + file.readBigUInt64LE(at + SEGMENT.fileSize)
    return Number(end)
  })
  const stripped = Buffer.from(file.subarray(0, Math.max(...ends)))
  // The table of sections is removed, so its position, the number of entries and the entry of their
  // names become zero.
  stripped.writeBigUInt64LE(0n, HEADER.sections)
  stripped.writeUInt32LE(0, HEADER.sectionCount)
  return stripped
}
