import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import * as assert from 'uvu/assert'
import type { KmsError } from '../../../src/base/errors.ts'
import { packWrap, unpackWrap } from '../../../src/services/aws/wrap.ts'
import { rejection, suite } from '../../_lib/uvu.ts'

const test = suite('services/aws/wrap', () => ({}))

const sum = (body: Uint8Array) => createHash('sha256').update(body).digest().subarray(0, 4)
const withSum = (...bytes: number[]) =>
  Buffer.concat([Buffer.of(...bytes), sum(Buffer.of(...bytes))])

test('a wrap is format, pairs, ciphertext and sum, as the docs say', () => {
  const wrap = packWrap({ a: 'bc' }, Buffer.of(0xfe, 0xff))

  assert.is(
    Buffer.from(wrap).toString('hex'),
    `0101016102${'6263'}feff${sum(Buffer.from('01010161026263feff', 'hex')).toString('hex')}`,
  )
})

for (const context of [{}, { a: 'b' }, { cluster: 'prod', 'team name': 'x'.repeat(128) }]) {
  test(`what was packed with ${Object.keys(context).length} pairs is unpacked`, () => {
    const ciphertext = Buffer.alloc(184, 3)

    const back = unpackWrap(packWrap(context, ciphertext))

    assert.equal(back.context, context)
    assert.equal(Buffer.from(back.ciphertext), ciphertext)
  })
}

for (const [title, bytes] of [
  ['nothing', new Uint8Array()],
  ['another format', withSum(2, 0, 1)],
  ['a pair that ends after the end', withSum(1, 1, 1, 97, 200, 98)],
  ['pairs and no ciphertext', withSum(1, 1, 1, 97, 1, 98)],
  ['a wrong sum', Buffer.of(1, 0, 1, 0, 0, 0, 0)],
] as const) {
  test(`${title} is damaged`, async () => {
    const error = await rejection(Promise.resolve().then(() => unpackWrap(bytes)))

    assert.is((error as KmsError).code, 'ciphertext_invalid')
  })
}

test.run()
