/** Where the audit stream is written. @module */

import type { After, ChainLink } from './lines.ts'

/** What a part goes on from. */
export interface Before {
  readonly link: ChainLink
  readonly after: After
}

export interface AuditTarget {
  /** For messages. */
  readonly name: string
  /** Finds out early what would not work; nothing is made but the folder. */
  look(): Promise<void>
  /**
   * Makes room for a new part.
   *
   * @param own what this process wrote last, if it did
   */
  begin(own: ChainLink | undefined): Promise<Before>
  /** @returns how many bytes were taken */
  write(bytes: Uint8Array): Promise<number>
  /** Whether the rest may follow later in the same place; otherwise a new part begins. */
  goesOn(error: unknown): boolean
  /** Ends the part; nothing of it is lost in a power failure after that, where the runtime lets files be flushed. */
  end(): Promise<void>
}
