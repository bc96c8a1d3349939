/**
 * Who writes down requests outside the process, beside log and metrics. Each is loaded only where
 * the config has it; where there is none, no request has a record.
 *
 * @module
 */

import type { Clock } from '../base/clock.ts'
import type { EventSink } from '../base/events.ts'
import type { Config } from '../config/schema.ts'

export interface Recorder extends EventSink {
  /** Called when no more events come; settles after a bounded time. */
  close(): Promise<void>
}

interface RecorderDeps {
  readonly clock: Clock
  /** For what they have to tell themselves. */
  readonly events: EventSink
}

export async function recordersOf(
  config: Config,
  deps: RecorderDeps,
): Promise<readonly Recorder[]> {
  const recorders: Recorder[] = []
  if (config.traces !== undefined) {
    const { startTraces } = await import('./traces.ts')
    recorders.push(startTraces(config.traces, deps))
  }
  return recorders
}
