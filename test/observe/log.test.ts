import { spawn } from 'node:child_process'
import { once } from 'node:events'
import process from 'node:process'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import * as assert from 'uvu/assert'
import { KmsError } from '../../src/base/errors.ts'
import type { KmsEvent } from '../../src/base/events.ts'
import type { Notice } from '../../src/base/notices.ts'
import { createLogger } from '../../src/observe/log.ts'
import type { LogLevel } from '../../src/observe/log_entries.ts'
import { RecordedEvents } from '../_lib/events.ts'
import { suite } from '../_lib/uvu.ts'

const DENO = 'deno' in process.versions
const DROPPER = fileURLToPath(new URL('./log_dropper.ts', import.meta.url))
const WRITER = fileURLToPath(new URL('./log_writer.ts', import.meta.url))
const test = suite('observe/log', () => ({}))

function logOf(level: LogLevel, format: 'json' | 'text', events: readonly KmsEvent[]) {
  const lines: string[] = []
  let time = 0
  const log = createLogger({
    level,
    format,
    output: { write: (line) => lines.push(line) },
    monotonic: () => time,
  })
  for (const event of events) log.emit(event)
  return { lines, log, later: (ms: number) => (time += ms) }
}

const OK: KmsEvent = {
  type: 'request',
  api: 'v2',
  method: 'Encrypt',
  uid: 'abc',
  code: 'ok',
  durationMs: 1.23456,
  keyIdHash: 'sha256:00',
}
const FAILED: KmsEvent = {
  ...OK,
  code: 'unavailable',
  error: new KmsError('Gone', { code: 'unavailable', cause: new Error('planted-cause') }),
}

