/**
 * Clients that create, update, delete and read Secrets without pause. They remember what the API
 * server acknowledged, so that each Secret can be compared with that at the end.
 *
 * A Secret has one writer. A write that failed may still have been done, or be done later, so its
 * Secret is not written again, and may have either value.
 *
 * @module
 */

import { setTimeout as pause } from 'node:timers/promises'
import { SeededRandom } from '../seeded_random.ts'
import { until } from '../wait.ts'
import type { KubeApi } from './kube_api.ts'

const SECRETS_OF_A_WRITER = 40
const AFTER_FAILURE_MS = 100
/** So many successes of a kind show that it works. */
const GOES_ON = 20

/** Part of every value; nothing that is stored may contain it. */
export const PLANTED = 'planted-9b37ce11-plaintext'

type LoadKind = 'write' | 'read'

interface LoadAttempt {
  readonly kind: LoadKind
  /** In `performance.now` milliseconds, as is `end`. */
  readonly start: number
  readonly end: number
  /** Why it failed. */
  readonly failed: string | undefined
}

interface SecretLoadOptions {
  /** Asked in turn; they share one etcd. */
  readonly apis: readonly KubeApi[]
  /** The names' beginning. */
  readonly name?: string
  readonly writers?: number
  readonly readers?: number
  /** Between two requests of one client. */
  readonly pauseMs?: number
  readonly random?: SeededRandom
}

/** The states that were asked for, the oldest first: a value, or `undefined` for no Secret. */
interface Kept {
  readonly wanted: (string | undefined)[]
  /** Index of the last one that was acknowledged. */
  acknowledged: number
  written: boolean
}

export class SecretLoad implements AsyncDisposable {
  readonly attempts: LoadAttempt[] = []
  /** Reads that returned something else than what was acknowledged. */
  readonly wrong: string[] = []
  #apis: readonly KubeApi[]
  readonly #underWay = new Set<Promise<void>>()
  readonly #name: string
  readonly #pauseMs: number
  readonly #random: SeededRandom
  readonly #kept = new Map<string, Kept>()
  readonly #workers: Promise<void>[]
  #turn = 0
  #made = 0
  #stopped = false

