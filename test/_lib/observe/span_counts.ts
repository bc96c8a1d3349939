/** What became of spans, as the metric counts it. @module */

import type { KmsEvent } from '../../../src/base/events.ts'
import type { RecordedEvents } from '../events.ts'

export type SpanOutcome = Extract<KmsEvent, { type: 'trace_spans' }>['outcome']

export function spansCounted(events: RecordedEvents, outcome: SpanOutcome): number {
  const told = events.of('trace_spans').filter((event) => event.outcome === outcome)
  return told.reduce((sum, { spans }) => sum + spans, 0)
}
