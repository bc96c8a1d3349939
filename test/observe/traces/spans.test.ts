/** Spans of requests, of their uses of keys and of batches, as a strict reader of OTLP sees them. @module */

import * as assert from 'uvu/assert'
import * as v from 'valibot'
import type { KmsErrorCode } from '../../../src/base/errors.ts'
import { KmsError } from '../../../src/base/errors.ts'
import {
  type BatchRecord,
  type KeyUseRecord,
  newRecord,
  type RequestRecord,
} from '../../../src/base/request_record.ts'
import { exportBody } from '../../../src/observe/traces/otlp.ts'
import { SpanMaker } from '../../../src/observe/traces/spans.ts'
import { FakeClock } from '../../_lib/fake_clock.ts'
import { attributesOf, exported, spansOf } from '../../_lib/observe/otlp.ts'
import { suite } from '../../_lib/uvu.ts'

const UIDS = ['aaaaaaaa-0000-4000-8000-000000000001', 'BBBBBBBB-0000-4000-8000-000000000002']
const TRACES = UIDS.map((uid) => uid.replaceAll('-', '').toLowerCase())
const CALLER = '0af7651916cd43dd8448eb211c80319c'
const CALLERS_SPAN = 'b7ad6b7169203331'
/** Of the fake clock. */
const EPOCH = 1_800_000_000_000n

function scene(sampleRatio = 1) {
  const clock = new FakeClock({ quick: true })
  const texts: string[] = []
  let count = 0
  const spans = new SpanMaker({
    clock,
    random(bytes) {
      count += 1
      return new Uint8Array(bytes).fill(count)
    },
    sampleRatio,
    grpcStatus: (code) => `status of ${code}`,
    add: (span) => texts.push(span),
  })
  const bodyOf = exportBody({ 'service.name': 'trousseau' }, '1.2.3')
  return {
    clock,
    spans,
    texts,
    body: () => bodyOf(texts),
    made: () => (texts.length === 0 ? [] : spansOf(v.parse(exported, JSON.parse(bodyOf(texts))))),
    record(uid: string | undefined, traceparent?: string): RequestRecord {
      const record = newRecord(traceparent)
      if (uid !== undefined) record.uid = uid
      return record
    },
    use(request: RequestRecord, change: Partial<KeyUseRecord> = {}): KeyUseRecord {
      const use: KeyUseRecord = {
        request,
        provider: 'vault-prod',
        operation: 'wrap',
        keyVersion: '1',
        start: clock.monotonic(),
        durationMs: 0,
        code: undefined,
        batch: undefined,
        ...change,
      }
      request.uses.push(use)
      return use
    },
    called(uses: readonly KeyUseRecord[] | undefined, code: KmsErrorCode | 'ok' = 'ok') {
      const batch: BatchRecord | undefined = uses && { uses }
      spans.emit({
        type: 'provider_call',
        provider: 'vault-prod',
        operation: 'wrap',
        items: uses?.length ?? 1,
        code,
        durationMs: 2.5,
        batch,
      })
    },
    ended(record: RequestRecord | undefined, code: KmsErrorCode | 'ok' = 'ok', change = {}) {
      spans.emit({
        type: 'request',
        endpoint: 'default',
        api: 'v2',
        method: 'Encrypt',
        uid: record?.uid,
        code,
        durationMs: 5,
        error: code === 'ok' ? undefined : new KmsError('PLANTED', { code }),
        record,
        ...change,
      })
    },
  }
}

const test = suite('observe/traces/spans', () => scene())

function finished(use: KeyUseRecord, durationMs: number, code: KmsErrorCode | 'ok' = 'ok'): void {
  use.durationMs = durationMs
  use.code = code
}