  constructor(options: SecretLoadOptions) {
    const { writers = 2, readers = 2 } = options
    this.#apis = options.apis
    this.#name = options.name ?? 'load'
    this.#pauseMs = options.pauseMs ?? 5
    this.#random = options.random ?? new SeededRandom(1)
    this.#workers = [
      ...Array.from({ length: writers }, () => this.#write()),
      ...Array.from({ length: readers }, () => this.#read()),
    ]
  }

  /** Those that began in the span. */
  of(kind: LoadKind, since = 0, to = Number.POSITIVE_INFINITY): LoadAttempt[] {
    // They stand in the order in which they ended.
    const first = this.attempts.findLastIndex(({ end }) => end < since) + 1
    return this.attempts
      .slice(first)
      .filter((each) => each.kind === kind && each.start >= since && each.start < to)
  }

  failures(kind: LoadKind, since = 0, to = Number.POSITIVE_INFINITY): string[] {
    return this.of(kind, since, to).flatMap(({ failed }) => (failed === undefined ? [] : [failed]))
  }

  /** The longest time that one took. */
  slowestMs(kind: LoadKind, since = 0): number {
    const times = this.of(kind, since).map(({ start, end }) => end - start)
    return Math.round(times.reduce((most, each) => Math.max(most, each), 0))
  }

  /** The longest time in which none succeeded. */
  longestGapMs(kind: LoadKind, since = 0): number {
    let last = since
    let longest = 0
    for (const { kind: of, end, failed } of this.attempts) {
      if (of !== kind || failed !== undefined || end < since) continue
      if (last > 0) longest = Math.max(longest, end - last)
      last = end
    }
    return Math.round(longest)
  }

  /** From now on these are asked; resolves when nothing is under way at others any more. */
  async use(apis: readonly KubeApi[]): Promise<void> {
    this.#apis = apis
    await Promise.allSettled(this.#underWay)
  }

  /** Resolves as soon as some writes and reads that began after this call have succeeded. */
  async goesOn(limitMs = 60_000): Promise<void> {
    const since = performance.now()
    for (const kind of ['write', 'read'] as const) {
      const done = () => this.of(kind, since).filter(({ failed }) => failed === undefined).length
      const why = () => this.failures(kind, since).at(-1)
      await until(`${kind}s succeed`, () => done() >= GOES_ON, { limitMs }).catch(
        (error: Error) => {
          throw new Error(`${error.message}; the last failure is ${why()}`)
        },
      )
    }
  }

  /** Secrets that were ever written, deleted ones too. */
  get size(): number {
    return this.#kept.size
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all(this.#workers)
  }

  /**
   * Reads every Secret once more at the given API server. Resolves to the differences from what was
   * acknowledged.
   */
  async differences(api: KubeApi): Promise<string[]> {
    const there = new Map<string, string>()
    let onward = ''
    do {
      const page = await api.must(
        'GET',
        `/api/v1/namespaces/default/secrets?limit=500&continue=${encodeURIComponent(onward)}`,
      )
      for (const { metadata, data } of page.items) {
        there.set(metadata.name, atob(data?.value ?? ''))
      }
      onward = page.metadata.continue ?? ''
    } while (onward !== '')
    return [...this.#kept].flatMap(([name, kept]) => {
      const found = there.get(name)
      return allowed(kept, kept.acknowledged, found) ? [] : [`${name} is ${found ?? 'not there'}`]
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  async #write(): Promise<void> {
    const own: string[] = []
    while (!this.#stopped) {
      const index = this.#random.below(SECRETS_OF_A_WRITER)
      own[index] ??= this.#newSecret()
      const done = await this.#change(own[index])
      if (!done) own[index] = this.#newSecret()
      await pause(done ? this.#pauseMs : AFTER_FAILURE_MS)
    }
  }

  #newSecret(): string {
    const name = `${this.#name}-${this.#made++}`
    this.#kept.set(name, { wanted: [undefined], acknowledged: 0, written: false })
    return name
  }

  /** Resolves to whether it was acknowledged. */
  async #change(name: string): Promise<boolean> {
    const kept = this.#keptOf(name)
    const there = kept.wanted[kept.acknowledged] !== undefined
    const removes = there && this.#random.below(4) === 0
    const value = removes ? undefined : `${PLANTED} ${name} ${kept.wanted.length}`
    kept.wanted.push(value)
    const secrets = '/api/v1/namespaces/default/secrets'
    const body = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name, namespace: 'default' },
      stringData: { value },
    }
    const api = this.#api()
    const send = () => {
      if (removes) return api.must('DELETE', `${secrets}/${name}`)
      return there ? api.must('PUT', `${secrets}/${name}`, body) : api.must('POST', secrets, body)
    }
    return await this.#recorded('write', async () => {
      await send()
      kept.acknowledged = kept.wanted.length - 1
      kept.written = true
    })
  }

  async #read(): Promise<void> {
    while (!this.#stopped) {
      const name = `${this.#name}-${this.#random.below(Math.max(this.#made, 1))}`
      const kept = this.#kept.get(name)
      const done = kept?.written !== true || (await this.#readOne(name, kept))
      await pause(done ? this.#pauseMs : AFTER_FAILURE_MS)
    }
  }

  async #readOne(name: string, kept: Kept): Promise<boolean> {
    const since = kept.acknowledged
    return await this.#recorded('read', async () => {
      const path = `/api/v1/namespaces/default/secrets/${name}`
      const { status, body } = await this.#api().send('GET', path)
      if (status !== 200 && status !== 404) throw new Error(`${status}: ${body.message ?? body}`)
      const found = status === 404 ? undefined : atob(body.data?.value ?? '')
      if (!allowed(kept, since, found)) this.wrong.push(`${name} was read as ${found}`)
    })
  }

  async #recorded(kind: LoadKind, run: () => Promise<void>): Promise<boolean> {
    const start = performance.now()
    let failed: string | undefined
    const running = run()
    this.#underWay.add(running)
    try {
      await running
    } catch (error) {
      const { message, code } = error as Error & { code?: string }
      failed = message === '' ? String(code) : message
    } finally {
      this.#underWay.delete(running)
    }
    this.attempts.push({ kind, start, end: performance.now(), failed })
    return failed === undefined
  }

  #keptOf(name: string): Kept {
    const kept = this.#kept.get(name)
    if (kept === undefined) throw new Error(`${name} is not one of this load's`)
    return kept
  }

  #api(): KubeApi {
    const api = this.#apis[this.#turn++ % this.#apis.length]
    if (api === undefined) throw new Error('A load needs an API server')
    return api
  }
}

/** Whether the value is what was acknowledged at that time, or was wanted later. */
function allowed({ wanted }: Kept, since: number, found: string | undefined): boolean {
  return wanted.slice(since).includes(found)
}
