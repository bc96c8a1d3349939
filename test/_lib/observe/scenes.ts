/** What a plugin lives through, as events: the scenes that the status page and `top` are shown with. @module */

import { KmsError, type KmsErrorCode } from '../../../src/base/errors.ts'
import type { HealthState, KmsEvent, ProviderHealth } from '../../../src/base/events.ts'
import type { StatusDocument } from '../../../src/observe/status_document.ts'
import { createStatusz } from '../../../src/observe/statusz.ts'
import { SeededRandom } from '../seeded_random.ts'

const NOON = Date.UTC(2026, 10, 23, 12, 0, 30)
const MINUTE_MS = 60_000
const DAY_MS = 86_400_000

/** A name and a message that try everything a page or a terminal could fall for. */
export const HOSTILE = {
  name: '"><img src=x onerror=alert(1)>',
  message: '</p><script>document.title="taken"</script>\u001b[2J\u202egnp.exe & \u0007',
}

interface Told {
  readonly emit: (event: KmsEvent) => void
  readonly health: (state: HealthState, change?: object, ...providers: ProviderHealth[]) => void
  readonly at: (ms: number) => void
}

function provider(name: string, change: Partial<ProviderHealth> = {}): ProviderHealth {
  return {
    name,
    id: `vault:transit/${name}`,
    type: 'vault',
    ok: true,
    activeVersion: '3',
    pendingVersion: undefined,
    switchAt: undefined,
    versions: 3,
    keyVersions: [1, 2, 3].map((version) => ({
      label: String(version),
      createdAt: (NOON - (4 - version) * 30 * DAY_MS) / 1_000,
    })),
    role: 'writes',
    since: NOON - 5 * DAY_MS,
    latencyMs: 1.87,
    ...change,
  }
}

function failure(code: KmsErrorCode, message: string): KmsError {
  return new KmsError(message, { code })
}

const AWAY = () =>
  failure(
    'unavailable',
    'Key service at https://bao-1.example.org:8200 does not answer: nobody listens there',
  )
const DENIED = () =>
  failure(
    'denied',
    'Key service denies the request: the token or its policy does not allow this; see mount, key and policy',
  )

/** The last minutes of each; before them, all was well for an hour. */
const SCENES = {
  well: ({ health }) => health('ok'),
  degraded({ at, health, emit }) {
    at(-18 * MINUTE_MS)
    const error = AWAY()
    const away = provider('vault-b', {
      ok: false,
      error,
      role: 'left_out',
      since: NOON - 18 * MINUTE_MS,
    })
    const change = { error, why: 'any of vault-a (v3); without vault-b, left out as not well' }
    health(
      'degraded',
      { ...change, degradedSince: NOON - 18 * MINUTE_MS },
      provider('vault-a'),
      away,
    )
    emit({
      type: 'provider_call',
      provider: 'vault-b',
      operation: 'wrap',
      items: 1,
      code: 'unavailable',
      durationMs: 31,
    })
  },
  rotating({ health }) {
    const keyVersions = [
      ...(provider('vault-a').keyVersions ?? []),
      { label: '4', createdAt: (NOON - 40 * MINUTE_MS) / 1_000 },
    ]
    const next = { pendingVersion: '4', switchAt: NOON + 20 * MINUTE_MS, versions: 4, keyVersions }
    health('ok', {}, provider('vault-a', next), provider('vault-b'))
  },
  held({ at, health }) {
    at(-2 * MINUTE_MS)
    const error = AWAY()
    const away = provider('vault-a', { ok: false, error, since: NOON - 2 * MINUTE_MS })
    health('held', { error, holdLeftMs: 28 * MINUTE_MS }, away, provider('vault-b'))
  },
  down({ at, health, emit }) {
    at(-12 * MINUTE_MS)
    const error = failure(
      'key_unavailable',
      'Key "trousseau" is not there: it was deleted, or the mount is another one',
    )
    health(
      'failed',
      { error, keyId: undefined, why: undefined },
      provider('vault-a', { ok: false, error, role: 'waiting', since: NOON - 12 * MINUTE_MS }),
    )
    for (let minute = -12; minute < 0; minute += 1) {
      at(minute * MINUTE_MS)
      emit({
        type: 'request',
        api: 'v2',
        method: 'Encrypt',
        code: 'key_unavailable',
        durationMs: 0.4,
        error,
      })
    }
  },
  token({ at, health, emit }) {
    const login = { type: 'token', provider: 'vault-a', method: 'jwt' } as const
    at(-55 * MINUTE_MS)
    emit({ ...login, action: 'login', code: 'ok', ttlSeconds: 3_600 })
    at(-1 * MINUTE_MS)
    const error = failure('denied', 'Login by jwt is refused: invalid audience (aud) claim')
    emit({ ...login, action: 'renew', code: 'denied', error: DENIED() })
    emit({ ...login, action: 'login', code: 'denied', error })
    emit({
      type: 'certificate',
      provider: 'vault-a',
      kind: 'client',
      notAfter: NOON + 3 * DAY_MS,
      near: true,
    })
    health('ok')
  },
  denied({ at, health, emit }) {
    at(-6 * MINUTE_MS)
    const error = DENIED()
    const of = provider('vault-a', {
      ok: false,
      error,
      role: 'waiting',
      since: NOON - 6 * MINUTE_MS,
    })
    health('failed', { error, keyId: undefined, why: undefined }, of)
    emit({
      type: 'token',
      provider: 'vault-a',
      method: 'jwt',
      action: 'login',
      code: 'denied',
      error,
    })
  },
  hostile({ health, emit }) {
    const error = failure('protocol', HOSTILE.message)
    const bad = provider(HOSTILE.name, {
      type: HOSTILE.name,
      ok: false,
      error,
      note: HOSTILE.message,
      material: HOSTILE.name,
    })
    health('held', { error, keyId: HOSTILE.name, why: HOSTILE.message, holdLeftMs: 1 }, bad)
    const fields = {
      provider: HOSTILE.name,
      address: HOSTILE.name,
      role: HOSTILE.message,
      previous: '',
    }
    emit({ type: 'notice', level: 'warn', what: 'vault_node', message: HOSTILE.message, fields })
    emit({
      type: 'token',
      provider: HOSTILE.name,
      method: HOSTILE.name,
      action: 'login',
      code: 'denied',
      error,
    })
  },
} satisfies Readonly<Record<string, (told: Told) => void>>

