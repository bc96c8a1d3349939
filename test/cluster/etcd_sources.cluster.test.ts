/**
 * Reads a real etcd and its files, and compares the results with those of etcd's own tools.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { execFile } from 'node:child_process'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { connectEtcd } from '../../src/tools/etcd/client.ts'
import { openRange } from '../../src/tools/etcd/range.ts'
import { openSnapshot } from '../../src/tools/etcd/snapshot.ts'
import type { ObjectSource } from '../../src/tools/etcd/source.ts'
import { etcdBinaries } from '../_lib/cluster/binaries.ts'
import { startEtcd } from '../_lib/cluster/etcd.ts'
import { figure } from '../_lib/figure.ts'
import { BUNDLE, NODE, NODE_FLAGS } from '../_lib/plugin/process.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { historyOf, writeHistory } from '../_lib/tools/etcd_history.ts'
import { etcdWriter } from '../_lib/tools/etcd_writer.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('cluster/etcd_sources', () => ({}), 300_000)

const MEGABYTE = 1024 * 1024
const LIMITS = { timeoutMs: 30_000, maxMessageBytes: 64 * MEGABYTE }
const NO_TLS = { ca: undefined, client: undefined, serverName: undefined }
const run = promisify(execFile)
const status = v.object({ revision: v.number() })

type Objects = [key: string, value: Buffer][]

async function objectsOf(source: ObjectSource): Promise<Objects> {
  const objects: Objects = []
  for await (const page of source.pages()) {
    for (const { key, value } of page)
      objects.push([Buffer.from(key).toString(), Buffer.from(value)])
  }
  assert.is(objects.length, source.count)
  return sorted(objects)
}

function sorted(objects: Iterable<[string, Buffer]>): Objects {
  return [...objects].toSorted(([a], [b]) => (a < b ? -1 : 1))
}

async function ofFile(file: string) {
  await using source = await openSnapshot(file, '/registry')
  return {
    objects: await objectsOf(source),
    revision: Number(source.revision),
    verified: source.verified,
  }
}

async function ofEtcd(endpoint: string) {
  await using etcd = connectEtcd({ endpoints: [endpoint], tls: NO_TLS, ...LIMITS })
  const source = await openRange(etcd, '/registry')
  return { objects: await objectsOf(source), revision: Number(source.revision) }
}

/** What etcd's own tool says of a file. */
async function judged(file: string) {
  const { etcdutl } = await etcdBinaries()
  const { stdout } = await run(etcdutl, ['snapshot', 'status', file, '-w', 'json'])
  return v.parse(status, JSON.parse(stdout))
}

test('a running etcd and its snapshots give what etcdctl gives: after many revisions, compaction, defragmentation, a stop, and when all is deleted', async () => {
  await using folder = await tempFolder()
  await using etcd = await startEtcd(folder.path)
  await using writer = etcdWriter(etcd.endpoint)
  let saved = 0
  const agree = async (what: string) => {
    saved += 1
    const file = folder.at(`${saved}.db`)
    await etcd.snapshot(file)
    const wanted = sorted(await etcd.read('/registry/'))
    const [live, stored] = [await ofEtcd(etcd.endpoint), await ofFile(file)]
    assert.equal(live.objects, wanted, `${what}: etcd`)
    assert.equal(stored.objects, wanted, `${what}: snapshot`)
    assert.ok(stored.verified, what)
    assert.is(stored.revision, live.revision, what)
    // Of a store without keys it says 0, or how far the last key that was there had come.
    if (wanted.length > 0) assert.is(stored.revision, (await judged(file)).revision, what)
    return wanted
  }
  assert.is((await agree('nothing yet')).length, 0)
  await writeHistory(writer)
  const written = await agree('a history')
  const { live, revision } = historyOf()
  assert.equal(written, sorted(live))
  await writer.compact(Math.floor(Number(revision) / 2))
  await agree('half compacted')
  await writer.compact(Number(revision))
  await agree('compacted')
  await writer.defragment()
  await agree('defragmented')

  await etcd.process.stop()
  const raw = await ofFile(join(etcd.dataDir, 'member', 'snap', 'db'))
  assert.equal(raw.objects, written)
  assert.not(raw.verified, 'a database has no checksum')
  await etcd.process.start()

  for (const [key] of written) await writer.delete(key)
  const end = (await ofEtcd(etcd.endpoint)).revision
  assert.is((await agree('deleted')).length, 0)
  await writer.compact(end)
  await writer.defragment()
  await agree('deleted and compacted')
})

