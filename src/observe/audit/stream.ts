/**
 * Writes the audit stream beside the requests, and never holds one up: what nobody takes is kept
 * in bounded memory, then lost and counted, and the next line says how many are missing.
 *
 * @module
 */

import { randomBytes } from 'node:crypto'
import { unlessAborted } from '../../base/call.ts'
import type { Clock } from '../../base/clock.ts'
import { KmsError, systemReasonOf } from '../../base/errors.ts'
import type { EventSink, KmsEvent } from '../../base/events.ts'
import { Batch } from './batch.ts'
import { type HeadSigner, headOf } from './head.ts'
import { AUDIT_FORMAT, Chain, fieldsOf, type HeadReason, ORIGIN } from './lines.ts'
import { recordOf } from './record.ts'
import type { AuditTarget } from './target.ts'
import { WaitingRecords } from './waiting_records.ts'

/** Lines of one moment are written together. */
const GATHER_MS = 10
const BATCH_BYTES = 262_144
const RETRY_MS = 5_000
/** After so long a file system that does not answer is told of. */
const SILENT_MS = 2_000
const FAREWELL_MS = 1_000
/** How long a TPM may take; at the end of the process it must leave time to write. */
const SIGN_MS: Readonly<Record<HeadReason, number>> = { rotated: 2_000, closed: 700 }

export interface AuditStreamOptions {
  readonly target: AuditTarget
  /** Of a part; more than that by one batch at most. */
  readonly maxBytes: number
  readonly clock: Clock
  readonly events: EventSink
  readonly version: string
  /** This node's name. */
  readonly node: string
  /** Absent where there is no key. */
  readonly signer?: HeadSigner | undefined
}

export class AuditStream implements EventSink {
  readonly #options: AuditStreamOptions
  readonly #waiting = new WaitingRecords()
  readonly #chain = new Chain()
  readonly #run = randomBytes(8).toString('hex')
  /** Lines that are in the chain and not yet wholly written. */
  #batch: Batch | undefined
  /** Undefined while none is begun. */
  #part: { bytes: number; records: number } | undefined
  #working: Promise<void> | undefined
  /** Ends a wait that is for comfort alone. */
  #hurry: () => void = () => undefined
  readonly #closing = new AbortController()
  #asking = false
  #failing = false
  /** Since the stream was last written. */
  #lost = 0

