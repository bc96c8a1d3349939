/** Self times of a profile. @module */

import { SourceMap } from 'node:module'
import * as assert from 'uvu/assert'
import { suite } from '../_lib/uvu.ts'
import { functionOf, placeOf, selfTimes } from './cpu_profile.ts'

const test = suite('bench/cpu_profile', () => ({}))

/** Column 0 is of the first source, column 8 of the second, column 16 of the third. */
const MAP = new SourceMap({
  version: 3,
  file: 'bundle.mjs',
  sources: [
    '../src/kms/keyring.ts',
    '../node_modules/@grpc/grpc-js/build/a.js',
    '../node_modules/a/node_modules/b/c.js',
  ],
  sourcesContent: [],
  names: [],
  mappings: 'AAAA,QCAA,QCAA',
  sourceRoot: '',
})

function frame(functionName: string, url: string, columnNumber = 0) {
  return { functionName, url, lineNumber: 0, columnNumber }
}
const BUNDLE = 'file:///bundle.mjs'

test('placeOf() names the source file, the package or the module of Node', () => {
  assert.is(placeOf(frame('encrypt', BUNDLE), MAP), 'src/kms/keyring.ts')
  assert.is(placeOf(frame('send', BUNDLE, 9), MAP), '@grpc/grpc-js')
  assert.is(placeOf(frame('send', BUNDLE, 16), MAP), 'b')
  assert.is(placeOf(frame('write', 'node:net'), MAP), 'node:net')
  assert.is(placeOf(frame('writev', ''), MAP), '(native)')
  assert.is(placeOf(frame('(program)', ''), MAP), '(program)')
})

test('functionOf() names a function with its place', () => {
  assert.is(functionOf(frame('encrypt', BUNDLE), MAP), 'encrypt in src/kms/keyring.ts')
  assert.is(functionOf(frame('', 'node:net'), MAP), '(anonymous) in node:net')
  assert.is(functionOf(frame('(garbage collector)', ''), MAP), '(garbage collector)')
})

test('selfTimes() adds up by name, leaves waiting out, and has the largest first', () => {
  const profile = {
    nodes: [
      { id: 1, callFrame: frame('a', 'x') },
      { id: 2, callFrame: frame('b', 'x') },
      { id: 3, callFrame: frame('c', 'y') },
      { id: 4, callFrame: frame('(idle)', '') },
    ],
    samples: [3, 1, 2, 4, 1],
    timeDeltas: [25, 10, 30, 900, 35],
  }

  const times = selfTimes(profile, ({ url }) => url)

  assert.equal(times, [
    { name: 'x', share: 0.75 },
    { name: 'y', share: 0.25 },
  ])
})

test.run()