test('a scan of 100,000 objects takes seconds and little memory, of etcd and of a snapshot', async () => {
  await using folder = await tempFolder()
  await using etcd = await startEtcd(folder.path)
  await using writer = etcdWriter(etcd.endpoint)
  const value = Buffer.concat([Buffer.from('k8s:enc:kms:v2:tr:'), Buffer.alloc(1_200, 1)])
  for (let first = 0; first < 100_000; first += 100) {
    const keys = Array.from(
      { length: 100 },
      (_, at) => `/registry/secrets/some-namespace/${first + at}`,
    )
    await writer.putTogether(keys.map((key): [string, Buffer] => [key, value]))
  }
  const file = folder.at('snapshot.db')
  await etcd.snapshot(file)
  const megabytes = Math.round((await stat(file)).size / MEGABYTE)
  for (const args of [
    ['--endpoints', etcd.endpoint],
    ['--snapshot', file],
  ]) {
    const { peakMegabytes, seconds, report } = await scanned(args)
    assert.is(report.objects, 100_000)
    figure(
      `scan ${args[0]}: 100,000 objects, ${megabytes} MB, in ${seconds} s; memory at most ${peakMegabytes} MB`,
    )
    assert.ok(peakMegabytes < 300, `${peakMegabytes} MB`)
  }
})

test('a snapshot far larger than the memory allowed is scanned all the same', async () => {
  await using folder = await tempFolder()
  await using etcd = await startEtcd(folder.path)
  await using writer = etcdWriter(etcd.endpoint)
  const value = Buffer.alloc(1_400_000, 'k8s\0')
  for (let at = 0; at < 400; at += 1) {
    value.writeUInt32LE(at, 4)
    await writer.put(`/registry/configmaps/default/${at % 300}`, value)
  }
  const file = folder.at('snapshot.db')
  await etcd.snapshot(file)
  const megabytes = Math.round((await stat(file)).size / MEGABYTE)
  const { peakMegabytes, seconds, report } = await scanned(
    ['--snapshot', file],
    ['--max-old-space-size=32'],
  )
  assert.is(report.objects, 300)
  figure(`scan --snapshot: ${megabytes} MB in ${seconds} s; memory at most ${peakMegabytes} MB`)
  assert.ok(peakMegabytes < megabytes / 2, `${peakMegabytes} MB of ${megabytes} MB`)
})

const scanReport = v.object({ objects: v.number() })
const TELL_PEAK = `process.on('exit', () => process.stderr.write('peak ' + process.resourceUsage().maxRSS))`

/** Of the bundle, as a process; never of the binary, which takes no flags of Node. */
async function scanned(args: readonly string[], flags: readonly string[] = []) {
  const hook = `data:text/javascript,${encodeURIComponent(TELL_PEAK)}`
  const start = performance.now()
  const shipped = [...NODE_FLAGS, ...flags, '--import', hook, BUNDLE]
  const { stdout, stderr } = await run(NODE, [...shipped, 'scan', '--json', ...args]).catch(
    // Something is damaged, as these values are.
    (error: unknown) => v.parse(v.object({ stdout: v.string(), stderr: v.string() }), error),
  )
  const seconds = ((performance.now() - start) / 1_000).toFixed(1)
  const peakMegabytes = Math.round(Number(/peak (\d+)$/.exec(stderr)?.[1]) / 1024)
  return { seconds, peakMegabytes, report: v.parse(scanReport, JSON.parse(stdout)) }
}

test.run()
