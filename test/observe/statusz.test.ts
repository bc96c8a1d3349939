import * as assert from 'uvu/assert'
import { KmsError } from '../../src/base/errors.ts'
import type { KmsEvent } from '../../src/base/events.ts'
import { jsonText } from '../../src/base/json_text.ts'
import { createStatusz } from '../../src/observe/statusz.ts'
import { suite } from '../_lib/uvu.ts'

const NOON = Date.UTC(2026, 10, 23, 12)
const ERROR = new KmsError('Seeded', {
  code: 'denied',
  cause: new Error('planted words of the service'),
})
const HEALTH: KmsEvent = {
  type: 'health',
  state: 'held',
  previous: 'ok',
  keyId: 'tr1-any-v3-x',
  error: ERROR,
  holdLeftMs: 60_000,
  degradedSince: NOON - 60_000,
  why: 'any of bao (v3)',
  providers: [
    {
      name: 'bao',
      id: 'vault:transit/k',
      type: 'vault',
      ok: false,
      error: ERROR,
      activeVersion: '3',
      pendingVersion: '4',
      switchAt: NOON + 1_000,
      versions: 4,
      keyVersions: [{ label: '3', createdAt: NOON / 1000 - 60 }],
      role: 'left_out',
      joinsAt: NOON + 600_000,
      since: NOON,
      latencyMs: 1.234,
    },
  ],
}

const test = suite('observe/statusz', () => {
  const statusz = createStatusz({ version: '1.2.3', runtime: 'node 26', now: () => NOON })
  const token = (change: object) =>
    statusz.sink.emit({
      type: 'token',
      provider: 'bao',
      action: 'login',
      method: 'jwt',
      code: 'ok',
      ...change,
    })
  return { statusz, token, document: () => JSON.parse(jsonText(statusz.document())) }
})

test('before anything is known it says so', ({ document }) => {
  const { version, endpoints, providers } = document()

  assert.is(version, '1.2.3')
  const at = '2026-11-23T12:00:00.000Z'
  const changes = [{ at, state: 'starting' }]
  assert.equal(endpoints, [
    { name: 'default', state: 'starting', since: at, providers: {}, changes },
  ])
  assert.equal(providers, [])
})

test('it shows health, versions, tokens, certificates and nodes of each provider', ({
  statusz,
  token,
  document,
}) => {
  token({ ttlSeconds: 3_600 })
  token({ action: 'renew', ttlSeconds: 1_800 })
  token({ action: 'renew', code: 'denied', error: ERROR })
  const notAfter = NOON + 86_400_000
  statusz.sink.emit({
    type: 'certificate',
    provider: 'bao',
    kind: 'server',
    notAfter,
    near: true,
  })
  statusz.sink.emit({
    type: 'notice',
    level: 'info',
    what: 'vault_node',
    message: '',
    fields: { provider: 'bao', address: 'https://a:8200', role: 'standby', previous: 'unknown' },
  })
  statusz.sink.emit(HEALTH)

  const { endpoints, providers } = document()

  assert.equal(endpoints, [
    {
      name: 'default',
      state: 'held',
      keyId: 'tr1-any-v3-x',
      why: 'any of bao (v3)',
      error: { code: 'denied', message: 'Seeded' },
      holdLeftMs: 60_000,
      degradedSince: '2026-11-23T11:59:00.000Z',
      providers: { bao: { role: 'left_out', joinsAt: '2026-11-23T12:10:00.000Z' } },
      since: '2026-11-23T12:00:00.000Z',
      changes: [
        { at: '2026-11-23T12:00:00.000Z', state: 'starting' },
        { at: '2026-11-23T12:00:00.000Z', state: 'held' },
      ],
    },
  ])
  const [provider] = providers
  assert.is(provider.activeVersion, '3')
  assert.equal(provider.keyVersions, [{ label: '3', createdAt: '2026-11-23T11:59:00.000Z' }])
  assert.is(provider.latencyMs, 1.23)
  assert.is(provider.switchAt, '2026-11-23T12:00:01.000Z')
  assert.equal(provider.token, {
    method: 'jwt',
    logins: 1,
    failedLogins: 0,
    renewals: 1,
    failedRenewals: 1,
    expiresAt: '2026-11-23T12:30:00.000Z',
    lifeSeconds: 1_800,
    lastFailure: { at: '2026-11-23T12:00:00.000Z', code: 'denied', message: 'Seeded' },
  })
  assert.equal(provider.certificates, { server: '2026-11-24T12:00:00.000Z' })
  assert.equal(provider.nodes, { 'https://a:8200': 'standby' })
})

test('a token that does not expire has no end', ({ statusz, token, document }) => {
  token({ ttlSeconds: 0 })
  statusz.sink.emit(HEALTH)

  assert.is(document().providers[0].token.expiresAt, null)
})

test('nothing that a service said stands in it', ({ statusz, token }) => {
  token({ code: 'denied', error: ERROR })
  statusz.sink.emit(HEALTH)

  assert.not.match(jsonText(statusz.document()), /planted/)
})

test.run()
