/** Traces of the bundle, as the OpenTelemetry Collector understands them, or while it is away. @module */

import { Buffer } from 'node:buffer'
import { randomBytes, randomUUID } from 'node:crypto'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { Client, credentials, Metadata } from '@grpc/grpc-js'
import * as assert from 'uvu/assert'
import { EncryptRequestSchema, EncryptResponseSchema } from '../../src/grpc/v2_pb.ts'
import { freePort } from '../_lib/free_port.ts'
import { attributesOf, type OtlpSpan } from '../_lib/observe/otlp.ts'
import { startOtlpCollector } from '../_lib/observe/otlp_collector.ts'
import { adminPage } from '../_lib/plugin/admin_page.ts'
import { begunModules } from '../_lib/plugin/begun.ts'
import { serves, startLocalPlugin } from '../_lib/plugin/local_plugin.ts'
import { RUNTIMES, startWellPlugin } from '../_lib/plugin/process.ts'
import { startOpenBao } from '../_lib/services/vault/openbao.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const AT_ONCE = 64
/** The clock of the epoch has whole milliseconds, and may be corrected. */
const CLOCK_MS = 50
const CALLER = '0af7651916cd43dd8448eb211c80319c'
const CALLERS_SPAN = 'b7ad6b7169203331'
const [SERVER, INTERNAL, CLIENT] = [2, 1, 3]

const test = suite('e2e/traces', () => ({}))

function traceOf(uid: string): string {
  return uid.replaceAll('-', '')
}

/** Uses are below their requests, and each is carried by one batch, as its parent or by a link. */
function checkTree(spans: readonly OtlpSpan[]): void {
  const byId = new Map(spans.map((span) => [span.spanId, span]))
  assert.is(byId.size, spans.length)
  const uses = spans.filter(({ kind }) => kind === INTERNAL)
  for (const use of uses) {
    const server = byId.get(use.parentSpanId ?? '')
    assert.equal([server?.kind, server?.traceId], [SERVER, use.traceId])
  }
  const batches = spans.filter(({ kind }) => kind === CLIENT)
  assert.ok(batches.length < uses.length, 'some carried several')
  const carried = batches.flatMap((batch) => {
    const { traceId, parentSpanId = '', links = [] } = batch
    assert.is(byId.get(parentSpanId)?.traceId, traceId)
    for (const link of links) assert.is(byId.get(link.spanId)?.traceId, link.traceId)
    assert.is(Number(attributesOf(batch)['trousseau.items']), 1 + links.length)
    return [parentSpanId, ...links.map(({ spanId }) => spanId)]
  })
  assert.is(carried.length, uses.length)
  assert.equal(new Set(carried), new Set(uses.map(({ spanId }) => spanId)))
}

function checkTimes(span: OtlpSpan, began: bigint, ended: bigint): void {
  const [start, end] = [BigInt(span.startTimeUnixNano), BigInt(span.endTimeUnixNano)]
  assert.ok(began <= start && start <= end && end <= ended, JSON.stringify(span))
}

for (const runtime of RUNTIMES) {
  test(`on ${runtime} every request is a trace with its uid for an id, and a batch links those that it carried`, async () => {
    await using folder = await tempFolder()
    await using bao = await startOpenBao()
    await using collector = await startOtlpCollector()
    const transit = await bao.setupTransit({ folder: folder.path })
    await using plugin = await startWellPlugin({
      runtime,
      folder: folder.path,
      hosts: [bao.host, collector.address],
      config: {
        providers: [
          { name: 'vault-prod', type: 'vault', allowInsecureHttp: true, ...transit.provider },
        ],
        requestTimeout: '60s',
        traces: { endpoint: `http://${collector.address}` },
      },
    })
    const { v2 } = plugin.client
    const seeds = Array.from({ length: AT_ONCE }, () => randomBytes(32))
    const [uids, opened] = [seeds.map(() => randomUUID()), seeds.map(() => randomUUID())]
    const began = BigInt(Date.now() - CLOCK_MS) * 1_000_000n
    const made = await Promise.all(
      seeds.map((plaintext, at) => v2.encrypt({ plaintext, uid: uids[at] ?? '' })),
    )
    await Promise.all(made.map((each, at) => v2.decrypt({ ...each, uid: opened[at] ?? '' })))
    assert.is(await plugin.stop(), 0)
    const ended = BigInt(Date.now() + CLOCK_MS) * 1_000_000n

    const spans = collector.spans()
    const servers = spans.filter(({ kind }) => kind === SERVER)
    assert.equal(
      new Set(servers.map(({ traceId }) => traceId)),
      new Set([...uids, ...opened].map(traceOf)),
    )
    assert.is(servers.length, 2 * AT_ONCE)
    checkTree(spans)
    for (const span of spans) checkTimes(span, began, ended)
    const logged = plugin.events('request').map(({ uid }) => uid)
    for (const server of servers) {
      const { 'trousseau.uid': uid = '', 'rpc.response.status_code': status } = attributesOf(server)
      assert.is(status, 'OK')
      assert.is(traceOf(uid), server.traceId)
      assert.ok(logged.includes(uid), uid)
    }
    assert.equal(plugin.events('traces_failed'), [])
    assert.match(collector.text(), '"service.name","value":{"stringValue":"trousseau"}')
    for (const seed of seeds) {
      for (const form of ['base64', 'hex', 'latin1'] as const) {
        assert.not(collector.text().includes(seed.toString(form)))
      }
    }
  })
}