test('a request is one JSON line with its facts [E12]', () => {
  const { lines } = logOf('info', 'json', [OK])

  assert.is(lines.length, 1)
  const { time, ...entry } = JSON.parse(lines[0] ?? '')
  assert.match(time, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
  assert.equal(entry, {
    level: 'info',
    event: 'request',
    api: 'v2',
    method: 'Encrypt',
    uid: 'abc',
    code: 'ok',
    duration_ms: 1.235,
    key_id_hash: 'sha256:00',
    message: 'Encrypt answered',
  })
})

test('of several endpoints each line says which one it is about, and of a single one none does', () => {
  const events = ['default', 'team-a'].flatMap((endpoint): KmsEvent[] => [
    { ...OK, endpoint },
    { type: 'key_id', endpoint, keyId: 'b', previous: 'a' },
    { type: 'health', endpoint, state: 'ok', previous: 'starting', keyId: 'b', providers: [] },
  ])

  const { lines } = logOf('info', 'json', events)

  const told = lines.map((line) => JSON.parse(line).endpoint)
  assert.equal(told, [undefined, undefined, undefined, 'team-a', 'team-a', 'team-a'])
})

const LEVELS: readonly [string, KmsEvent, LogLevel][] = [
  ['a Status that is ok', { ...OK, method: 'Status' }, 'debug'],
  ['a failed request', FAILED, 'warn'],
  [
    'a fault of ours',
    { ...FAILED, code: 'internal', error: new KmsError('x', { code: 'internal' }) },
    'error',
  ],
  [
    'a call to a provider',
    {
      type: 'provider_call',
      provider: 'p',
      operation: 'wrap',
      items: 1,
      code: 'ok',
      durationMs: 1,
    },
    'debug',
  ],
  [
    'a login',
    {
      type: 'token',
      provider: 'p',
      action: 'login',
      method: 'approle',
      code: 'ok',
      ttlSeconds: 60,
    },
    'info',
  ],
  [
    'a failed login',
    {
      type: 'token',
      provider: 'p',
      action: 'login',
      method: 'approle',
      code: 'denied',
      error: new KmsError('No', { code: 'denied' }),
    },
    'warn',
  ],
  ['a new key id', { type: 'key_id', keyId: 'b', previous: 'a' }, 'info'],
  [
    'health that stays',
    { type: 'health', state: 'ok', previous: 'ok', keyId: 'a', providers: [] },
    'debug',
  ],
  [
    'health that comes',
    { type: 'health', state: 'ok', previous: 'held', keyId: 'a', providers: [] },
    'info',
  ],
  [
    'health that fails',
    {
      type: 'health',
      state: 'failed',
      previous: 'ok',
      keyId: undefined,
      error: new KmsError('No', { code: 'denied' }),
      providers: [],
    },
    'error',
  ],
]
for (const [what, event, level] of LEVELS) {
  test(`${what} is logged as ${level}`, () => {
    const { lines } = logOf('debug', 'json', [event])

    assert.is(JSON.parse(lines[0] ?? '').level, level)
  })
}

test('the level leaves out what is below it', () => {
  assert.is(logOf('warn', 'json', [OK]).lines.length, 0)
  assert.is(logOf('warn', 'json', [FAILED]).lines.length, 1)
})

test('what causes say stays out; their names and codes stay in', () => {
  const odd = Object.assign(new Error('planted'), { code: 'planted code', name: 'planted: name' })
  const cause = Object.assign(new Error('planted-cause', { cause: odd }), { code: 'ECONNREFUSED' })
  const error = new KmsError('Gone', { code: 'unavailable', cause })

  const { lines } = logOf('debug', 'json', [{ ...FAILED, error }])

  assert.not.match(lines.join(''), /planted/)
  assert.is(JSON.parse(lines[0] ?? '').causes, 'ECONNREFUSED < Error')
})

test('a fault of ours is logged with its places and without its words [F8]', () => {
  const error = new KmsError('Internal error', {
    code: 'internal',
    cause: new TypeError('planted-secret\n    planted-line\n    at planted (/place:1:1)'),
  })

  const { lines } = logOf('debug', 'json', [{ ...FAILED, code: 'internal', error }])

  assert.not.match(lines.join(''), /planted/)
  assert.match(JSON.parse(lines[0] ?? '').stack, /log\.test\.ts/)
})

test('text is one readable line, and foreign text writes no line or colour of its own', () => {
  const uid = 'a\n2026 ERROR forged \u001b[31mred \u009b31mred \u202eesrever \u2028 \u007f'
  const notice: Notice = { type: 'notice', level: 'warn', what: 'clock_skew', message: `é ${uid}` }

  const { lines } = logOf('info', 'text', [{ ...OK, uid }, notice])

  assert.match(lines[0] ?? '', /^[\d:.]{12} INFO {2}request {2}Encrypt answered api="v2"/)
  for (const line of lines) {
    assert.is(line.indexOf('\n'), line.length - 1)
    assert.not.match(line.slice(0, -1), /[\p{Cc}\p{Cf}\p{Zl}]/u)
  }
  assert.match(lines[1] ?? '', /é a\\u\{a\}2026/)
})

test('equal failures are held back after a few, and counted', () => {
  const { lines, log, later } = logOf(
    'info',
    'json',
    Array.from({ length: 1_000 }, () => FAILED),
  )
  assert.is(lines.length, 5)

  later(10_000)
  log.emit(FAILED)

  assert.is(lines.length, 6)
  assert.is(JSON.parse(lines[5] ?? '').suppressed, 995)
})

const AWAY: KmsEvent = {
  type: 'health',
  state: 'held',
  previous: 'ok',
  keyId: 'a',
  error: new KmsError('Refused', { code: 'unavailable' }),
  providers: [],
}

test('an outage is said when it starts, when its reason changes and when it ends', () => {
  const again: KmsEvent = { ...AWAY, previous: 'held' }
  const slow: KmsEvent = { ...again, error: new KmsError('Slow', { code: 'timeout' }) }
  const well: KmsEvent = { ...AWAY, state: 'ok', previous: 'held', error: undefined }

  const { lines } = logOf('info', 'json', [AWAY, again, again, slow, slow, well, AWAY])

  assert.equal(
    lines.map((line) => JSON.parse(line)).map(({ level, error_code }) => [level, error_code]),
    [
      ['warn', 'unavailable'],
      ['warn', 'timeout'],
      ['info', undefined],
      ['warn', 'unavailable'],
    ],
  )
})

test('an outage that a restart met is said too', () => {
  assert.is(logOf('info', 'json', [{ ...AWAY, previous: 'held' }]).lines.length, 1)
})

test('equal notices are held back after a few', () => {
  const notice: Notice = { type: 'notice', level: 'error', what: 'socket_lost', message: 'Again' }
  const other: Notice = { ...notice, message: 'Other' }

  const { lines } = logOf('info', 'json', [...Array.from({ length: 100 }, () => notice), other])

  assert.is(lines.length, 6)
})

test('good requests are never held back', () => {
  assert.is(
    logOf(
      'info',
      'json',
      Array.from({ length: 100 }, () => OK),
    ).lines.length,
    100,
  )
})

test('tellLosses() tells of lines that are held back, and of those that nobody took', () => {
  const events = new RecordedEvents()
  let drop: (lines: number) => void = () => undefined
  const written: string[] = []
  const log = createLogger({
    level: 'info',
    format: 'json',
    output: {
      write: (line) => written.push(line),
      onDrop(listener) {
        drop = listener
      },
    },
    monotonic: () => 0,
  })
  log.tellLosses(events)

  for (let turn = 0; turn < 12; turn += 1) log.emit(FAILED)
  drop(3)

  assert.is(written.length, 5)
  assert.is(events.of('log_loss').filter(({ fate }) => fate === 'held').length, 7)
  assert.equal(events.all.at(-1), { type: 'log_loss', fate: 'dropped', lines: 3 })
})

const LINES = 2_000

/** A process that writes twice so many lines, closes its log and exits; or exits at once. */
function writer({ lines = LINES, crashes = false } = {}) {
  const own = [WRITER, String(lines), ...(crashes ? ['crash'] : [])]
  const args = [...(DENO ? ['run', '--allow-all'] : []), ...own]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  return Object.assign(child, { [Symbol.dispose]: () => void child.kill('SIGKILL') })
}

test('standardError() loses no line at the end of the process', async () => {
  using child = writer()

  assert.is((await text(child.stderr)).split('\n').length - 1, 2 * LINES)
})

test('standardError() ends although its reader has gone', async () => {
  using child = writer()
  child.stderr.destroy()

  assert.equal(await once(child, 'exit'), [0, null])
})

if (!DENO) {
  test('standardError() tells how many lines it dropped for a reader that was stuck, and writes the others', async () => {
    const child = spawn(process.execPath, [DROPPER, String(LINES)])
    const said = createInterface(child.stdout)[Symbol.asyncIterator]()
    const { value: told = '' } = await said.next()
    const [written = 0, dropped = 0] = told.split(' ').map(Number)
    // It waits no longer for the reader, and still writes what it has when that is back.
    assert.is((await said.next()).value, 'closed')

    const read = (await text(child.stderr)).split('\n').length - 1

    assert.is(child.exitCode ?? (await once(child, 'exit'))[0], 0)
    assert.ok(dropped > 0)
    // The lines of the last moment were not yet given out when the number was told.
    assert.ok(read + dropped <= written, `${read} + ${dropped} of ${written}`)
    assert.ok(read + dropped >= written - LINES / 10, `${read} + ${dropped} of ${written}`)
  })

  // Deno 2.9 does not exit while a write of its own hangs, whatever the program does.
  test('standardError() ends although its reader is stuck', async () => {
    using child = writer()

    assert.equal(await once(child, 'exit'), [0, null])
  })

  test('a process that crashes ends too, and its last lines are there for who reads', async () => {
    using stuck = writer({ crashes: true })
    assert.equal(await once(stuck, 'exit'), [3, null])

    // As many as a pipe holds: for a reader without room it waits a second alone.
    const lines = 100
    using child = writer({ lines, crashes: true })
    assert.is((await text(child.stderr)).split('\n').length - 1, 2 * lines)
  })
}

test.run()
