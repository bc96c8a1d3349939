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
  /** Called when no more events come; settles after a bounded time, whatever hangs. */
  close(): Promise<void>
}

interface RecorderDeps {
  readonly clock: Clock
  /** For what they have to tell themselves. */
  readonly events: EventSink
  /** Called with a function that tells whether a file system blocks the process. */
  readonly mayHang?: ((stuck: () => boolean) => void) | undefined
}

export async function recordersOf(
  config: Config,
  { mayHang, ...deps }: RecorderDeps,
): Promise<readonly Recorder[]> {
  const recorders: Recorder[] = []
  if (config.traces !== undefined) {
    const { startTraces } = await import('./traces.ts')
    recorders.push(startTraces(config.traces, deps))
  }
  if (config.audit !== undefined) {
    const { startAudit } = await import('./audit.ts')
    const audit = startAudit(config.audit, config, deps)
    mayHang?.(() => audit.stuck)
    recorders.push(audit)
  }
  return recorders
}
