/** What etcd holds: records, the keys they stand under, and a server's answers. @module */

import { Buffer } from 'node:buffer'
import { create, toBinary } from '@bufbuild/protobuf'
import { decryptObject } from '../../../src/tools/etcd/decrypt.ts'
import { manifestOf } from '../../../src/tools/etcd/manifest.ts'
import { manifestJson, manifestYaml } from '../../../src/tools/etcd/manifest_text.ts'
import { neverEncrypted, readKey } from '../../../src/tools/etcd/object_key.ts'
import { openRange } from '../../../src/tools/etcd/range.ts'
import { RangeResponseSchema } from '../../../src/tools/etcd/range_pb.ts'
import { readRecord } from '../../../src/tools/etcd/record.ts'
import {
  entry,
  field,
  secretBytes,
  unknown,
  v1Value,
  v2Value,
} from '../../_lib/tools/stored_objects.ts'
import { jsonMutator } from '../mutate/json.ts'
import { type Mutator, oneOf } from '../mutate/mutator.ts'
import { mutateProtobuf } from '../mutate/protobuf.ts'
import { bytesOf, type Surface, type Target, target, textOf } from '../surface.ts'

const PREFIX = '/registry'
const ETCD_KEY = `${PREFIX}/secrets/default/a`
const SEED = new Uint8Array(32).fill(7)
const PROTOBUF_START = bytesOf('k8s\0')
const NAMED = /^k8s:enc:kms:v\d:[^:]*:/

const asJson = jsonMutator(
  ['Secret', 'v1', 'x.io/v1'],
  ['apiVersion', 'kind', 'metadata', 'name', 'labels'],
)

/** What follows the words at a record's start is changed as what it is. */
const mutateRecord: Mutator = (input, other, random) => {
  const [line = ETCD_KEY, rest] = split(input)
  const value = oneOf(random, [
    [2, () => asJson(rest, split(other)[1], random)],
    [5, () => behind(startOf(rest), rest, split(other)[1], random)],
  ])()
  const key = random.below(8) === 0 ? keyOf(line, random.below(4)) : line
  return Buffer.concat([bytesOf(`${key}\n`), value])
}

const behind = (
  start: number,
  rest: Uint8Array,
  other: Uint8Array,
  random: Parameters<Mutator>[2],
) => Buffer.concat([rest.subarray(0, start), mutateProtobuf(rest.subarray(start), other, random)])

function keyOf(line: string, way: number): string {
  const odd = ['services', 'endpoints', 'constructor', 'x.io', '', '..']
  const parts = line.split('/')
  const word = odd[(line.length + way) % odd.length] ?? ''
  return parts.toSpliced(1 + way, way % 2, word).join('/')
}

function startOf(rest: Uint8Array): number {
  const text = Buffer.from(rest).toString('latin1', 0, 80)
  if (text.startsWith('k8s\0')) return PROTOBUF_START.length
  return NAMED.exec(text)?.[0].length ?? 0
}

/** The first line is the key in etcd, and the rest what stands under it. */
function split(input: Uint8Array): [key: string, value: Uint8Array] {
  const end = input.indexOf(0x0a)
  return end === -1 ? ['', input] : [textOf(input.subarray(0, end)), input.subarray(end + 1)]
}

export const etcdRecord: Surface = {
  name: 'etcd_record',
  from: 'whoever writes to etcd',
  files: [
    'tools/etcd/record.ts',
    'tools/etcd/decrypt.ts',
    'tools/etcd/manifest',
    'tools/etcd/object_key.ts',
    'tools/etcd/exact_json.ts',
  ],
  mutate: mutateRecord,
  open: async () => target(await records(), readStored),
}

function readStored(input: Uint8Array): void {
  const [key, value] = split(input)
  const object = readKey(key, PREFIX)
  neverEncrypted(key, PREFIX)
  if (object !== undefined && typeof object.resource !== 'string')
    throw new TypeError('No resource')
  const record = readRecord(value)
  const isKms = record.form === 'kms-v2' || record.form === 'kms-v1'
  const manifest = manifestOf(isKms ? decryptObject(record, SEED, bytesOf(key)) : value)
  JSON.parse(manifestJson(manifest))
  manifestYaml(manifest)
}

async function records(): Promise<Uint8Array[]> {
  const plaintext = secretBytes(
    { name: 'a', namespace: 'default', labels: { app: 'x' }, annotations: { note: 'y' } },
    [['password', 'hunter2']],
    { immutable: true },
  )
  const configMap = unknown(
    'v1',
    'ConfigMap',
    Buffer.concat([field(1, field(1, 'b')), entry(2, 'a', 'b'), entry(3, 'c', 'd')]),
  )
  const parts = { etcdKey: ETCD_KEY, plaintext, ciphertext: SEED, keyId: 'id' }
  const custom = {
    apiVersion: 'x.io/v1',
    kind: 'Widget',
    metadata: { name: 'w', uid: 'u' },
    spec: { n: 1e21, list: [1, {}] },
  }
  const values = [
    plaintext,
    configMap,
    bytesOf(JSON.stringify(custom)),
    await v2Value({ ...parts, seed: SEED, annotations: { 'a.io': SEED } }),
    await v2Value({ ...parts, seed: SEED, derived: false }),
    await v1Value({ ...parts, key: SEED, wrappedKey: SEED }),
    await v1Value({ ...parts, key: SEED, wrappedKey: SEED, cbc: true }),
    await v1Value({ ...parts, key: SEED, wrappedKey: new Uint8Array() }),
    bytesOf(`k8s:enc:aescbc:v1:one:${'x'.repeat(48)}`),
  ]
  return values.map((value) => Buffer.concat([bytesOf(`${ETCD_KEY}\n`), value]))
}

export const etcdAnswer: Surface = {
  name: 'etcd_answer',
  from: 'an etcd server',
  files: ['tools/etcd/range.ts'],
  mutate: mutateProtobuf,
  open(): Promise<Target> {
    const kvs = ['a', 'b'].map((name) => ({
      key: bytesOf(`${PREFIX}/${name}`),
      value: SEED,
      modRevision: 5n,
    }))
    const answer = create(RangeResponseSchema, {
      header: { revision: 7n },
      kvs,
      more: true,
      count: 2n,
    })
    return Promise.resolve(target([toBinary(RangeResponseSchema, answer)], walked))
  },
}

const MOST_CALLS = 100

/** The same answer again and again, as of a server that hangs on to it. */
async function walked(answer: Uint8Array): Promise<void> {
  let calls = 0
  const call = () => {
    calls += 1
    if (calls > MOST_CALLS) throw new TypeError('Asks without an end')
    return Promise.resolve(answer)
  }
  await using source = await openRange({ call }, PREFIX)
  for await (const page of source.pages()) for (const { key } of page) readKey(textOf(key), PREFIX)
}