  constructor(options: AuditStreamOptions) {
    this.#options = options
    options.events.emit({ type: 'audit_records', outcome: 'written', records: 0 })
    this.#working = this.#ask(() => options.target.look())
      .catch((error: unknown) => this.#tellFailed(error))
      .then(() => this.#work())
  }

  /** Whether a thread of the runtime waits for a file system or a reader. */
  get stuck(): boolean {
    return this.#asking
  }

  emit(event: KmsEvent): void {
    if (this.#closing.signal.aborted) return
    const record = recordOf(event, this.#options.clock.now())
    if (record === undefined) return
    if (!this.#waiting.add(record)) {
      this.#tellLost(1)
      return
    }
    if (this.#waiting.isHalfFull) this.#hurry()
    this.#working ??= this.#work()
  }

  /** Writes what waits and the head, unless nobody takes it within a second. The last call. */
  async close(): Promise<void> {
    const { clock } = this.#options
    this.#closing.abort()
    this.#hurry()
    const { promise: late, resolve } = Promise.withResolvers<void>()
    const cancel = clock.after(FAREWELL_MS, resolve)
    await Promise.race([this.#farewell(), late])
    cancel()
    const left = this.#waiting.length + (this.#batch?.unwritten.length ?? 0)
    if (left > 0) this.#tellLost(left)
  }

  async #farewell(): Promise<void> {
    await this.#working
    try {
      await this.#writeAll()
      if (this.#part !== undefined) await this.#endPart('closed')
    } catch (error) {
      this.#tellFailed(error)
    }
  }

  async #work(): Promise<void> {
    const { signal } = this.#closing
    while (!signal.aborted && (this.#batch !== undefined || !this.#waiting.isEmpty)) {
      await this.#gather()
      try {
        await this.#writeAll()
      } catch (error) {
        this.#tellFailed(error)
        await this.#retryTime()
      }
    }
    this.#working = undefined
  }

  async #writeAll(): Promise<void> {
    // What a failure left comes first: it is in the chain already.
    await this.#writeBatch()
    while (!this.#waiting.isEmpty) {
      const isFull = this.#part !== undefined && this.#part.bytes >= this.#options.maxBytes
      if (isFull) await this.#endPart('rotated')
      if (this.#part === undefined) await this.#beginPart()
      const from = this.#chain.link
      const records = this.#waiting.take(BATCH_BYTES)
      const lines = records.map((fields) => this.#chain.add(fields))
      this.#batch = new Batch(lines, { from, records })
      await this.#writeBatch()
    }
  }

  async #beginPart(): Promise<void> {
    const { target, clock, version, node } = this.#options
    const own = this.#chain.link === ORIGIN ? undefined : this.#chain.link
    const { link: from, after } = await this.#ask(() => target.begin(own))
    this.#chain.link = from
    this.#part = { bytes: 0, records: 0 }
    const time = new Date(clock.now()).toISOString()
    const about = { format: AUDIT_FORMAT, version, node, run: this.#run, after }
    const line = this.#chain.add(fieldsOf({ time, event: 'begin', ...about }))
    this.#batch = new Batch([line], { from })
    await this.#writeBatch()
  }

  async #endPart(why: HeadReason): Promise<void> {
    const { target, clock, node, signer } = this.#options
    const { link: from, ends } = this.#chain
    const head = {
      ends,
      time: clock.now(),
      why,
      node,
      run: this.#run,
      records: this.#part?.records ?? 0,
      lost: why === 'closed' ? this.#waiting.takeLost() : undefined,
    }
    const limit = this.#limit(SIGN_MS[why])
    const { fields, error } = await headOf(head, signer, limit.signal)
    limit.cancel()
    if (error !== undefined) this.#tellUnsigned(error)
    this.#batch = new Batch([this.#chain.add(fields)], { from, ends: true })
    await this.#writeBatch()
    await this.#ask(() => target.end())
  }

  async #writeBatch(): Promise<void> {
    const { target } = this.#options
    while (this.#batch !== undefined) {
      const batch = this.#batch
      try {
        const taken = await this.#ask(() => target.write(batch.rest))
        batch.advance(taken)
        if (this.#part !== undefined) this.#part.bytes += taken
      } catch (error) {
        if (!target.goesOn(error)) this.#abandon(batch)
        throw error
      }
      if (batch.isWhole) this.#written(batch)
    }
  }

  #written({ records, ends }: Batch): void {
    this.#batch = undefined
    if (ends) this.#part = undefined
    else if (this.#part !== undefined) this.#part.records += records.length
    if (records.length > 0) this.#tellWritten(records.length)
  }

  /** Records whose lines are not whole wait again, for a new part. */
  #abandon(batch: Batch): void {
    const { written, unwritten } = batch
    this.#waiting.putBack(unwritten)
    this.#chain.link = written
    this.#batch = undefined
    this.#part = undefined
    const whole = batch.records.length - unwritten.length
    const { events } = this.#options
    events.emit({ type: 'audit_records', outcome: 'written', records: whole })
  }

  /** One request to the system at a time, since each may occupy a thread of the runtime for ever. */
  async #ask<T>(work: () => Promise<T>): Promise<T> {
    this.#asking = true
    const cancel = this.#options.clock.after(SILENT_MS, () => {
      this.#tellFailed(new KmsError('no answer from it', { code: 'timeout' }))
    })
    try {
      return await work()
    } finally {
      cancel()
      this.#asking = false
    }
  }

  #gather(): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#options.clock.after(GATHER_MS, resolve)
      this.#hurry = () => {
        cancel()
        resolve()
      }
    })
  }

  async #retryTime(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const cancel = this.#options.clock.after(RETRY_MS, resolve)
    await unlessAborted(promise, this.#closing.signal).catch(() => undefined)
    cancel()
  }

  /** Ends sooner where so much waits that records might be lost. */
  #limit(ms: number): { readonly signal: AbortSignal; cancel(): void } {
    const controller = new AbortController()
    const why = new KmsError('Login key did not sign in time', { code: 'timeout' })
    const stop = () => controller.abort(why)
    const cancel = this.#options.clock.after(ms, stop)
    this.#hurry = stop
    return { signal: controller.signal, cancel }
  }

  #tellFailed(error: unknown): void {
    if (this.#failing) return
    this.#failing = true
    const { target, events } = this.#options
    const why = error instanceof KmsError ? error.message : systemReasonOf(error)
    const message = `Audit stream cannot be written to ${target.name}: ${why}. It is tried again every ${RETRY_MS / 1000} s, and requests are served meanwhile`
    events.emit({ type: 'notice', level: 'error', what: 'audit_failed', message })
  }

  #tellLost(records: number): void {
    const { events, target } = this.#options
    events.emit({ type: 'audit_records', outcome: 'lost', records })
    const isFirst = this.#lost === 0
    this.#lost += records
    if (!isFirst) return
    const message = `Records of the audit stream are lost, because ${target.name} takes them too slowly or not at all`
    events.emit({ type: 'notice', level: 'error', what: 'audit_lost', message })
  }

  #tellWritten(records: number): void {
    const { events, target } = this.#options
    events.emit({ type: 'audit_records', outcome: 'written', records })
    if (!this.#failing && this.#lost === 0) return
    const lost = this.#lost
    this.#failing = false
    this.#lost = 0
    const message = `Audit stream is written to ${target.name} again; records that were lost: ${lost}`
    const fields = { lost }
    events.emit({ type: 'notice', level: 'info', what: 'audit_resumed', message, fields })
  }

  #tellUnsigned(error: KmsError): void {
    const message = `Head of the audit stream is not signed: ${error.message}`
    const { events } = this.#options
    events.emit({ type: 'notice', level: 'warn', what: 'audit_unsigned', message, error })
  }
}
