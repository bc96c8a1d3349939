/** Who wants to know what each request did. Each is loaded only where the config asks for it. @module */

import type { Clock } from '../base/clock.ts'
import type { EventSink } from '../base/events.ts'
import type { Config } from '../config/schema.ts'

export interface Recorder extends EventSink {
  /** Hands over what it has, in bounded time, whatever hangs. */
  close(): Promise<void>
}

interface RecordersDeps {
  readonly clock: Clock
  /** Where they tell of themselves. */
  readonly events: EventSink
  /** Called with a function that tells whether a file system blocks the process. */
  readonly mayHang?: ((stuck: () => boolean) => void) | undefined
}

export async function recordersOf(
  config: Config,
  { clock, events, mayHang }: RecordersDeps,
): Promise<readonly Recorder[]> {
  const recorders: Recorder[] = []
  if (config.audit !== undefined) {
    const { startAudit } = await import('./audit.ts')
    const audit = startAudit(config.audit, config, { clock, events })
    mayHang?.(() => audit.stuck)
    recorders.push(audit)
  }
  return recorders
}
