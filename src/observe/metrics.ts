/**
 * Prometheus metrics, made of events. Every label has a bounded set of values (`metric_table.ts`).
 *
 * @module
 */

import { Registry } from 'prom-client'
import { type EventSink, type KmsEvent, ONLY_ENDPOINT } from '../base/events.ts'
import type { NoticeName } from '../base/notices.ts'
import { healthMetrics } from './health_metrics.ts'
import { counter, gauge, histogram } from './instruments.ts'
import { providerMetrics } from './provider_metrics.ts'
import { runtimeMetrics } from './runtime_metrics.ts'
import { signerMetrics } from './signer_metrics.ts'

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

const METHODS = [
  ['v2', 'Status'],
  ['v2', 'Encrypt'],
  ['v2', 'Decrypt'],
  ['v1beta1', 'Version'],
  ['v1beta1', 'Encrypt'],
  ['v1beta1', 'Decrypt'],
] as const

/** What a look at the config file may end in. */
const RELOADS: Partial<Record<NoticeName, 'applied' | 'refused' | 'unchanged'>> = {
  config_reloaded: 'applied',
  config_refused: 'refused',
  config_unchanged: 'unchanged',
}

export function createMetrics({
  version,
  runtime,
  now,
  endpoints = [ONLY_ENDPOINT],
  runtimeMetrics: ofRuntime = true,
}: MetricsOptions): Metrics {
  const registry = new Registry()
  if (ofRuntime) runtimeMetrics(registry)
  const sinks = [
    requestMetrics(registry, endpoints),
    providerMetrics(registry),
    healthMetrics(registry, now, endpoints),
    tokenMetrics(registry, now),
    certificateMetrics(registry),
    policyMetrics(registry),
    configMetrics(registry),
    logMetrics(registry),
    traceMetrics(registry),
    auditMetrics(registry),
    signerMetrics(registry),
  ]
  gauge(registry, 'build_info').set({ version, runtime }, 1)
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

function requestMetrics(registry: Registry, endpoints: readonly string[]): Recorder {
  const total = counter(registry, 'requests_total')
  const seconds = histogram(registry, 'request_duration_seconds')
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

function tokenMetrics(registry: Registry, now: () => number): Recorder {
  const total = counter(registry, 'token_operations_total')
  const expiry = gauge(registry, 'token_expiry_timestamp_seconds')
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
  const expiry = gauge(registry, 'certificate_expiry_timestamp_seconds')
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
  const total = counter(registry, 'policy_results_total')
  const state = gauge(registry, 'policy_rule_info')
  const waiver = gauge(registry, 'policy_waiver_expiry_timestamp_seconds')
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

function configMetrics(registry: Registry): Recorder {
  const total = counter(registry, 'config_reloads_total')
  for (const result of Object.values(RELOADS)) total.inc({ result }, 0)
  const successful = gauge(registry, 'config_last_reload_successful')
  // It started with a config that could be used.
  successful.set(1)
  return (event) => {
    const result = event.type === 'notice' ? RELOADS[event.what] : undefined
    if (result === undefined) return
    total.inc({ result })
    successful.set(result === 'refused' ? 0 : 1)
  }
}

function logMetrics(registry: Registry): Recorder {
  const total = counter(registry, 'log_lines_lost_total')
  for (const fate of ['held', 'dropped']) total.inc({ fate }, 0)
  return (event) => {
    if (event.type === 'log_loss') total.inc({ fate: event.fate }, event.lines)
  }
}

/** Its series begin with the traces, so that a plugin without them has none. */
function traceMetrics(registry: Registry): Recorder {
  let total: ReturnType<typeof counter<'trace_spans_total'>> | undefined
  return (event) => {
    if (event.type !== 'trace_spans') return
    total ??= counter(registry, 'trace_spans_total')
    total.inc({ outcome: event.outcome }, event.spans)
  }
}
/** Its series begin with the stream, so that a plugin without one has none. */
function auditMetrics(registry: Registry): Recorder {
  let total: ReturnType<typeof recordsCounter> | undefined
  return (event) => {
    if (event.type !== 'audit_records') return
    total ??= recordsCounter(registry)
    total.inc({ outcome: event.outcome }, event.records)
  }
}

function recordsCounter(registry: Registry) {
  const total = counter(registry, 'audit_records_total')
  for (const outcome of ['written', 'lost']) total.inc({ outcome }, 0)
  return total
}
