import { spawn } from 'node:child_process'
import process from 'node:process'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import * as assert from 'uvu/assert'
import { KMS_ERROR_CODES, KmsError } from '../../src/base/errors.ts'
import type { KmsEvent } from '../../src/base/events.ts'
import { METRICS, type MetricName, mostSeriesOf } from '../../src/observe/metric_table.ts'
import { createMetrics } from '../../src/observe/metrics.ts'
import { suite } from '../_lib/uvu.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const NOW = 1_800_000_000_000
const test = suite('observe/metrics', () => {
  const metrics = createMetrics({ version: '1.2.3', runtime: 'node 26', now: () => NOW })
  return {
    emit: (event: KmsEvent) => metrics.sink.emit(event),
    text: () => metrics.text(),
    series: async () => parse(await metrics.text()),
  }
})

/** Every sample by its name with labels; fails on a line that is neither sample nor comment. */
function parse(text: string): Map<string, string> {
  const samples = new Map<string, string>()
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('# HELP ') || line.startsWith('# TYPE ')) continue
    const match = /^([a-z_:][\w:]*(?:\{[^{}]*\})?) (\S+)$/i.exec(line)
    assert.ok(match, `not a sample: ${line}`)
    samples.set(match?.[1] ?? '', match?.[2] ?? '')
  }
  return samples
}

const REQUEST: KmsEvent = {
  type: 'request',
  api: 'v2',
  method: 'Encrypt',
  code: 'ok',
  durationMs: 0.3,
}

test('known methods stand at 0 before the first request', async ({ series }) => {
  const samples = await series()

  for (const [api, method] of [
    ['v2', 'Status'],
    ['v2', 'Decrypt'],
    ['v1beta1', 'Version'],
  ]) {
    const name = `trousseau_requests_total{endpoint="default",api="${api}",method="${method}",code="ok"}`
    assert.is(samples.get(name), '0')
  }
})

test('requests count by api, method and code, with buckets from 0.25 ms to 10 s', async ({
  emit,
  series,
}) => {
  emit(REQUEST)
  emit({ ...REQUEST, code: 'timeout', durationMs: 2_500 })

  const samples = await series()
  const labels = 'endpoint="default",api="v2",method="Encrypt"'
  assert.is(samples.get(`trousseau_requests_total{${labels},code="ok"}`), '1')
  assert.is(samples.get(`trousseau_requests_total{${labels},code="timeout"}`), '1')
  const bucket = (le: string) =>
    samples.get(`trousseau_request_duration_seconds_bucket{le="${le}",${labels}}`)
  assert.equal(
    [bucket('0.00025'), bucket('0.0005'), bucket('2.5'), bucket('10')],
    ['0', '1', '2', '2'],
  )
})

