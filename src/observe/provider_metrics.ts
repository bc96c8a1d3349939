/** What calls to key services were made, and which were spared. @module */

import type { Registry } from 'prom-client'
import type { KmsEvent } from '../base/events.ts'
import { counter, histogram } from './instruments.ts'

const HEDGE_REASONS = ['slow', 'failed'] as const

export function providerMetrics(registry: Registry): (event: KmsEvent) => void {
  const calls = callMetrics(registry)
  const coalesced = counter(registry, 'coalesced_items_total')
  const hedged = counter(registry, 'hedged_requests_total')
  const known = new Set<string>()
  /** A rate needs a series from its beginning, not only from the first time on. */
  const begin = (provider: string) => {
    if (known.has(provider)) return
    known.add(provider)
    coalesced.inc({ provider }, 0)
    for (const reason of HEDGE_REASONS) hedged.inc({ provider, reason }, 0)
  }
  return (event) => {
    if (event.type === 'provider_call') {
      begin(event.provider)
      calls(event)
    }
    if (event.type === 'coalesced') coalesced.inc({ provider: event.provider })
    if (event.type === 'hedge') hedged.inc({ provider: event.provider, reason: event.reason })
  }
}

function callMetrics(registry: Registry) {
  const total = counter(registry, 'provider_calls_total')
  const items = counter(registry, 'provider_items_total')
  const batches = histogram(registry, 'provider_batch_items')
  const seconds = histogram(registry, 'provider_call_duration_seconds')
  return (event: Extract<KmsEvent, { type: 'provider_call' }>) => {
    const { provider, operation, code, durationMs } = event
    total.inc({ provider, operation, code })
    items.inc({ provider, operation }, event.items)
    seconds.observe({ provider, operation }, durationMs / 1000)
    if (operation !== 'key_state') batches.observe({ provider, operation }, event.items)
  }
}
