/**
 * Prometheus metrics, made of events. Every label has a bounded set of values, and
 * series of a key version that is gone go with it.
 *
 * @module
 */

import { readdirSync } from 'node:fs'
import process from 'node:process'
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { EventSink, HealthState, KmsEvent, ProviderHealth } from '../kms/events.ts'
import { keyIdHash } from '../kms/key_id_hash.ts'

export interface Metrics {
  readonly sink: EventSink
  /** The exposition text. */
  text(): Promise<string>
  readonly contentType: string
}

export interface MetricsOptions {
  readonly version: string
  /** Such as `node 26.10.0`. */
  readonly runtime: string
  /** Milliseconds since the epoch. */
  readonly now: () => number
}

const SECONDS = [
  0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
]
const STATES: readonly HealthState[] = ['starting', 'ok', 'held', 'failed']
const METHODS = [
  ['v2', 'Status'],
  ['v2', 'Encrypt'],
  ['v2', 'Decrypt'],
  ['v1beta1', 'Version'],
  ['v1beta1', 'Encrypt'],
  ['v1beta1', 'Decrypt'],
] as const

export function createMetrics({ version, runtime, now }: MetricsOptions): Metrics {
  const registry = new Registry()
  processMetrics(registry)
  const sinks = [
    requestMetrics(registry),
    providerMetrics(registry),
    healthMetrics(registry, now),
    tokenMetrics(registry, now),
    certificateMetrics(registry),
  ]
  gauge(registry, 'build_info', 'Always 1; says what runs', ['version', 'runtime']).set(
    { version, runtime },
    1,
  )
  return {
    contentType: registry.contentType,
    text: () => registry.metrics(),
    sink: {
      emit(event) {
        for (const record of sinks) record(event)
      },
    },
  }
}

type Recorder = (event: KmsEvent) => void

/** What prom-client reads in `/proc`; it stays at 0 where that is closed. */
const OF_PROC = [
  'process_resident_memory_bytes',
  'process_virtual_memory_bytes',
  'process_heap_bytes',
  'process_open_fds',
]

function processMetrics(registry: Registry): void {
  collectDefaultMetrics({ register: registry })
  if (isProcOpen()) return
  for (const name of OF_PROC) registry.removeSingleMetric(name)
  new Gauge({
    name: 'process_resident_memory_bytes',
    help: 'Resident memory size in bytes.',
    registers: [registry],
    collect() {
      this.set(process.memoryUsage.rss())
    },
  })
}

/** Deno with narrow rights closes it. */
function isProcOpen(): boolean {
  try {
    readdirSync('/proc/self/fd')
    return true
  } catch {
    return false
  }
}

function requestMetrics(registry: Registry): Recorder {
  const total = counter(registry, 'requests_total', 'Requests of API servers by outcome', [
    'api',
    'method',
    'code',
  ])
  const seconds = histogram(registry, 'request_duration_seconds', 'How long requests took', [
    'api',
    'method',
  ])
  for (const [api, method] of METHODS) {
    total.inc({ api, method, code: 'ok' }, 0)
    seconds.zero({ api, method })
  }
  return (event) => {
    if (event.type !== 'request') return
    const { api, method, code, durationMs } = event
    total.inc({ api, method, code })
    seconds.observe({ api, method }, durationMs / 1000)
  }
}

function providerMetrics(registry: Registry): Recorder {
  const total = counter(registry, 'provider_calls_total', 'Calls to key services by outcome', [
    'provider',
    'operation',
    'code',
  ])
  const items = counter(registry, 'provider_items_total', 'Items in calls to key services', [
    'provider',
    'operation',
  ])
  const seconds = histogram(
    registry,
    'provider_call_duration_seconds',
    'How long calls to key services took',
    ['provider', 'operation'],
  )
  return (event) => {
    if (event.type !== 'provider_call') return
    const { provider, operation, code, durationMs } = event
    total.inc({ provider, operation, code })
    items.inc({ provider, operation }, event.items)
    seconds.observe({ provider, operation }, durationMs / 1000)
  }
}

