/** Records that wait to be written, in bounded memory. @module */

/** So much waits for a disk or a reader that is stuck; what comes after it is lost, and counted. */
const MAX_BYTES = 4_194_304
/** What a line has around its fields. */
const ENDS_BYTES = 96

export class WaitingRecords {
  #records: string[] = []
  #bytes = 0
  /** Since the last one that was let in. */
  #lost = 0

  get isEmpty(): boolean {
    return this.#records.length === 0
  }

  get isHalfFull(): boolean {
    return this.#bytes > MAX_BYTES / 2
  }

  get length(): number {
    return this.#records.length
  }

  /**
   * False for one that is lost. The next one that is let in says how many were.
   *
   * @param fields JSON without its braces
   */
  add(fields: string): boolean {
    if (this.#bytes + sizeOf(fields) > MAX_BYTES) {
      this.#lost += 1
      return false
    }
    const lost = this.takeLost()
    const record = lost === undefined ? fields : `${fields},"lost":${lost}`
    this.#records.push(record)
    this.#bytes += sizeOf(record)
    return true
  }

  /** How many are lost that no record tells of; from now on none. */
  takeLost(): number | undefined {
    const lost = this.#lost
    this.#lost = 0
    return lost === 0 ? undefined : lost
  }

  /** As many as fit, and at least one. */
  take(maxBytes: number): string[] {
    let [bytes, records] = [0, 0]
    for (const record of this.#records) {
      if (records > 0 && bytes + sizeOf(record) > maxBytes) break
      bytes += sizeOf(record)
      records += 1
    }
    this.#bytes -= bytes
    return this.#records.splice(0, records)
  }

  /** Those that were taken last and could not be written. */
  putBack(records: readonly string[]): void {
    this.#records = [...records, ...this.#records]
    this.#bytes += records.reduce((sum, record) => sum + sizeOf(record), 0)
  }
}

function sizeOf(record: string): number {
  return record.length + ENDS_BYTES
}
