/**
 * Prometheus metrics, made of events. Every label has a bounded set of values, and
 * series of a key version that is gone go with it.
 *
 * @module
 */

import { readdirSync } from 'node:fs'
import process from 'node:process'
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import {
  type EventSink,
  type HealthState,
  type KmsEvent,
  ONLY_ENDPOINT,
  type ProviderHealth,
} from '../base/events.ts'
import { keyIdHash } from '../base/key_id_hash.ts'

interface Metrics {
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
  /** Names of all endpoints, so that their series begin with the process. */
  readonly endpoints?: readonly string[]
  /** Whether those of the process and its runtime are there too, which is so where absent. */
  readonly runtimeMetrics?: boolean
}

const SECONDS = [
  0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
]
const STATES: readonly HealthState[] = ['starting', 'ok', 'degraded', 'held', 'failed']
const METHODS = [
  ['v2', 'Status'],
  ['v2', 'Encrypt'],
  ['v2', 'Decrypt'],
  ['v1beta1', 'Version'],
  ['v1beta1', 'Encrypt'],
  ['v1beta1', 'Decrypt'],
] as const

export function createMetrics({
  version,
  runtime,
  now,
  endpoints = [ONLY_ENDPOINT],
  runtimeMetrics = true,
}: MetricsOptions): Metrics {
  const registry = new Registry()
  if (runtimeMetrics) processMetrics(registry)
  const sinks = [
    requestMetrics(registry, endpoints),
    providerMetrics(registry),
    healthMetrics(registry, now, endpoints),
    tokenMetrics(registry, now),
    certificateMetrics(registry),
    policyMetrics(registry),
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

function requestMetrics(registry: Registry, endpoints: readonly string[]): Recorder {
  const total = counter(registry, 'requests_total', 'Requests of API servers by outcome', [
    'endpoint',
    'api',
    'method',
    'code',
  ])
  const seconds = histogram(registry, 'request_duration_seconds', 'How long requests took', [
    'endpoint',
    'api',
    'method',
  ])
  for (const endpoint of endpoints) {
    for (const [api, method] of METHODS) {
      total.inc({ endpoint, api, method, code: 'ok' }, 0)
      seconds.zero({ endpoint, api, method })
    }
  }
  return (event) => {
    if (event.type !== 'request') return
    const { endpoint = ONLY_ENDPOINT, api, method, code, durationMs } = event
    total.inc({ endpoint, api, method, code })
    seconds.observe({ endpoint, api, method }, durationMs / 1000)
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

type HealthEvent = Extract<KmsEvent, { type: 'health' }>

function healthMetrics(registry: Registry, now: () => number, names: readonly string[]): Recorder {
  const endpoints = endpointMetrics(registry, now, names)
  const providers = providerHealthMetrics(registry)
  /** The last of each endpoint: they share providers, and gauges are shown anew as a whole. */
  const latest = new Map<string, HealthEvent>()
  return (event) => {
    if (event.type !== 'health') return
    latest.set(event.endpoint ?? ONLY_ENDPOINT, event)
    endpoints(latest)
    providers([...latest.values()].flatMap((each) => each.providers))
  }
}

function endpointMetrics(registry: Registry, now: () => number, names: readonly string[]) {
  const state = gauge(registry, 'health_state', '1 for the state that health is in', [
    'endpoint',
    'state',
  ])
  const showState = (endpoint: string, current: HealthState) => {
    for (const name of STATES) state.set({ endpoint, state: name }, Number(name === current))
  }
  for (const name of names) showState(name, 'starting')
  const hold = gauge(
    registry,
    'hold_left_seconds',
    'How much longer Status keeps the key id in an outage',
    ['endpoint'],
  )
  const success = gauge(
    registry,
    'last_success_timestamp_seconds',
    'When all providers that write last were as they should be',
    ['endpoint'],
  )
  const degraded = gauge(
    registry,
    'degraded_since_timestamp_seconds',
    'Since when fewer providers wrap than the config says; absent where all do',
    ['endpoint'],
  )
  const keyId = gauge(registry, 'key_id_info', 'Always 1; names the key id by its hash', [
    'endpoint',
    'key_id_hash',
  ])
  const show = (endpoint: string, event: HealthEvent) => {
    showState(endpoint, event.state)
    hold.set({ endpoint }, (event.holdLeftMs ?? 0) / 1000)
    if (event.state === 'ok') success.set({ endpoint }, now() / 1000)
    if (event.keyId !== undefined) keyId.set({ endpoint, key_id_hash: keyIdHash(event.keyId) }, 1)
    if (event.degradedSince !== undefined) degraded.set({ endpoint }, event.degradedSince / 1000)
  }
  return (latest: ReadonlyMap<string, HealthEvent>) => {
    for (const info of [keyId, degraded]) info.reset()
    for (const [endpoint, event] of latest) show(endpoint, event)
  }
}

function providerHealthMetrics(registry: Registry) {
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
  const show = ({ name, ok, activeVersion, pendingVersion, switchAt: at }: ProviderHealth) => {
    healthy.set({ provider: name }, ok ? 1 : 0)
    if (activeVersion !== undefined) active.set({ provider: name, version: activeVersion }, 1)
    if (pendingVersion === undefined || at === undefined) return
    switchAt.set({ provider: name, version: pendingVersion }, at / 1000)
  }
  return (providers: readonly ProviderHealth[]) => {
    for (const info of [healthy, active, switchAt]) info.reset()
    for (const provider of providers) show(provider)
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

/** Their series begin with the first rule, so that a plugin without rules has none. */
function policyMetrics(registry: Registry): Recorder {
  let made: ReturnType<typeof ruleMetrics> | undefined
  return (event) => {
    if (event.type !== 'policy' && event.type !== 'policy_state') return
    made ??= ruleMetrics(registry)
    made(event)
  }
}

function ruleMetrics(registry: Registry) {
  const total = counter(
    registry,
    'policy_results_total',
    'Uses of keys for which a rule did not pass, by outcome',
    ['rule', 'mode', 'outcome', 'operation'],
  )
  const state = gauge(registry, 'policy_rule_info', 'Always 1; names the state of each rule', [
    'rule',
    'mode',
    'state',
  ])
  const waiver = gauge(
    registry,
    'policy_waiver_expiry_timestamp_seconds',
    'When the waiver in force ends; absent where there is none',
    [],
  )
  return (event: Extract<KmsEvent, { type: 'policy' | 'policy_state' }>) => {
    if (event.type === 'policy') {
      const { rule, mode, outcome, operation } = event
      total.inc({ rule, mode, outcome, operation })
      return
    }
    for (const info of [state, waiver]) info.reset()
    for (const { name, mode, state: of } of event.rules)
      state.set({ rule: name, mode, state: of }, 1)
    if (event.waiver === undefined) waiver.remove()
    else waiver.set(event.waiver.until / 1000)
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
