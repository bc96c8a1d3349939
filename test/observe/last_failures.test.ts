import * as assert from 'uvu/assert'
import { KMS_ERROR_CODES, KmsError } from '../../src/base/errors.ts'
import type { KmsEvent } from '../../src/base/events.ts'
import { REMEDIES } from '../../src/base/remedies.ts'
import { LastFailures } from '../../src/observe/last_failures.ts'
import { suite } from '../_lib/uvu.ts'

const NOON = Date.UTC(2026, 10, 23, 12)

const test = suite('observe/last_failures', () => {
  const clock = { now: NOON }
  const failures = new LastFailures(() => clock.now)
  const encrypt = (code: 'denied' | 'ok' | 'cancelled', message: string): KmsEvent => {
    const error = new KmsError(message, { code: 'denied', cause: new Error('planted') })
    return { type: 'request', api: 'v2', method: 'Encrypt', code, durationMs: 1, error }
  }
  return { clock, failures, encrypt }
})

test('failures of one kind and place are one, with the latest words and a remedy', ({
  clock,
  failures,
  encrypt,
}) => {
  failures.take(encrypt('denied', 'first'))
  clock.now += 60_000
  failures.take(encrypt('denied', 'second'))

  assert.equal(failures.report(), [
    {
      where: 'endpoint default',
      what: 'Encrypt',
      code: 'denied',
      message: 'second',
      remedy: REMEDIES.denied,
      firstAt: '2026-11-23T12:00:00.000Z',
      at: '2026-11-23T12:01:00.000Z',
      count: 2,
    },
  ])
})

test('what went well, and what the caller gave up, is no failure', ({ failures, encrypt }) => {
  failures.take(encrypt('ok', ''))
  failures.take(encrypt('cancelled', ''))
  failures.take({ type: 'notice', level: 'info', what: 'started', message: 'Started' })

  assert.equal(failures.report(), [])
})

test('endpoints that share a provider tell its failure once', ({ failures }) => {
  const error = new KmsError('away', { code: 'unavailable' })
  const provider = {
    ...{ name: 'bao', id: 'bao', type: 'vault', ok: false, error, versions: 0 },
    ...{ activeVersion: undefined, pendingVersion: undefined, switchAt: undefined },
  }
  const health = { type: 'health', state: 'held', previous: 'held', keyId: 'k' } as const
  for (const endpoint of ['one', 'two']) {
    failures.take({ ...health, endpoint, providers: [provider] })
  }

  const [failure, ...more] = failures.report()
  assert.equal([failure?.where, failure?.what, failure?.count], ['provider bao', 'probe', 1])
  assert.equal(more, [])
})

test('a flood of different failures keeps the latest twelve, and what they say stays short', ({
  failures,
}) => {
  for (let count = 0; count < 100; count += 1) {
    const provider = `p${count}`
    const error = new KmsError('x'.repeat(10_000), { code: 'denied' })
    failures.take({
      type: 'token',
      provider,
      action: 'login',
      method: 'jwt',
      code: 'denied',
      error,
    })
  }

  const report = failures.report()
  assert.equal([report.length, report[0]?.where], [12, 'provider p99'])
  assert.ok(report.every(({ message }) => message.length <= 500))
})

test('warnings name the provider, and have the words of their error but not of its cause', ({
  failures,
}) => {
  const error = new KmsError('no answer', { code: 'timeout', cause: new Error('planted') })
  const fields = { provider: 'bao' }
  const notice = { type: 'notice', level: 'warn', what: 'tls_files_refused' } as const
  failures.take({ ...notice, message: 'Refused', fields, error })

  const [failure] = failures.report()
  assert.equal([failure?.where, failure?.message], ['provider bao', 'Refused: no answer'])
  assert.not.match(JSON.stringify(failure), 'planted')
})

test('every code has a remedy in a whole sentence', () => {
  for (const code of KMS_ERROR_CODES) assert.match(REMEDIES[code], /^[A-Z].*\.$/)
})

test.run()
