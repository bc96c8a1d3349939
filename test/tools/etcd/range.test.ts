import { Buffer } from 'node:buffer'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import * as assert from 'uvu/assert'
import { KmsError } from '../../../src/base/errors.ts'
import { type EtcdRefusal, openRange, type Transport } from '../../../src/tools/etcd/range.ts'
import {
  type RangeRequest,
  RangeRequestSchema,
  type RangeResponse,
  RangeResponseSchema,
} from '../../../src/tools/etcd/range_pb.ts'
import { rejection, suite } from '../../_lib/uvu.ts'

const test = suite('tools/etcd/range', () => ({}))

const REVISION = 77n
type Answer = Uint8Array | EtcdRefusal

/** An etcd of 600 keys: each page costs a call, and an answer has a longest length. */
function fakeEtcd(
  maxBytes = 2 ** 24,
  change: (request: RangeRequest) => Answer | undefined = () => undefined,
) {
  const keys = Array.from(
    { length: 600 },
    (_, at) => `/registry/secrets/a/${String(at).padStart(5, '0')}`,
  )
  const requests: RangeRequest[] = []
  const transport: Transport = {
    call(path, bytes) {
      assert.is(path, '/etcdserverpb.KV/Range')
      const request = fromBinary(RangeRequestSchema, bytes)
      requests.push(request)
      const answer = change(request) ?? toBinary(RangeResponseSchema, rangeOf(keys, request))
      const tooLong = answer instanceof Uint8Array && answer.length > maxBytes
      const details = `Received message larger than max (1 vs ${maxBytes})`
      return Promise.resolve(tooLong ? { status: 'RESOURCE_EXHAUSTED', details } : answer)
    },
  }
  return { transport, requests, keys }
}

function rangeOf(
  keys: readonly string[],
  { key, rangeEnd, limit, countOnly }: RangeRequest,
): RangeResponse {
  const within = keys
    .map((each) => Buffer.from(each))
    .filter((each) => each.compare(key) >= 0 && each.compare(rangeEnd) < 0)
  const page = countOnly ? [] : within.slice(0, Number(limit))
  return create(RangeResponseSchema, {
    // The store has moved on since.
    header: { revision: countOnly ? REVISION : REVISION + 5n },
    kvs: page.map((each, at) => ({ key: each, value: Buffer.alloc(2_000, at), modRevision: 5n })),
    more: page.length < within.length,
    count: BigInt(within.length),
  })
}

async function keysOf(transport: Transport): Promise<string[]> {
  const source = await openRange(transport, '/registry')
  const keys: string[] = []
  for await (const page of source.pages()) {
    for (const { key } of page) keys.push(Buffer.from(key).toString())
  }
  return keys
}

async function refusalOf(change: Parameters<typeof fakeEtcd>[1]): Promise<KmsError> {
  const error = await rejection(keysOf(fakeEtcd(undefined, change).transport))
  if (!(error instanceof KmsError)) throw error
  return error
}

test('openRange() reads every key once, all pages at the revision that it counted at', async () => {
  const { transport, requests, keys } = fakeEtcd()
  const source = await openRange(transport, '/registry')
  assert.is(source.count, keys.length)
  assert.is(source.revision, REVISION)
  assert.equal(await keysOf(transport), keys)
  const [count, , ...pages] = requests
  assert.is(count?.revision, 0n)
  assert.ok(pages.length > 1, 'more than one page')
  for (const { revision, limit, countOnly } of pages) {
    assert.is(revision, REVISION)
    assert.ok(!countOnly && limit > 0n)
  }
})

test('openRange() asks for shorter pages where an answer is longer than it takes, down to one object', async () => {
  for (const maxBytes of [100_000, 9_000, 2_200]) {
    const { transport, requests, keys } = fakeEtcd(maxBytes)
    assert.equal(await keysOf(transport), keys)
    assert.ok(requests.some(({ limit }) => limit <= BigInt(maxBytes) / 2_000n))
  }
  const error = await rejection(keysOf(fakeEtcd(500).transport))
  assert.ok(error instanceof KmsError && error.code === 'protocol')
  assert.match(error.message, /an object that is too long/)
})

test('openRange() says what to do when etcd has forgotten the revision', async () => {
  const { code, message } = await refusalOf(({ countOnly }) =>
    countOnly
      ? undefined
      : {
          status: 'OUT_OF_RANGE',
          details: 'etcdserver: mvcc: required revision has been compacted',
        },
  )
  assert.is(code, 'unavailable')
  assert.match(message, /Run it again, or on a file that "etcdctl snapshot save" wrote/)
})

for (const refusal of [
  { status: 'PERMISSION_DENIED', details: 'etcdserver: permission denied' },
  { status: 'UNAUTHENTICATED', details: 'etcdserver: invalid auth token' },
  { status: 'INVALID_ARGUMENT', details: 'etcdserver: user name is empty' },
]) {
  test(`openRange() says whose certificate is needed after ${refusal.status}`, async () => {
    const { code, message } = await refusalOf(() => refusal)
    assert.is(code, 'denied')
    assert.match(message, /certificate of kube-apiserver/)
  })
}

test('openRange() does not trust an answer that makes no sense, nor one that never ends', async () => {
  const again = toBinary(
    RangeResponseSchema,
    create(RangeResponseSchema, {
      kvs: [{ key: Buffer.from('/a'), value: Buffer.from('x') }],
      more: true,
    }),
  )
  for (const answer of [
    Uint8Array.of(0xff),
    again,
    toBinary(RangeResponseSchema, create(RangeResponseSchema, { more: true })),
  ]) {
    const { code } = await refusalOf(({ countOnly }) => (countOnly ? undefined : answer))
    assert.is(code, 'protocol')
  }
  assert.is((await refusalOf(() => new Uint8Array())).code, 'protocol')
  const { message } = await refusalOf(() => ({ status: 'INTERNAL', details: '\u001b[2Jboom' }))
  assert.is(message, 'etcd answered with INTERNAL')
})

test.run()
