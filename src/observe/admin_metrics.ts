/**
 * What an admin server shows, counted from the first event on. It is loaded only where the config
 * has an admin server, because prom-client and its measurements of the runtime take time and
 * memory.
 *
 * @module
 */

import type { EventSink } from '../base/events.ts'
import { type AdminOptions, type AdminServer, startAdmin } from './admin.ts'
import type { Check } from './checks.ts'
import { createMetrics, type MetricsOptions } from './metrics.ts'
import { createStatusz, type StatuszOptions } from './statusz.ts'

interface AdminMetrics {
  readonly sinks: readonly EventSink[]
  start(
    options: Omit<AdminOptions, 'of' | 'pages'>,
    checks: () => readonly Check[],
  ): Promise<AdminServer>
}

export function createAdminMetrics(options: MetricsOptions & StatuszOptions): AdminMetrics {
  const metrics = createMetrics(options)
  const statusz = createStatusz(options)
  return {
    sinks: [metrics.sink, statusz.sink],
    start: (admin, checks) =>
      startAdmin({ ...admin, of: 'admin', pages: { metrics, statusz, checks } }),
  }
}
