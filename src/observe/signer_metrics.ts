/** What is known of the key that signs ServiceAccount tokens. Its series begin with the signer. @module */

import type { Registry } from 'prom-client'
import type { KmsEvent } from '../base/events.ts'
import { gauge } from './instruments.ts'

export function signerMetrics(registry: Registry): (event: KmsEvent) => void {
  let made: ReturnType<typeof gauges> | undefined
  return (event) => {
    if (event.type !== 'signer') return
    made ??= gauges(registry)
    made.healthy.set(event.ok ? 1 : 0)
    made.published.set(event.published)
    if (event.readAt > 0) made.readAt.set(event.readAt / 1000)
    made.info.reset()
    const { kid, version } = event
    if (kid !== undefined && version !== undefined) made.info.set({ kid, version }, 1)
  }
}

function gauges(registry: Registry) {
  return {
    healthy: gauge(registry, 'signer_healthy'),
    info: gauge(registry, 'signer_key_info'),
    published: gauge(registry, 'signer_published_keys'),
    readAt: gauge(registry, 'signer_keys_read_timestamp_seconds'),
  }
}
