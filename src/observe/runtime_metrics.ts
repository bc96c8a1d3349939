/** Metrics of the process and of its runtime. @module */

import { readdirSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import process from 'node:process'
import { collectDefaultMetrics, Gauge, type Registry } from 'prom-client'
import { gauge } from './instruments.ts'

/** What prom-client reads in `/proc`; it stays at 0 where that is closed. */
const OF_PROC = [
  'process_resident_memory_bytes',
  'process_virtual_memory_bytes',
  'process_heap_bytes',
  'process_open_fds',
]
/** How often the event loop is asked. Each answer has this time in it. */
const RESOLUTION_MS = 10
const QUANTILES = [0.5, 0.99, 1]

export function runtimeMetrics(registry: Registry): void {
  collectDefaultMetrics({ register: registry })
  eventLoopMetrics(registry)
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

function eventLoopMetrics(registry: Registry): void {
  const delay = delayMonitor()
  if (delay === undefined) return
  delay.enable()
  gauge(registry, 'event_loop_delay_seconds', function collect() {
    for (const quantile of QUANTILES) {
      const ms = delay.percentile(quantile * 100) / 1e6
      this.set({ quantile }, Math.max(ms - RESOLUTION_MS, 0) / 1000)
    }
    delay.reset()
  })
}

/** Undefined on a runtime that cannot measure it. */
function delayMonitor() {
  try {
    return monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  } catch {
    return undefined
  }
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
