/** What the audit stream says of a request, and what it never says. @module */

import * as assert from 'uvu/assert'
import { KmsError } from '../../../src/base/errors.ts'
import type { KmsEvent } from '../../../src/base/events.ts'
import { type KeyUseRecord, newRecord } from '../../../src/base/request_record.ts'
import { MAX_LINE_BYTES } from '../../../src/observe/audit/lines.ts'
import { recordOf } from '../../../src/observe/audit/record.ts'
import { requestOf } from '../../_lib/observe/audit_scene.ts'
import { suite } from '../../_lib/uvu.ts'

const test = suite('observe/audit/record', () => ({}))
const NOW = Date.UTC(2026, 10, 30, 12)
const PLANTED = 'planted-secret'

function said(event: KmsEvent): Record<string, unknown> {
  return JSON.parse(`{${recordOf(event, NOW)}}`)
}

function recordWith(codes: readonly KeyUseRecord['code'][], version = '3') {
  const record = newRecord(`00-${PLANTED}`)
  for (const code of codes) {
    record.uses.push({
      request: record,
      provider: 'vault-prod',
      operation: 'wrap',
      keyVersion: version,
      start: 5,
      durationMs: code === undefined ? 0 : 1.23456,
      code,
      batch: undefined,
    })
  }
  return record
}

test('a request is said with its key uses and the rules that did not pass, and nothing else', () => {
  const record = recordWith(['ok', undefined])
  record.decisions.push({
    rule: 'lockdown',
    mode: 'audit',
    outcome: 'would_refuse',
    provider: 'vault-prod',
    operation: 'encrypt',
  })
  const error = new KmsError(PLANTED, { code: 'timeout', cause: new Error(PLANTED) })

  const fields = said(
    requestOf('u-1', { code: 'timeout', error, record, durationMs: 2.00049, endpoint: 'blue' }),
  )

  assert.equal(fields, {
    time: '2026-11-30T12:00:00.000Z',
    event: 'request',
    endpoint: 'blue',
    api: 'v2',
    operation: 'Encrypt',
    uid: 'u-1',
    key_id_hash: `sha256:${'a'.repeat(64)}`,
    code: 'timeout',
    decision: 'allowed',
    rules: [{ rule: 'lockdown', mode: 'audit', outcome: 'would_refuse', provider: 'vault-prod' }],
    providers: [
      {
        name: 'vault-prod',
        operation: 'wrap',
        key_version: '3',
        code: 'ok',
        duration_ms: 1.235,
      },
      { name: 'vault-prod', operation: 'wrap', key_version: '3', code: 'unfinished' },
    ],
    duration_ms: 2,
  })
})

test('Status, Version and all other events are not recorded', () => {
  for (const method of ['Status', 'Version'] as const) {
    assert.is(recordOf(requestOf('u', { method }), NOW), undefined)
  }
  assert.is(recordOf({ type: 'coalesced', provider: 'a' }, NOW), undefined)
  assert.ok(recordOf(requestOf('u', { method: 'Decrypt' }), NOW))
})

for (const [decision, event] of [
  ['allowed', requestOf('u', { record: recordWith(['ok']) })],
  ['allowed', requestOf('u', { code: 'denied', record: recordWith(['denied']) })],
  ['refused', requestOf('u', { code: 'policy_denied', record: recordWith([]) })],
  ['not_made', requestOf('u', { code: 'request_invalid', record: recordWith([]) })],
] as const) {
  test(`the decision on a request that ends in ${event.code} is ${decision}`, () => {
    assert.is(said(event)['decision'], decision)
  })
}

test('a line keeps to its limit whatever the config names, and says how much it leaves out', () => {
  const record = recordWith(
    Array.from({ length: 70 }, () => 'ok' as const),
    'v'.repeat(5_000),
  )
  for (let at = 0; at < 100; at += 1) {
    const [rule, provider] = ['r'.repeat(63), 'p'.repeat(63)]
    const decision = { rule, mode: 'enforce', outcome: 'refused', provider } as const
    record.decisions.push({ ...decision, operation: 'encrypt' })
  }

  const text = recordOf(requestOf('u'.repeat(128), { record }), NOW) ?? ''

  assert.ok(text.length < MAX_LINE_BYTES - 1_000, `${text.length}`)
  assert.is(JSON.parse(`{${text}}`).left_out, 6 + 36)
})

test.run()
