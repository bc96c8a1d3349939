import { Buffer } from 'node:buffer'
import * as assert from 'uvu/assert'
import { parse } from 'yaml'
import { KmsError } from '../../../src/base/errors.ts'
import { manifestOf } from '../../../src/tools/etcd/manifest.ts'
import { manifestJson, manifestYaml } from '../../../src/tools/etcd/manifest_text.ts'
import {
  concat,
  entry,
  field,
  number,
  objectMeta,
  secretBytes,
  unknown,
} from '../../_lib/tools/stored_objects.ts'
import { suite } from '../../_lib/uvu.ts'

const META = {
  name: 'db',
  namespace: 'shop',
  labels: { app: 'db', 'example.org/on': 'yes' },
  annotations: { note: 'two\nlines: "quoted" # no comment', 'example.org/date': '2026-01-01' },
}
const BINARY = Uint8Array.of(0, 0xff, 0x80, 0x0a)

const test = suite('tools/etcd/manifest', () => ({}))

function codeOf(plaintext: Uint8Array): readonly [code: string, message: string] {
  try {
    manifestOf(plaintext)
  } catch (error) {
    assert.instance(error, KmsError)
    const { code, message } = error as KmsError
    return [code, message]
  }
  throw new Error('Expected a refusal')
}

test('a Secret keeps what it is and loses what only its cluster knows', () => {
  const data = [
    ['password', 'hunter2'],
    ['__proto__', BINARY],
    ['empty', ''],
  ] as const

  const manifest = manifestOf(secretBytes(META, data, { type: 'example.org/db', immutable: true }))

  assert.is(
    JSON.stringify(manifest),
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: META,
      type: 'example.org/db',
      data: JSON.parse('{"password":"aHVudGVyMg==","__proto__":"AP+ACg==","empty":""}'),
      immutable: true,
    }),
  )
})

test('a Secret that holds nothing has no data', () => {
  assert.equal(manifestOf(secretBytes({ name: 'none', namespace: 'shop' }, [])), {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'none', namespace: 'shop' },
    type: 'Opaque',
  })
})

test('a ConfigMap keeps text and binary data', () => {
  const raw = concat(
    field(1, objectMeta(META)),
    entry(2, 'key.conf', 'a = "ü"\n'),
    entry(3, 'blob', BINARY),
    number(4, 0),
  )

  assert.equal(manifestOf(unknown('v1', 'ConfigMap', raw)), {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: META,
    data: { 'key.conf': 'a = "ü"\n' },
    binaryData: { blob: 'AP+ACg==' },
    immutable: false,
  })
})

test('a custom resource keeps everything of its own, to the last digit', () => {
  const stored = {
    apiVersion: 'example.org/v1',
    kind: 'Widget',
    metadata: {
      name: 'one',
      namespace: 'shop',
      labels: { prototype: 'x' },
      uid: '1f4a',
      generation: 2,
      creationTimestamp: '2026-01-01T00:00:00Z',
      managedFields: [{ manager: 'kubectl' }],
      ownerReferences: [{ uid: 'x' }],
      finalizers: ['x'],
      resourceVersion: '7',
    },
    spec: { big: 'BIG', exact: 'EXACT', list: [1, null, true, [], {}], nested: [{ a: [[1]] }] },
    constructor: { kept: true },
  }
  const text = JSON.stringify(stored).replace('"BIG"', '9007199254740993').replace('"EXACT"', '1.0')

  const manifest = manifestOf(Buffer.from(text))

  const { labels } = stored.metadata
  const wanted = JSON.stringify({
    ...stored,
    metadata: { name: 'one', namespace: 'shop', labels },
  })
    .replace('"BIG"', '9007199254740993')
    .replace('"EXACT"', '1.0')
  assert.is(JSON.stringify(manifest), wanted)
  assert.is(JSON.stringify(JSON.parse(manifestJson(manifest))), JSON.stringify(JSON.parse(wanted)))
  assert.match(manifestYaml(manifest), /big: 9007199254740993\n/)
  assert.is(JSON.stringify(parse(manifestYaml(manifest))), JSON.stringify(JSON.parse(wanted)))
})

test('the text is what the manifest says, whatever is in it', () => {
  const hostile = [
    'yes',
    'null',
    '~',
    '- a',
    '# b',
    '&c',
    '*d',
    '!!e',
    '%f',
    '@g',
    '`h',
    '{i',
    'j: k',
    "'",
    '"',
    '\u0000\u0007\u001b[31m\u007f\u0085\u009b\u00a0\u2028\u2029\ufeff\uffff',
    '😀',
    '1e3',
    '0x10',
    '---',
    '...',
    '\t\r\n ',
    '',
  ]
  const annotations = Object.fromEntries(hostile.map((text, at) => [`key${at}`, text]))
  const keys = Object.fromEntries(hostile.map((text) => [text, text]))
  const manifest = {
    apiVersion: 'v1',
    kind: 'X',
    metadata: { name: 'x', annotations },
    keys,
    list: hostile,
  }

  const yaml = manifestYaml(manifest)

  assert.equal(parse(yaml, { version: '1.1' }), manifest)
  assert.equal(parse(yaml), manifest)
  assert.equal(JSON.parse(manifestJson(manifest)), manifest)
  for (const text of [yaml, manifestJson(manifest)]) {
    assert.not.match(text, /[^\P{Cc}\n]|[\u2028\u2029\ufeff]/u)
  }
})

test('what no manifest can be made of is named', () => {
  const lease = unknown('coordination.k8s.io/v1', 'Lease', field(1, objectMeta({ name: 'x' })))

  const [code, message] = codeOf(lease)

  assert.is(code, 'request_invalid')
  assert.match(message, /not objects of kind Lease in coordination\.k8s\.io\/v1/)
  assert.match(codeOf(Buffer.from([0xd9, 0xd9, 0xf7, 0xa0]))[1], /stored as CBOR/)
})

test('what is no object is refused, and nothing of it is said', () => {
  const whole = secretBytes(META, [['password', 'hunter2']])
  for (const bytes of [
    Buffer.from('hunter2'),
    new Uint8Array(),
    Buffer.from('{"hunter2":'),
    Buffer.from('{"apiVersion":"v1","kind":"hunter2"}'),
    whole.subarray(0, -9),
    unknown('v1', 'Secret', field(1, field(3, 'hunter2'))),
  ]) {
    const [code, message] = codeOf(bytes)
    assert.is(code, 'ciphertext_invalid')
    assert.not.match(message, /hunter2/)
  }
})

test.run()
