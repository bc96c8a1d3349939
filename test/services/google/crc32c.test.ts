import { Buffer } from 'node:buffer'
import * as assert from 'uvu/assert'
import { crc32c } from '../../../src/services/google/crc32c.ts'
import { suite } from '../../_lib/uvu.ts'

const test = suite('services/google/crc32c', () => ({}))

const SCSI_READ = `01c00000 00000000 00000000 00000000 14000000 00000400
  00000014 00000018 28000000 00000000 02000000 00000000`

/** RFC 3720, B.4, where sums stand with their lowest byte first; and the check value of the CRC catalogue. */
const VECTORS: readonly (readonly [name: string, bytes: Buffer, sum: number])[] = [
  ['32 bytes of zeroes', Buffer.alloc(32), 0x8a9136aa],
  ['32 bytes of ones', Buffer.alloc(32, 0xff), 0x62a8ab43],
  ['32 bytes that grow', Buffer.from(Array.from({ length: 32 }, (_, at) => at)), 0x46dd794e],
  ['32 bytes that shrink', Buffer.from(Array.from({ length: 32 }, (_, at) => 31 - at)), 0x113fdb5c],
  ['a SCSI Read (10) command', Buffer.from(SCSI_READ.replaceAll(/\s/g, ''), 'hex'), 0xd9963a56],
  ['the digits from 1 to 9', Buffer.from('123456789'), 0xe3069283],
  ['nothing', Buffer.alloc(0), 0],
]

for (const [name, bytes, sum] of VECTORS) {
  test(`crc32c() of ${name} is as published`, () => {
    assert.is(crc32c(bytes), sum)
  })
}

test.run()