function encryptWith(socketPath: string, metadata: Metadata): Promise<Uint8Array> {
  const client = new Client(`unix:${socketPath}`, credentials.createInsecure(), {
    'grpc.default_authority': 'localhost',
  })
  return new Promise<Uint8Array>((resolve, reject) => {
    client.makeUnaryRequest(
      '/v2.KeyManagementService/Encrypt',
      (bytes: Uint8Array) => Buffer.from(bytes),
      (bytes: Buffer) => fromBinary(EncryptResponseSchema, bytes).ciphertext,
      toBinary(
        EncryptRequestSchema,
        create(EncryptRequestSchema, { plaintext: new Uint8Array(32), uid: randomUUID() }),
      ),
      metadata,
      (error, answer) => (error === null ? resolve(answer ?? new Uint8Array()) : reject(error)),
    )
  }).finally(() => client.close())
}

test('a traceparent that comes with a request is taken over', async () => {
  await using folder = await tempFolder()
  await using collector = await startOtlpCollector()
  const traces = { endpoint: `http://${collector.address}`, sampleRatio: 0 }
  await using plugin = await startLocalPlugin(folder, { config: { traces } })
  await serves(plugin)
  for (const flag of ['01', '00']) {
    const metadata = new Metadata()
    metadata.set('traceparent', `00-${CALLER}-${CALLERS_SPAN}-${flag}`)
    await encryptWith(plugin.socketPath, metadata)
  }
  await encryptWith(plugin.socketPath, new Metadata())
  assert.is(await plugin.stop(), 0)

  const spans = collector.spans()
  assert.equal(
    spans.map(({ traceId }) => traceId),
    Array(3).fill(CALLER),
  )
  const [server, ...more] = spans.filter(({ kind }) => kind === SERVER)
  assert.equal([server?.parentSpanId, more.length], [CALLERS_SPAN, 0])
})

test('while the collector is away requests are answered, it is told once, and the plugin ends', async () => {
  await using folder = await tempFolder()
  const traces = { endpoint: `http://127.0.0.1:${await freePort()}` }
  const admin = { listen: `unix://${folder.at('admin.sock')}` }
  await using plugin = await startLocalPlugin(folder, { config: { traces, admin } })
  await serves(plugin)
  const ask = () => plugin.client.v2.encrypt({ plaintext: new Uint8Array(32), uid: randomUUID() })
  await until('it was told', async () => {
    await ask()
    return plugin.events('traces_failed').length > 0
  })
  await ask()
  const page = await adminPage(folder.at('admin.sock'), '/metrics')
  assert.match(page, /^trousseau_trace_spans_total\{outcome="dropped"\} [1-9]/m)
  assert.match(page, 'trousseau_trace_spans_total{outcome="sent"} 0')
  assert.is(await plugin.stop(), 0)

  assert.equal(
    plugin.events('traces_failed').map(({ level }) => level),
    ['warn'],
  )
})

test('without traces nothing of them is loaded', async () => {
  const OURS = /^src\/(?:observe\/traces\/|plugin\/traces)/
  await using none = await tempFolder()
  assert.equal(
    (await begunModules(none, {})).filter((name) => OURS.test(name)),
    [],
  )

  await using some = await tempFolder()
  const traces = { endpoint: 'http://127.0.0.1:1' }
  const begun = await begunModules(some, { traces })
  assert.ok(begun.includes('src/plugin/traces.ts'), begun.join())
})

test.run()