test('every metric of the table is there, as soon as something happened, and no other', async ({
  emit,
  text,
}) => {
  for (const event of ALL) emit(event)

  const found = [...(await text()).matchAll(/^# TYPE trousseau_(\w+) (\w+)$/gm)]
  const table = Object.entries(METRICS).map(([name, { kind }]) => [name, kind] as const)
  assert.equal(new Map(found.map(([, name, kind]) => [name, kind])), new Map(table))
  const samples = [...parse(await text()).keys()]
  for (const name of Object.keys(METRICS)) {
    const of = samples.filter((sample) =>
      new RegExp(`^trousseau_${name}(?:_bucket)?\\b`).test(sample),
    )
    if ('deno' in process.versions && name === 'event_loop_delay_seconds') continue
    assert.ok(of.length > 0, name)
  }
})

test('a signer has its series from its first look on, and one key that signs', async ({
  emit,
  series,
}) => {
  const named = (kid: string) => `trousseau_signer_key_info{kid="${kid}",version="1"}`
  assert.not.ok((await series()).has('trousseau_signer_healthy'))
  emit(SIGNER)
  const samples = await series()
  assert.is(samples.get('trousseau_signer_healthy'), '1')
  assert.is(samples.get(named('one')), '1')
  assert.is(samples.get('trousseau_signer_published_keys'), '2')
  assert.is(samples.get('trousseau_signer_keys_read_timestamp_seconds'), '1700000000')
  emit({ ...SIGNER, ok: false, kid: 'two' })
  const later = await series()
  assert.is(later.get('trousseau_signer_healthy'), '0')
  assert.is(later.get(named('two')), '1')
  assert.not.ok(later.has(named('one')))
})

test('whatever comes from outside, no metric has more series than its labels allow', async ({
  emit,
  text,
}) => {
  const hostile = ['planted', '"} 1\n', '\\', '\u202e', 'x'.repeat(5_000)]
  for (let turn = 0; turn < 2_000; turn += 1) {
    const foreign = `${hostile[turn % hostile.length]}${turn}`
    emit({ ...REQUEST, uid: foreign, keyIdHash: foreign, code: KMS_ERROR_CODES[turn % 14] ?? 'ok' })
    emit({ ...health(foreign, foreign, `${foreign} next`), why: foreign })
    const message = foreign
    emit({
      type: 'notice',
      level: 'warn',
      what: 'config_refused',
      message,
      error: new Error(foreign),
    })
    emit({
      type: 'provider_call',
      provider: 'p',
      operation: 'wrap',
      items: turn,
      code: 'ok',
      durationMs: turn,
    })
  }

  const bySeries = new Map<string, number>()
  for (const sample of parse(await text()).keys()) {
    const name = /^trousseau_(\w+?)(?:_bucket|_sum|_count)?(?:\{|$)/.exec(sample)?.[1] ?? ''
    if (name in METRICS) bySeries.set(name, (bySeries.get(name) ?? 0) + 1)
  }
  assert.ok(bySeries.size > 15)
  for (const [name, series] of bySeries) {
    const most = mostSeriesOf(name as MetricName, { endpoints: 1, providers: 1 })
    assert.ok(series <= most, `${name} has ${series} series, at most ${most} are allowed`)
  }
})

test('an item that is spared, a provider that is asked too, and how many go together are told', async ({
  emit,
  series,
}) => {
  const call = { type: 'provider_call', provider: 'p', code: 'ok', durationMs: 1 } as const
  emit({ ...call, operation: 'unwrap', items: 3 })
  emit({ ...call, operation: 'key_state', items: 1 })
  const begun = await series()
  assert.is(begun.get('trousseau_coalesced_items_total{provider="p"}'), '0')
  assert.is(begun.get('trousseau_hedged_requests_total{provider="p",reason="slow"}'), '0')
  emit({ type: 'coalesced', provider: 'p' })
  emit({ type: 'hedge', provider: 'p', reason: 'slow' })

  const samples = await series()
  assert.is(samples.get('trousseau_coalesced_items_total{provider="p"}'), '1')
  assert.is(samples.get('trousseau_hedged_requests_total{provider="p",reason="slow"}'), '1')
  assert.is(samples.get('trousseau_hedged_requests_total{provider="p",reason="failed"}'), '0')
  const bucket = (le: string, operation: string) =>
    samples.get(
      `trousseau_provider_batch_items_bucket{le="${le}",provider="p",operation="${operation}"}`,
    )
  assert.equal([bucket('2', 'unwrap'), bucket('4', 'unwrap')], ['0', '1'])
  assert.is(bucket('1', 'key_state'), undefined)
})

test('a reload counts by its result, and a refused one shows until it is mended', async ({
  emit,
  series,
}) => {
  const told = async () => {
    const samples = await series()
    const total = (result: string) =>
      samples.get(`trousseau_config_reloads_total{result="${result}"}`)
    const last = samples.get('trousseau_config_last_reload_successful')
    return [total('applied'), total('refused'), total('unchanged'), last]
  }
  const notice = { type: 'notice', level: 'info', message: '', fields: { file: 'f' } } as const
  assert.equal(await told(), ['0', '0', '0', '1'])
  emit({ ...notice, what: 'config_refused' })
  assert.equal(await told(), ['0', '1', '0', '0'])
  emit({ ...notice, what: 'config_unchanged' })
  assert.equal(await told(), ['0', '1', '1', '1'])
  emit({ ...notice, what: 'config_reloaded' })
  assert.equal(await told(), ['1', '1', '1', '1'])
})

test('the time that the active key version was made is told, where the service tells it', async ({
  emit,
  series,
}) => {
  const named = 'trousseau_key_version_created_timestamp_seconds{provider="p",version="2"}'
  const made = (createdAt: number) => {
    const event = health('2', 'two')
    const keyVersions = [
      { label: '1', createdAt: 5 },
      { label: '2', createdAt },
    ]
    emit({ ...event, providers: event.providers.map((each) => ({ ...each, keyVersions })) })
  }
  made(1_700_000_000)
  assert.is((await series()).get(named), '1700000000')
  made(0)
  assert.not.ok((await series()).has(named))
})

test('lines that the log left out count by what became of them', async ({ emit, series }) => {
  emit({ type: 'log_loss', fate: 'held', lines: 2 })
  emit({ type: 'log_loss', fate: 'dropped', lines: 7 })

  const samples = await series()
  assert.is(samples.get('trousseau_log_lines_lost_total{fate="held"}'), '2')
  assert.is(samples.get('trousseau_log_lines_lost_total{fate="dropped"}'), '7')
})

test('audit records count by whether they were written, from the begin of the stream on', async ({
  emit,
  series,
}) => {
  const names = ['written', 'lost'].map(
    (each) => `trousseau_audit_records_total{outcome="${each}"}`,
  )
  const shown = async () => {
    const samples = await series()
    return names.map((name) => samples.get(name))
  }
  assert.equal(await shown(), [undefined, undefined])

  emit({ type: 'audit_records', outcome: 'written', records: 0 })
  assert.equal(await shown(), ['0', '0'])

  emit({ type: 'audit_records', outcome: 'written', records: 7 })
  emit({ type: 'audit_records', outcome: 'lost', records: 2 })
  assert.equal(await shown(), ['7', '2'])
})

test('provider calls count with their items', async ({ emit, series }) => {
  emit({
    type: 'provider_call',
    provider: 'p',
    operation: 'wrap',
    items: 7,
    code: 'ok',
    durationMs: 1,
  })

  const samples = await series()
  assert.is(samples.get('trousseau_provider_items_total{provider="p",operation="wrap"}'), '7')
  assert.is(
    samples.get('trousseau_provider_calls_total{provider="p",operation="wrap",code="ok"}'),
    '1',
  )
})

function health(
  activeVersion: string,
  keyId: string,
  pending?: string,
): Extract<KmsEvent, { type: 'health' }> {
  return {
    type: 'health',
    state: 'held',
    previous: 'ok',
    keyId,
    holdLeftMs: 60_000,
    providers: [
      {
        name: 'p',
        id: 'vault:t/k',
        type: 'vault',
        ok: false,
        activeVersion,
        pendingVersion: pending,
        switchAt: pending === undefined ? undefined : NOW + 5_000,
        versions: 2,
        keyVersions: [{ label: activeVersion, createdAt: 5 }],
      },
    ],
  }
}

const NOTICE = { type: 'notice', level: 'info', message: '' } as const
/** Something of each kind. */
const SIGNER = {
  type: 'signer',
  ok: true,
  kid: 'one',
  version: '1',
  algorithm: 'ES256',
  pendingVersion: undefined,
  switchAt: undefined,
  published: 2,
  readAt: 1_700_000_000_000,
  changed: true,
} as const

const ALL: readonly KmsEvent[] = [
  SIGNER,
  { type: 'trace_spans', outcome: 'sent', spans: 1 },
  REQUEST,
  { type: 'audit_records', outcome: 'written', records: 1 },
  { type: 'provider_call', provider: 'p', operation: 'wrap', items: 1, code: 'ok', durationMs: 1 },
  { ...health('1', 'one', '2'), degradedSince: NOW, state: 'ok' },
  {
    type: 'token',
    provider: 'p',
    action: 'login',
    method: 'approle',
    code: 'ok',
    ttlSeconds: 60,
  },
  { type: 'certificate', provider: 'p', kind: 'server', notAfter: NOW, near: false },
  { ...NOTICE, what: 'config_reloaded', fields: { file: 'f' } },
  {
    type: 'policy',
    rule: 'lockdown',
    mode: 'enforce',
    outcome: 'refused',
    operation: 'encrypt',
    provider: 'vault',
    message: 'the kernel is open',
  },
  {
    type: 'policy_state',
    rules: [{ name: 'lockdown', mode: 'enforce', guards: ['encrypt'], state: 'refuses' }],
    waiver: { id: 'w-1', who: 'A. Person', why: 'kernel update', until: NOW },
  },
]

test('health shows state, hold and version; series of what is gone go too', async ({
  emit,
  series,
}) => {
  emit(health('1', 'one', '2'))
  emit(health('2', 'two'))

  const samples = await series()
  assert.is(samples.get('trousseau_health_state{endpoint="default",state="held"}'), '1')
  assert.is(samples.get('trousseau_health_state{endpoint="default",state="ok"}'), '0')
  assert.is(samples.get('trousseau_hold_left_seconds{endpoint="default"}'), '60')
  assert.is(samples.get('trousseau_provider_healthy{provider="p"}'), '0')
  const starting = (prefix: string) => [...samples.keys()].filter((name) => name.startsWith(prefix))
  assert.equal(starting('trousseau_key_version_info'), [
    'trousseau_key_version_info{provider="p",version="2"}',
  ])
  assert.is(starting('trousseau_key_id_info').length, 1)
  assert.equal(starting('trousseau_key_version_switch_timestamp_seconds'), [])
})

test('endpoints stand side by side', async ({ emit, series }) => {
  emit({ ...health('1', 'one'), endpoint: 'one', state: 'degraded', degradedSince: NOW })
  emit({ ...health('1', 'two'), endpoint: 'two', state: 'ok' })

  const samples = await series()
  assert.is(samples.get('trousseau_health_state{endpoint="one",state="degraded"}'), '1')
  assert.is(samples.get('trousseau_health_state{endpoint="two",state="ok"}'), '1')
  assert.is([...samples.keys()].filter((name) => name.includes('key_id_info')).length, 2)
  assert.is(
    samples.get('trousseau_degraded_since_timestamp_seconds{endpoint="one"}'),
    String(NOW / 1000),
  )
  assert.not.ok(samples.has('trousseau_degraded_since_timestamp_seconds{endpoint="two"}'))
})

test('nothing foreign becomes a label, and a version is escaped', async ({ emit, text }) => {
  const error = new KmsError('planted', { code: 'denied', cause: new Error('planted') })
  emit({ ...REQUEST, uid: 'planted', keyIdHash: 'planted', code: 'denied', error })
  emit({ type: 'token', provider: 'p', action: 'renew', method: 'm', code: 'denied', error })
  emit({ type: 'notice', level: 'error', what: 'socket_lost', message: 'planted', error })
  emit({ ...health('1"\n\\', 'planted'), error })

  assert.not.match(await text(), /planted/)
  assert.ok((await text()).includes('{provider="p",version="1\\"\\n\\\\"} 1\n'))
})

test('ten thousand requests make no more series than one', async ({ emit, series }) => {
  emit(REQUEST)
  const before = (await series()).size

  for (let index = 0; index < 10_000; index += 1) emit({ ...REQUEST, uid: `u${index}` })

  assert.is((await series()).size, before)
})

test('the expiry of a token is its time, and absent for one that does not expire', async ({
  emit,
  series,
}) => {
  const login = {
    type: 'token',
    provider: 'p',
    action: 'login',
    method: 'approle',
    code: 'ok',
  } as const
  const name = 'trousseau_token_expiry_timestamp_seconds{provider="p"}'

  emit({ ...login, ttlSeconds: 3_600 })
  assert.is((await series()).get(name), String(NOW / 1000 + 3_600))
  emit({ ...login, ttlSeconds: 0 })
  assert.not.ok((await series()).has(name))
})

test('build info and process metrics are there', async ({ series }) => {
  const samples = await series()

  assert.is(samples.get('trousseau_build_info{version="1.2.3",runtime="node 26"}'), '1')
  assert.ok(Number(samples.get('process_resident_memory_bytes')) > 1_000_000)
  assert.ok(Number(samples.get('process_open_fds')) > 0)
})

if ('deno' in process.versions) {
  test('where /proc is closed, memory is told and nothing stands at a false 0', async () => {
    const metrics = new URL('../../src/observe/metrics.ts', import.meta.url).href
    const code = `import { createMetrics } from '${metrics}'
      const { text } = createMetrics({ version: '1', runtime: 'deno', now: () => 0 })
      console.log(await text())`
    const rights = ['--no-prompt', '--allow-env', '--allow-sys', '--allow-read=src,node_modules']
    const child = spawn(process.execPath, ['run', ...rights, '-'], { cwd: ROOT })
    child.stdin.end(code)

    const samples = parse((await text(child.stdout)).trim())

    assert.ok(Number(samples.get('process_resident_memory_bytes')) > 1_000_000)
    assert.not.ok(samples.has('process_open_fds'))
    assert.not.ok(samples.has('process_virtual_memory_bytes'))
  })
}

test('spans are counted by what became of them, and absent where nothing is traced', async ({
  emit,
  series,
}) => {
  const name = (outcome: string) => `trousseau_trace_spans_total{outcome="${outcome}"}`
  assert.not((await series()).has(name('sent')))
  for (const spans of [0, 3, 4]) emit({ type: 'trace_spans', outcome: 'sent', spans })
  emit({ type: 'trace_spans', outcome: 'dropped', spans: 0 })

  const samples = await series()
  assert.equal([samples.get(name('sent')), samples.get(name('dropped'))], ['7', '0'])
})

test.run()
