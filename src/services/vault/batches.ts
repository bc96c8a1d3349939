/**
 * Decides how many items go into one request to the transit engine. Services have limits that they
 * do not tell in advance; once one is met, later requests stay below it.
 *
 * @module
 */

import type { EventSink } from '../../base/events.ts'
import { VaultStatusError } from './api.ts'

/** What services say of a request that is too large for them. */
const TOO_MUCH = [
  'high complexity',
  'maximum number of',
  'request body too large',
  'exceeds the maximum',
  'exceeds maximum',
  'max_json',
]
/**
 * Below the limits of every service that was tested; with the longest plaintexts, batches are
 * shorter.
 */
const MAX_CHARACTERS = 1_000_000

export class BatchSizes {
  /**
   * OpenBao accepts at most 1000 strings in a request. An item here has seven, and larger batches
   * would gain nothing.
   */
  static readonly MAX_ITEMS = 128
  readonly #provider: string
  readonly #events: EventSink
  #items = BatchSizes.MAX_ITEMS

  /** @param provider its name, for events */
  constructor(provider: string, events: EventSink) {
    this.#provider = provider
    this.#events = events
  }

  /** Runs `work` over all items in as few parts as the service accepts, side by side. */
  async run<T>(
    items: readonly object[],
    work: (part: readonly object[]) => Promise<readonly T[]>,
  ): Promise<readonly T[]> {
    const [only, ...more] = this.#partsOf(items)
    if (only === undefined) return []
    if (more.length === 0) return await this.#part(only, work)
    const results = await Promise.all([only, ...more].map((part) => this.#part(part, work)))
    return results.flat()
  }

  async #part<T>(
    part: readonly object[],
    work: (part: readonly object[]) => Promise<readonly T[]>,
  ): Promise<readonly T[]> {
    try {
      return await work(part)
    } catch (error) {
      if (part.length === 1 || !isTooMuch(error)) throw error
    }
    this.#obey(Math.ceil(part.length / 2))
    return await this.run(part, work)
  }

  #obey(items: number): void {
    if (items >= this.#items) return
    this.#items = items
    const message = `Provider "${this.#provider}" has a service that takes no larger batches: ${items} items from now on`
    const fields = { provider: this.#provider, items }
    this.#events.emit({ type: 'notice', level: 'info', what: 'batch_limit', message, fields })
  }

  #partsOf(items: readonly object[]): (readonly object[])[] {
    const parts: object[][] = []
    let room = 0
    for (const item of items) {
      const characters = lengthOf(item)
      const part = parts.at(-1)
      if (part === undefined || part.length >= this.#items || characters > room) {
        parts.push([item])
        room = MAX_CHARACTERS - characters
      } else {
        part.push(item)
        room -= characters
      }
    }
    return parts
  }
}

function lengthOf(item: object): number {
  let length = 0
  for (const value of Object.values(item)) length += String(value).length
  return length
}

function isTooMuch(error: unknown): boolean {
  if (!(error instanceof VaultStatusError)) return false
  return error.status === 413 || TOO_MUCH.some((phrase) => error.says(phrase))
}