export type Scene = keyof typeof SCENES
export const SCENE_NAMES = Object.keys(SCENES) as Scene[]

/** The document of a plugin that was started two hours before {@link NOON}. */
export function sceneOf(scene: Scene): StatusDocument {
  let time = NOON - 120 * MINUTE_MS
  const target = { configPath: '/etc/trousseau/trousseau.yaml' }
  const statusz = createStatusz({
    version: '0.1.0',
    runtime: 'node 26.10.0',
    now: () => time,
    target,
  })
  const { emit } = statusz.sink
  const told: Told = {
    emit,
    at(ms) {
      time = NOON + ms
    },
    health(state, change = {}, ...providers) {
      const all = providers.length > 0 ? providers : [provider('vault-a'), provider('vault-b')]
      emit({ ...HEALTH, state, providers: all, ...change })
    },
  }
  time += 4_000
  told.health('ok')
  for (const name of ['vault-a', 'vault-b']) lives(name, emit)
  busyHour(told)
  told.at(0)
  SCENES[scene](told)
  told.at(0)
  return statusz.document()
}

const HEALTH = {
  type: 'health',
  previous: 'ok',
  keyId: 'tr1-any-v3-RY3dyL6i2tgBf6qYGINBnCvz1tXnKkbTT8qyEACCA7U',
  why: 'any of vault-a (v3), vault-b (v3)',
} as const

function lives(name: string, emit: (event: KmsEvent) => void): void {
  const certificate = { type: 'certificate', provider: name, near: false } as const
  emit({
    type: 'token',
    provider: name,
    action: 'login',
    method: 'jwt',
    code: 'ok',
    ttlSeconds: 10_800,
  })
  emit({ ...certificate, kind: 'server', notAfter: NOON + 61 * DAY_MS })
  emit({ ...certificate, kind: 'authority', notAfter: NOON + 900 * DAY_MS })
  for (const [index, role] of ['active', 'standby', 'standby'].entries()) {
    const address = `https://${name}-${index + 1}.example.org:8200`
    const fields = { provider: name, address, role, previous: 'unknown' }
    emit({ type: 'notice', level: 'info', what: 'vault_node', message: '', fields })
  }
}

/** As API servers ask, with a burst in the middle. */
function busyHour({ at, emit }: Told): void {
  const random = new SeededRandom(7)
  for (let minute = -65; minute <= 0; minute += 1) {
    at(minute * MINUTE_MS)
    const burst = minute === -25 || minute === -24 ? 60 : 0
    asked(emit, random, 'Encrypt', random.below(4))
    asked(emit, random, 'Decrypt', random.below(12) + burst)
    asked(emit, random, 'Status', 12)
  }
}

function asked(
  emit: Told['emit'],
  random: SeededRandom,
  method: 'Encrypt' | 'Decrypt' | 'Status',
  count: number,
): void {
  const operation = { Encrypt: 'wrap', Decrypt: 'unwrap', Status: undefined } as const
  const called = operation[method]
  for (let done = 0; done < count; done += 1) {
    const durationMs = (called === undefined ? 0.2 : 1.4) * (1 + random.below(100) / 40)
    const well = { code: 'ok', durationMs } as const
    emit({ type: 'request', api: 'v2', method, ...well })
    if (called === undefined) continue
    emit({ type: 'provider_call', provider: 'vault-a', operation: called, items: 1, ...well })
  }
}
