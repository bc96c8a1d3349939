/**
 * What an admin server shows, counted from the first event on. It is loaded only where the config
 * has an admin server, because prom-client and its measurements of the runtime take time and
 * memory.
 *
 * @module
 */

import type { EventSink } from '../base/events.ts'
import { type AdminOptions, type AdminServer, startAdmin } from './admin.ts'
import { createMetrics, type MetricsOptions } from './metrics.ts'
import { createStatusz } from './statusz.ts'

interface AdminMetrics {
  readonly sinks: readonly EventSink[]
  start(options: Omit<AdminOptions, 'of' | 'pages'>): Promise<AdminServer>
}

export function createAdminMetrics(options: MetricsOptions): AdminMetrics {
  const metrics = createMetrics(options)
  const statusz = createStatusz(options)
  return {
    sinks: [metrics.sink, statusz.sink],
    start: (admin) => startAdmin({ ...admin, of: 'admin', pages: { metrics, statusz } }),
  }
}
