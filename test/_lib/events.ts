/** An event sink that remembers all events. @module */

import type { EventSink, KmsEvent } from '../../src/base/events.ts'

export class RecordedEvents implements EventSink {
  readonly all: KmsEvent[] = []

  emit(event: KmsEvent): void {
    this.all.push(event)
  }

  of<T extends KmsEvent['type']>(type: T): Extract<KmsEvent, { type: T }>[] {
    return this.all.filter((event): event is Extract<KmsEvent, { type: T }> => event.type === type)
  }

  /** Names of the notices so far. */
  notices(): string[] {
    return this.of('notice').map(({ what }) => what)
  }
}
