/** What health says of endpoints and providers. Series of a key version that is gone go with it. @module */

import type { Registry } from 'prom-client'
import {
  type HealthState,
  type KmsEvent,
  ONLY_ENDPOINT,
  type ProviderHealth,
} from '../base/events.ts'
import { keyIdHash } from '../base/key_id_hash.ts'
import { gauge } from './instruments.ts'
import { STATES } from './metric_table.ts'

type HealthEvent = Extract<KmsEvent, { type: 'health' }>

/** @param names of all endpoints */
export function healthMetrics(registry: Registry, now: () => number, names: readonly string[]) {
  const endpoints = endpointMetrics(registry, now, names)
  const providers = providerHealthMetrics(registry)
  /** The last of each endpoint: they share providers, and gauges are shown anew as a whole. */
  const latest = new Map<string, HealthEvent>()
  return (event: KmsEvent) => {
    if (event.type !== 'health') return
    latest.set(event.endpoint ?? ONLY_ENDPOINT, event)
    endpoints(latest)
    providers([...latest.values()].flatMap((each) => each.providers))
  }
}

function endpointMetrics(registry: Registry, now: () => number, names: readonly string[]) {
  const state = gauge(registry, 'health_state')
  const showState = (endpoint: string, current: HealthState) => {
    for (const name of STATES) state.set({ endpoint, state: name }, Number(name === current))
  }
  for (const name of names) showState(name, 'starting')
  const hold = gauge(registry, 'hold_left_seconds')
  const success = gauge(registry, 'last_success_timestamp_seconds')
  const degraded = gauge(registry, 'degraded_since_timestamp_seconds')
  const keyId = gauge(registry, 'key_id_info')
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
  const healthy = gauge(registry, 'provider_healthy')
  const active = gauge(registry, 'key_version_info')
  const created = gauge(registry, 'key_version_created_timestamp_seconds')
  const switchAt = gauge(registry, 'key_version_switch_timestamp_seconds')
  const show = ({ name, ok, activeVersion, ...health }: ProviderHealth) => {
    healthy.set({ provider: name }, ok ? 1 : 0)
    if (activeVersion !== undefined) {
      active.set({ provider: name, version: activeVersion }, 1)
      const createdAt = createdAtOf(activeVersion, health.keyVersions)
      if (createdAt !== undefined)
        created.set({ provider: name, version: activeVersion }, createdAt)
    }
    const { pendingVersion, switchAt: at } = health
    if (pendingVersion === undefined || at === undefined) return
    switchAt.set({ provider: name, version: pendingVersion }, at / 1000)
  }
  return (providers: readonly ProviderHealth[]) => {
    for (const info of [healthy, active, created, switchAt]) info.reset()
    for (const provider of providers) show(provider)
  }
}

/** Services that do not tell it have 0 there. */
function createdAtOf(
  version: string,
  versions: ProviderHealth['keyVersions'] = [],
): number | undefined {
  const createdAt = versions.find(({ label }) => label === version)?.createdAt
  return createdAt === 0 ? undefined : createdAt
}