function healthMetrics(registry: Registry, now: () => number): Recorder {
  const state = gauge(registry, 'health_state', '1 for the state that health is in', ['state'])
  const showState = (current: HealthState) => {
    for (const name of STATES) state.set({ state: name }, Number(name === current))
  }
  showState('starting')
  const hold = gauge(
    registry,
    'hold_left_seconds',
    'How much longer Status keeps the key id in an outage',
    [],
  )
  const success = gauge(
    registry,
    'last_success_timestamp_seconds',
    'When all providers last were as they should be',
    [],
  )
  const keyId = gauge(registry, 'key_id_info', 'Always 1; names the key id by its hash', [
    'key_id_hash',
  ])
  const healthy = gauge(registry, 'provider_healthy', '1 where the provider answers as it should', [
    'provider',
  ])
  const active = gauge(
    registry,
    'key_version_info',
    'Always 1; names the key version that encrypts',
    ['provider', 'version'],
  )
  const switchAt = gauge(
    registry,
    'key_version_switch_timestamp_seconds',
    'When a newer key version takes over; absent where none waits',
    ['provider', 'version'],
  )
  const ofProvider = ({
    name,
    ok,
    activeVersion,
    pendingVersion,
    switchAt: at,
  }: ProviderHealth) => {
    healthy.set({ provider: name }, ok ? 1 : 0)
    if (activeVersion !== undefined) active.set({ provider: name, version: activeVersion }, 1)
    if (pendingVersion === undefined || at === undefined) return
    switchAt.set({ provider: name, version: pendingVersion }, at / 1000)
  }
  return (event) => {
    if (event.type !== 'health') return
    showState(event.state)
    hold.set((event.holdLeftMs ?? 0) / 1000)
    if (event.state === 'ok') success.set(now() / 1000)
    for (const info of [keyId, healthy, active, switchAt]) info.reset()
    if (event.keyId !== undefined) keyId.set({ key_id_hash: keyIdHash(event.keyId) }, 1)
    event.providers.forEach(ofProvider)
  }
}

function tokenMetrics(registry: Registry, now: () => number): Recorder {
  const total = counter(registry, 'token_operations_total', 'Logins and renewals by outcome', [
    'provider',
    'action',
    'method',
    'code',
  ])
  const expiry = gauge(
    registry,
    'token_expiry_timestamp_seconds',
    'When the token in use expires; absent where it does not, or does not tell',
    ['provider'],
  )
  return (event) => {
    if (event.type !== 'token') return
    const { provider, action, method, code, ttlSeconds } = event
    total.inc({ provider, action, method, code })
    if (code !== 'ok') return
    if (ttlSeconds === undefined || ttlSeconds === 0) expiry.remove({ provider })
    else expiry.set({ provider }, now() / 1000 + ttlSeconds)
  }
}

function certificateMetrics(registry: Registry): Recorder {
  const expiry = gauge(
    registry,
    'certificate_expiry_timestamp_seconds',
    'When a certificate that a key service is reached with ends',
    ['provider', 'kind'],
  )
  return (event) => {
    if (event.type !== 'certificate') return
    const { provider, kind, notAfter } = event
    expiry.set({ provider, kind }, notAfter / 1000)
  }
}

function counter<T extends string>(
  registry: Registry,
  name: string,
  help: string,
  labelNames: T[],
) {
  return new Counter({ name: `trousseau_${name}`, help, labelNames, registers: [registry] })
}

function gauge<T extends string>(registry: Registry, name: string, help: string, labelNames: T[]) {
  return new Gauge({ name: `trousseau_${name}`, help, labelNames, registers: [registry] })
}

function histogram<T extends string>(
  registry: Registry,
  name: string,
  help: string,
  labelNames: T[],
) {
  const buckets = SECONDS
  return new Histogram({
    name: `trousseau_${name}`,
    help,
    labelNames,
    buckets,
    registers: [registry],
  })
}
