/**
 * The metrics of a whole plugin: they count what clients counted, and no client makes more series.
 *
 * @module
 */

import { randomBytes } from 'node:crypto'
import * as assert from 'uvu/assert'
import { METRICS, type MetricName, mostSeriesOf } from '../../src/observe/metric_table.ts'
import { metricSum } from '../_lib/cluster/metrics.ts'
import { adminPage } from '../_lib/plugin/admin_page.ts'
import { changeText, outcomeOf } from '../_lib/plugin/config_change.ts'
import { type Kind, KmsLoad } from '../_lib/plugin/kms_load.ts'
import { serves, startLocalPlugin } from '../_lib/plugin/local_plugin.ts'
import type { PluginProcess } from '../_lib/plugin/process.ts'
import { SeededRandom } from '../_lib/seeded_random.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const TRIED = 100
const HOSTILE = 400
const LABELS: Readonly<Record<Kind, { api: string; method: string }>> = {
  status: { api: 'v2', method: 'Status' },
  encrypt_v2: { api: 'v2', method: 'Encrypt' },
  encrypt_v1: { api: 'v1beta1', method: 'Encrypt' },
  decrypt_v2: { api: 'v2', method: 'Decrypt' },
  decrypt_v1: { api: 'v1beta1', method: 'Decrypt' },
}
const KINDS = Object.keys(LABELS) as Kind[]

const test = suite('e2e/metrics', () => ({}), 60_000)

async function startPlugin(folder: TempFolder): Promise<PluginProcess> {
  const plugin = await startLocalPlugin(folder, {
    config: { admin: { listen: `unix://${folder.at('admin.sock')}` } },
  })
  await serves(plugin)
  return plugin
}

function metricsOf(folder: TempFolder): Promise<string> {
  return adminPage(folder.at('admin.sock'), '/metrics')
}

test('after a load they agree with what its clients counted', async () => {
  await using folder = await tempFolder()
  await using plugin = await startPlugin(folder)
  const before = await metricsOf(folder)
  await using load = new KmsLoad(plugin.socketPath)
  await until('all was asked often', () => KINDS.every((kind) => load.of(kind).length >= TRIED))
  await load.stop()
  const after = await metricsOf(folder)

  assert.equal(load.wrong, [])
  const risen = (name: string, labels: Readonly<Record<string, string>>) =>
    metricSum(after, name, labels) - metricSum(before, name, labels)
  for (const kind of KINDS) {
    assert.equal(load.failures(kind), [])
    const asked = load.of(kind).length
    assert.is(risen('trousseau_requests_total', { ...LABELS[kind], code: 'ok' }), asked, kind)
    assert.is(risen('trousseau_request_duration_seconds_count', LABELS[kind]), asked, kind)
  }
  const wraps = load.of('encrypt_v1').length + load.of('encrypt_v2').length
  const unwraps = load.of('decrypt_v1').length + load.of('decrypt_v2').length
  const coalesced = risen('trousseau_coalesced_items_total', {})
  // The health loop may have made its own round trip meanwhile, which is an item of each.
  const items = (operation: string) => risen('trousseau_provider_items_total', { operation })
  assert.ok(items('wrap') >= wraps, `${items('wrap')} of ${wraps}`)
  assert.ok(items('unwrap') + coalesced >= unwraps)
  for (const operation of ['wrap', 'unwrap']) {
    assert.is(risen('trousseau_provider_batch_items_sum', { operation }), items(operation))
  }
})

/** Requests that nobody well-meaning sends; resolves to how many were refused. */
async function attack(plugin: PluginProcess): Promise<number> {
  const random = SeededRandom.announced('e2e/metrics')
  const { v2, v1 } = plugin.client
  let refused = 0
  for (let turn = 0; turn < HOSTILE; turn += 1) {
    const foreign = `planted-${turn}"} 1\n\u202e${'x'.repeat(random.below(200))}`
    const ciphertext = randomBytes(1 + random.below(300))
    const annotations = { [`planted-${turn}.example.org`]: randomBytes(8) }
    const sent =
      turn % 4 === 0
        ? v1.decrypt(ciphertext)
        : v2.decrypt({ ciphertext, uid: foreign, keyId: foreign, annotations })
    await sent.catch(() => {
      refused += 1
    })
  }
  return refused
}

test('under hostile requests no metric gets more series than the table allows, and lines that are held back are counted', async () => {
  await using folder = await tempFolder()
  await using plugin = await startPlugin(folder)

  assert.is(await attack(plugin), HOSTILE)
  const text = await metricsOf(folder)

  assert.not.match(text, 'planted')
  const count = new Map<string, number>()
  for (const line of text.split('\n')) {
    const name = /^trousseau_(\w+?)(?:_bucket|_sum|_count)?[{ ]/.exec(line)?.[1]
    if (name !== undefined && name in METRICS) count.set(name, (count.get(name) ?? 0) + 1)
  }
  assert.ok(count.size > 15)
  for (const [name, series] of count) {
    const most = mostSeriesOf(name as MetricName, { endpoints: 1, providers: 1 })
    assert.ok(series <= most, `${name} has ${series} series, at most ${most} are allowed`)
  }
  const failed = (code: string) => metricSum(text, 'trousseau_requests_total', { code })
  const all = metricSum(text, 'trousseau_requests_total', { method: 'Decrypt' })
  assert.is(all, HOSTILE)
  assert.is(failed('ok') - metricSum(text, 'trousseau_requests_total', { method: 'Status' }), 0)
  const held = metricSum(text, 'trousseau_log_lines_lost_total', { fate: 'held' })
  const lines = () => plugin.events('request').filter(({ level }) => level === 'warn').length
  await until('what is not held back is in the log', () => lines() + held === HOSTILE)
  assert.ok(held > 0)
})

test('a refused config shows until it is mended', async () => {
  await using folder = await tempFolder()
  await using plugin = await startPlugin(folder)
  const last = async () =>
    metricSum(await metricsOf(folder), 'trousseau_config_last_reload_successful')
  assert.is(await last(), 1)

  await outcomeOf(plugin, 'config_refused', () => changeText(plugin, 'nonsense'))

  assert.is(await last(), 0)
  const text = await metricsOf(folder)
  assert.is(metricSum(text, 'trousseau_config_reloads_total', { result: 'refused' }), 1)
})

test.run()
