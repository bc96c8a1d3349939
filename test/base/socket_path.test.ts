import * as assert from 'uvu/assert'
import { KmsError } from '../../src/base/errors.ts'
import { parseListenPath, parseSocketPath } from '../../src/base/socket_path.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('base/socket_path', () => ({}))

const LONGEST = `/${'é'.repeat(53)}`

for (const [text, path] of [
  ['unix:///run/kms.sock', '/run/kms.sock'],
  ['/run/kms.sock', '/run/kms.sock'],
  [LONGEST, LONGEST],
] as const) {
  test(`parseSocketPath() reads ${text} [T9]`, () => {
    assert.is(parseSocketPath(text), path)
  })
}

for (const [text, reason] of [
  ['', 'not an absolute path'],
  ['/', 'not an absolute path'],
  ['kms.sock', 'not an absolute path'],
  ['unix://', 'not an absolute path'],
  ['unix:kms.sock', 'scheme'],
  ['tcp://127.0.0.1:80', 'scheme'],
  ['http:///run/kms.sock', 'scheme'],
  ['@kms', 'abstract'],
  ['unix:///@kms', 'abstract'],
  ['/run/\0kms', 'NUL'],
  [`${LONGEST}x`, 'has 108 bytes, more than the 107'],
] as const) {
  test(`parseSocketPath() refuses ${JSON.stringify(text)} [T7 T8 T9]`, () => {
    const error = caught(() => parseSocketPath(text))

    assert.instance(error, KmsError)
    assert.is((error as KmsError).code, 'request_invalid')
    assert.match((error as KmsError).message, reason)
  })
}

function caught(run: () => unknown): unknown {
  try {
    return run()
  } catch (error) {
    return error
  }
}

test('a path that leaves no room for the name that a socket is bound under first is refused [T7]', () => {
  const longest = `/${'x'.repeat(102)}`

  assert.is(parseListenPath(longest), longest)
  assert.throws(() => parseListenPath(`${longest}x`), /more than the 103 bytes/)
})

test.run()