test('a request, its use of a key and its batch are one trace, whose id is the uid', async ({
  clock,
  record,
  use,
  called,
  ended,
  made,
}) => {
  await clock.advance(1_000)
  const request = record(UIDS[0])
  const wrap = use(request)
  await clock.advance(4)
  called([wrap])
  finished(wrap, 4)
  await clock.advance(0.25)
  ended(request, 'ok', { keyIdHash: 'sha256:abc' })

  const [batch, server, child, ...more] = made()
  assert.equal(more, [])
  assert.equal(
    [batch, server, child].map((span) => span?.traceId),
    Array(3).fill(TRACES[0]),
  )
  assert.equal(
    [server, child, batch].map((span) => [span?.name, span?.kind, span?.flags, span?.status]),
    [
      ['v2.KeyManagementService/Encrypt', 2, 0x101, undefined],
      ['wrap vault-prod', 1, 0x101, undefined],
      ['batch wrap vault-prod', 3, 0x101, undefined],
    ],
  )
  assert.is(server?.parentSpanId, undefined)
  assert.is(child?.parentSpanId, server?.spanId)
  assert.is(batch?.parentSpanId, child?.spanId)
  assert.is(new Set([server, child, batch].map((span) => span?.spanId)).size, 3)
  const at = (micros: number) => String(EPOCH * 1_000_000n + BigInt(micros) * 1_000n)
  assert.equal(
    [server, child, batch].map((span) => [span?.startTimeUnixNano, span?.endTimeUnixNano]),
    [
      [at(999_250), at(1_004_250)],
      [at(1_000_000), at(1_004_000)],
      [at(1_001_500), at(1_004_000)],
    ],
  )
  assert.equal(attributesOf(server ?? {}), {
    'rpc.system.name': 'grpc',
    'rpc.method': 'v2.KeyManagementService/Encrypt',
    'rpc.response.status_code': 'status of ok',
    'trousseau.endpoint': 'default',
    'trousseau.uid': UIDS[0],
    'trousseau.key_id_hash': 'sha256:abc',
    'trousseau.code': 'ok',
  })
  const common = { 'trousseau.provider': 'vault-prod', 'trousseau.operation': 'wrap' }
  assert.equal(attributesOf(child ?? {}), { ...common, 'trousseau.code': 'ok' })
  assert.equal(attributesOf(batch ?? {}), {
    ...common,
    'trousseau.code': 'ok',
    'trousseau.items': '1',
  })
})

test('the wall clock may jump while a request is under way: its spans stay together', async ({
  clock,
  record,
  use,
  called,
  ended,
  made,
}) => {
  const request = record(UIDS[0])
  const wrap = use(request)
  await clock.advance(3)
  called([wrap])
  finished(wrap, 3)
  clock.wallOffset -= 3_600_000
  ended(request)

  const [batch, , child] = made()
  assert.is(child?.endTimeUnixNano, batch?.endTimeUnixNano)
})

test('a batch of several requests is in the trace of the first, with links to the others', ({
  record,
  use,
  called,
  ended,
  made,
}) => {
  const requests = [record(UIDS[0]), record(UIDS[1]), record(undefined)]
  const uses = requests.map((request) => use(request))
  called(uses)
  for (const each of uses) finished(each, 1)
  for (const request of requests) ended(request)

  const [batch, ...others] = made()
  const children = others.filter(({ kind }) => kind === 1)
  assert.is(children.length, 3)
  assert.is(new Set(children.map(({ traceId }) => traceId)).size, 3)
  assert.is(batch?.traceId, TRACES[0])
  assert.is(batch?.parentSpanId, children[0]?.spanId)
  assert.equal(
    batch?.links,
    children.slice(1).map(({ traceId, spanId }) => ({ traceId, spanId, flags: 0x101 })),
  )
  assert.is(attributesOf(batch ?? {})['trousseau.items'], '3')
})

test('a request that gave up ends its use with it, and the batch that comes later finds both', async ({
  clock,
  record,
  use,
  called,
  ended,
  made,
}) => {
  const request = record(UIDS[0])
  const wrap = use(request)
  await clock.advance(5)
  ended(request, 'timeout')
  await clock.advance(100)
  called([wrap], 'timeout')

  const [server, child, batch] = made()
  assert.equal([server?.status, child?.status, batch?.status], Array(3).fill({ code: 2 }))
  assert.is(attributesOf(child ?? {})['error.type'], 'timeout')
  assert.is(child?.endTimeUnixNano, server?.endTimeUnixNano)
  assert.is(batch?.parentSpanId, child?.spanId)
  assert.is(batch?.traceId, TRACES[0])
})

test('a use that a faster one made needless is cancelled and no error', ({
  record,
  use,
  ended,
  made,
}) => {
  const request = record(UIDS[0])
  finished(use(request), 1)
  finished(use(request, { provider: 'slow' }), 1, 'cancelled')
  use(request, { provider: 'slower' })
  ended(request)

  const [, , slow, slower] = made()
  for (const each of [slow, slower]) {
    assert.is(each?.status, undefined)
    assert.is(attributesOf(each ?? {})['trousseau.code'], 'cancelled')
  }
})

for (const [code, failed] of [
  ['unavailable', true],
  ['denied', true],
  ['policy_denied', true],
  ['internal', true],
  ['cancelled', false],
  ['request_invalid', false],
  ['ciphertext_invalid', false],
] as const) {
  test(`a request that ends in ${code} is ${failed ? 'an' : 'no'} error of the server`, ({
    record,
    ended,
    made,
    texts,
  }) => {
    ended(record(UIDS[0]), code)

    const [server] = made()
    assert.equal(server?.status, failed ? { code: 2 } : undefined)
    const { 'error.type': type, 'rpc.response.status_code': status } = attributesOf(server ?? {})
    assert.equal([type, status], [failed ? code : undefined, `status of ${code}`])
    assert.not.match(texts.join(), 'PLANTED')
  })
}

