/**
 * Keeps the facts: they are read at an interval and never on the way of a request, and whoever
 * listens hears of those that changed. Only sources that somebody uses are read.
 *
 * @module
 */

import { withinLimit } from '../../base/call.ts'
import type { Clock } from '../../base/clock.ts'
import { toKmsError } from '../../base/errors.ts'
import type { Pace, Source } from './sources.ts'
import { type Fact, type Facts, isSameFact, Unknown } from './value.ts'

interface KeeperOptions {
  readonly clock: Clock
  readonly intervalMs: number
  readonly seldomMs: number
}

/** A file system or a chip that hangs makes its facts unknown, and holds up no others. */
const READ_LIMIT_MS = 2_000

type Listener = (changed: ReadonlySet<string>) => void

export class FactKeeper {
  readonly #options: KeeperOptions
  readonly #sources: readonly Source[]
  readonly #listeners = new Set<Listener>()
  /** Sources of which a reading has not ended. */
  readonly #busy = new Set<Source>()
  readonly #readAt = new Map<Source, number>()
  /** Of readings that ended after their time. */
  #late: Readonly<Record<string, Fact>>[] = []
  #facts: Facts = new Map()
  #cancel: () => void = () => undefined
  #stopped = false

  /** @param used paths of facts; undefined for all */
  constructor(
    sources: readonly Source[],
    used: ReadonlySet<string> | undefined,
    options: KeeperOptions,
  ) {
    this.#options = options
    this.#sources = sources.filter(
      ({ paths }) => used === undefined || paths.some((path) => used.has(path)),
    )
    this.#facts = new Map(
      this.#sources.flatMap(({ paths }) => paths.map((path) => [path, NOT_YET] as const)),
    )
  }

  get facts(): Facts {
    return this.#facts
  }

  onChange(listener: Listener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Reads all that is due, and goes on at the interval. */
  async start(): Promise<void> {
    await this.refresh()
    this.#later()
  }

  stop(): void {
    this.#stopped = true
    this.#cancel()
  }

  /** Reads what is due now. */
  async refresh(): Promise<void> {
    const due = this.#sources.filter((source) => this.#isDue(source))
    const late = this.#late
    this.#late = []
    const read = await Promise.all(due.map((source) => this.#read(source)))
    const next = new Map(this.#facts)
    const changed = new Set<string>()
    for (const [path, fact] of [...late, ...read].flatMap((facts) => Object.entries(facts))) {
      if (isSameFact(next.get(path), fact)) continue
      next.set(path, fact)
      changed.add(path)
    }
    if (changed.size === 0 || this.#stopped) return
    this.#facts = next
    for (const listener of this.#listeners) listener(changed)
  }

  #later(): void {
    if (this.#stopped) return
    this.#cancel = this.#options.clock.after(this.#options.intervalMs, () => {
      void this.refresh().then(() => this.#later())
    })
  }

  #isDue(source: Source): boolean {
    if (this.#busy.has(source)) return false
    const before = this.#readAt.get(source)
    const { intervalMs, seldomMs } = this.#options
    const every: Readonly<Record<Pace, number>> = {
      often: 0,
      seldom: Math.max(seldomMs, intervalMs),
      once: Number.POSITIVE_INFINITY,
    }
    return before === undefined || this.#options.clock.monotonic() - before >= every[source.pace]
  }

  /** Never rejects. */
  async #read(source: Source): Promise<Readonly<Record<string, Fact>>> {
    const { clock } = this.#options
    this.#busy.add(source)
    this.#readAt.set(source, clock.monotonic())
    const reading = source.read().finally(() => this.#busy.delete(source))
    try {
      return await withinLimit(clock, READ_LIMIT_MS, () => reading)
    } catch (error) {
      const late = toKmsError(error).code === 'timeout'
      // A source that is read once would stay unknown, such as the digest of a program on a slow disk.
      if (late) void reading.then((facts) => this.#late.push(facts)).catch(() => undefined)
      const why = late ? 'no answer in time' : 'it cannot be read'
      return Object.fromEntries(source.paths.map((path) => [path, new Unknown(why)]))
    }
  }
}

const NOT_YET = new Unknown('not read yet')
