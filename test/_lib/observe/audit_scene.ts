/** An audit stream in a file of its own, and targets that fail. @module */

import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { type Clock, systemClock } from '../../../src/base/clock.ts'
import type { KmsEvent } from '../../../src/base/events.ts'
import { AuditFile } from '../../../src/observe/audit/file_target.ts'
import type { HeadSigner } from '../../../src/observe/audit/head.ts'
import { ORIGIN } from '../../../src/observe/audit/lines.ts'
import { AuditStream } from '../../../src/observe/audit/stream.ts'
import type { AuditTarget } from '../../../src/observe/audit/target.ts'
import { RecordedEvents } from '../events.ts'
import { until } from '../wait.ts'

type RequestEvent = Extract<KmsEvent, { type: 'request' }>

/** Whatever waits for time does so for a hundredth of it. */
export const HASTY_CLOCK: Clock = {
  ...systemClock,
  after: (ms, run) => systemClock.after(ms / 100, run),
}

/** The same of what waits for the next try alone: a file system may take as long as ever. */
export const RETRYING_CLOCK: Clock = {
  ...systemClock,
  after: (ms, run) => systemClock.after(ms < 5_000 ? ms : ms / 100, run),
}

export function requestOf(uid: string, more: Partial<RequestEvent> = {}): RequestEvent {
  return {
    type: 'request',
    api: 'v2',
    method: 'Encrypt',
    uid,
    code: 'ok',
    durationMs: 1.5,
    keyIdHash: `sha256:${'a'.repeat(64)}`,
    ...more,
  }
}

interface StreamOptions {
  readonly maxBytes?: number
  readonly maxTotalBytes?: number
  readonly clock?: Clock
  readonly signer?: HeadSigner
  readonly target?: AuditTarget
}

/** One that is never closed is as one that was killed; its file must outlive it, since the runtime forbids otherwise. */
const KEPT: StreamHere[] = []

export class StreamHere {
  readonly events = new RecordedEvents()
  readonly stream: AuditStream
  #asked = 0

  constructor(path: string, options: StreamOptions = {}) {
    const { maxBytes = 1e9, maxTotalBytes = 1e9, clock = systemClock, signer } = options
    const target = options.target ?? new AuditFile({ path, maxTotalBytes, now: clock.now })
    const about = { version: '1.2.3', node: 'cp-1' }
    const { events } = this
    KEPT.push(this)
    this.stream = new AuditStream({ target, maxBytes, clock, events, signer, ...about })
  }

  /** Settles when they are written. */
  async write(uids: readonly string[]): Promise<void> {
    for (const uid of uids) this.stream.emit(requestOf(uid))
    this.#asked += uids.length
    await until('all are written', () => this.count('written') >= this.#asked)
  }

  count(outcome: 'written' | 'lost'): number {
    return this.events
      .of('audit_records')
      .filter((event) => event.outcome === outcome)
      .reduce((sum, { records }) => sum + records, 0)
  }
}

/** Keeps what is written in memory; each write does first what the test says. */
export class MemoryTarget implements AuditTarget {
  readonly name = 'memory'
  readonly look = () => Promise.resolve()
  readonly end = () => Promise.resolve()
  text = ''
  /** Parts that were begun. */
  begun = 0
  /** @returns how many bytes are taken */
  before: (bytes: Uint8Array) => Promise<number> = (bytes) => Promise.resolve(bytes.length)
  isFull = true

  begin: AuditTarget['begin'] = (own) => {
    this.begun += 1
    return Promise.resolve({ link: own ?? ORIGIN, after: own === undefined ? 'nothing' : 'failed' })
  }

  goesOn = () => this.isFull

  async write(bytes: Uint8Array): Promise<number> {
    const taken = await this.before(bytes)
    this.text += new TextDecoder().decode(bytes.subarray(0, taken))
    return taken
  }
}

export function linesOf(text: string): Record<string, unknown>[] {
  return text
    .split('\n')
    .slice(0, -1)
    .map((line): Record<string, unknown> => JSON.parse(line))
}

export async function linesAt(path: string): Promise<Record<string, unknown>[]> {
  return linesOf(await readFile(path, 'utf8'))
}

/** As any other program would do it. */
export function sha256(line: string): string {
  return createHash('sha256').update(line).digest('hex')
}

/** The audit files of a folder, those that were rotated first. */
export async function auditFiles(folder: string): Promise<string[]> {
  const names = (await readdir(folder)).filter((name) => name.startsWith('audit.log'))
  const seq = (name: string) => Number(/-(\d+)$/.exec(name)?.[1] ?? Number.POSITIVE_INFINITY)
  return names
    .toSorted((a, b) => seq(a) - seq(b) || (a < b ? -1 : 1))
    .map((name) => `${folder}/${name}`)
}