test('a traceparent gives trace and parent, and its flag decides', ({
  record,
  use,
  called,
  ended,
  made,
}) => {
  const request = record(UIDS[0], `00-${CALLER}-${CALLERS_SPAN}-01`)
  const wrap = use(request)
  called([wrap])
  ended(request)

  const [batch, server, child] = made()
  assert.equal(
    [batch, server, child].map((span) => span?.traceId),
    Array(3).fill(CALLER),
  )
  assert.equal([server?.parentSpanId, server?.flags], [CALLERS_SPAN, 0x301])
  assert.is(child?.flags, 0x101)
  assert.is(attributesOf(server ?? {})['trousseau.uid'], UIDS[0])
})

test('a caller that does not sample is not traced, one that does is at ratio 0', () => {
  const unwanted = scene(1)
  const request = unwanted.record(UIDS[0], `00-${CALLER}-${CALLERS_SPAN}-00`)
  unwanted.called([unwanted.use(request)])
  unwanted.ended(request)
  assert.equal(unwanted.made(), [])

  const wanted = scene(0)
  wanted.ended(wanted.record(UIDS[0], `00-${CALLER}-${CALLERS_SPAN}-01`))
  wanted.ended(wanted.record(UIDS[1]))
  assert.equal(
    wanted.made().map(({ traceId }) => traceId),
    [CALLER],
  )
})

test('a broken traceparent counts as none', ({ record, ended, made }) => {
  ended(record(UIDS[0], `00-${CALLER}-${'0'.repeat(16)}-01`))

  assert.equal([made()[0]?.traceId, made()[0]?.parentSpanId], [TRACES[0], undefined])
})

test('a batch hangs below the first request that is traced, and links to no other kind', ({
  record,
  use,
  called,
  made,
}) => {
  const [left, first, second] = [
    record(undefined, `00-${CALLER}-${CALLERS_SPAN}-00`),
    record(UIDS[0]),
    record(UIDS[1]),
  ]
  called([left, first, second].map((request) => use(request)))

  const [batch] = made()
  assert.is(batch?.traceId, TRACES[0])
  assert.equal(
    batch?.links?.map(({ traceId }) => traceId),
    [TRACES[1]],
  )
})

test('what no request waits for, a Status and a request without record make no span', ({
  record,
  called,
  ended,
  made,
}) => {
  called(undefined)
  called([])
  ended(record(undefined), 'ok', { method: 'Status' })
  ended(record(undefined), 'ok', { method: 'Version', api: 'v1beta1' })
  ended(undefined)

  assert.equal(made(), [])
})

test('a request without a uid has a random trace', ({ record, ended, made }) => {
  ended(record(undefined), 'ok', { api: 'v1beta1', method: 'Decrypt' })
  ended(record('not a UUID'), 'ok', { uid: 'not?a?UUID' })

  const [old, odd] = made()
  assert.is(old?.name, 'v1beta1.KeyManagementService/Decrypt')
  assert.match(old?.traceId ?? '', /^(?:01|02){16}$/)
  assert.is.not(odd?.traceId, old?.traceId)
  assert.is(attributesOf(odd ?? {})['trousseau.uid'], 'not?a?UUID')
})

test('rules that did not pass are events of the request', ({ record, ended, made }) => {
  const request = record(UIDS[0])
  request.decisions.push({
    rule: 'lockdown',
    mode: 'audit',
    outcome: 'would_refuse',
    operation: 'encrypt',
    provider: 'vault-prod',
  })
  ended(request)

  const [server] = made()
  assert.equal(
    server?.events?.map((event) => [event.timeUnixNano, event.name, attributesOf(event)]),
    [
      [
        server?.startTimeUnixNano,
        'policy',
        {
          'trousseau.rule': 'lockdown',
          'trousseau.mode': 'audit',
          'trousseau.outcome': 'would_refuse',
          'trousseau.operation': 'encrypt',
          'trousseau.provider': 'vault-prod',
        },
      ],
    ],
  )
})

test('a span has at most 128 links and events, and says how many more there were', ({
  record,
  use,
  called,
  ended,
  made,
}) => {
  const request = record(UIDS[0])
  const decision = { rule: 'r', mode: 'audit', outcome: 'undecided', provider: 'p' } as const
  for (let times = 0; times < 130; times += 1) {
    request.decisions.push({ ...decision, operation: 'encrypt' })
  }
  called(Array.from({ length: 140 }, () => use(record(undefined))))
  ended(request)

  const [batch, server] = made()
  assert.equal([batch?.links?.length, batch?.droppedLinksCount], [128, 11])
  assert.equal([server?.events?.length, server?.droppedEventsCount], [128, 2])
})

test('foreign text comes out as JSON', ({ record, ended, body }) => {
  ended(record(UIDS[0]), 'ok', { endpoint: '"}]\u2028\ud800' })

  assert.ok(v.is(exported, JSON.parse(body())))
})

test.run()
