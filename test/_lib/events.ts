/** An event sink that remembers all events. @module */

import type { EventSink, KmsEvent } from '../../src/base/events.ts'
import type { Notice, NoticeName } from '../../src/base/notices.ts'

export class RecordedEvents implements EventSink {
  readonly all: KmsEvent[] = []

  emit(event: KmsEvent): void {
    this.all.push(event)
  }

  of<T extends KmsEvent['type']>(type: T): Extract<KmsEvent, { type: T }>[] {
    return this.all.filter((event): event is Extract<KmsEvent, { type: T }> => event.type === type)
  }

  noticesOf<What extends NoticeName>(what: What): Extract<Notice, { what: What }>[] {
    return this.of('notice').filter(
      (notice): notice is Extract<Notice, { what: What }> => notice.what === what,
    )
  }

  /** Names of the notices so far. */
  notices(): string[] {
    return this.of('notice').map(({ what }) => what)
  }
}
