/**
 * The lines of the audit stream: JSON, each with its number and with the hash of the line before
 * it, so that a line that is changed, taken out or put in breaks the chain. `trousseau audit
 * verify` reads the same format (docs/audit.md).
 *
 * @module
 */

import { hash } from 'node:crypto'
import * as v from 'valibot'

export const AUDIT_FORMAT = 1
/** No line is longer, whatever the config names. */
export const MAX_LINE_BYTES = 65_536

/** A line, as the one after it names it. */
export interface ChainLink {
  readonly seq: number
  /** SHA-256 of its bytes without the line feed, in hex; null where the chain begins. */
  readonly hash: string | null
}

/** What stands before the first line of all. */
export const ORIGIN: ChainLink = { seq: 0, hash: null }

/**
 * How that ended which a part goes on from. `cut`: without a head, by a process that was killed or
 * that still writes; `torn`: in the middle of a line; `failed`: this process could write there no
 * more; `unreadable`: by something that is no line of ours; `unknown`: standard output, which
 * cannot be read.
 */
const AFTER = [
  ...(['nothing', 'rotated', 'closed', 'cut', 'torn'] as const),
  ...(['failed', 'unreadable', 'unknown'] as const),
] as const
export type After = (typeof AFTER)[number]
export type HeadReason = 'rotated' | 'closed'

const HEX_HASH = /^[0-9a-f]{64}$/
const text = v.string()
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const ends = { seq: count, time: text, prev: v.nullable(v.pipe(text, v.regex(HEX_HASH))) }

const beginLine = v.looseObject({
  ...ends,
  event: v.literal('begin'),
  format: count,
  version: text,
  node: text,
  run: text,
  after: v.picklist(AFTER),
})
const recordLine = v.looseObject({
  ...ends,
  event: v.literal('request'),
  lost: v.optional(count),
})
const headLine = v.looseObject({
  ...ends,
  event: v.literal('head'),
  why: v.picklist(['rotated', 'closed']),
  node: text,
  run: text,
  records: count,
  lost: v.optional(count),
  key: v.optional(text),
  signature: v.optional(text),
  unsigned: v.optional(text),
})
export const auditLine = v.variant('event', [beginLine, recordLine, headLine])
export type AuditLine = v.InferOutput<typeof auditLine>
export type HeadLine = v.InferOutput<typeof headLine>

/** Undefined for what is no line of ours. */
export function parsedLine(line: string): AuditLine | undefined {
  const { success, output } = v.safeParse(v.pipe(v.string(), v.parseJson(), auditLine), line)
  return success ? output : undefined
}

export function hashOf(line: string): string {
  return hash('sha256', line, 'hex')
}

/** Numbers lines and links them. */
export class Chain {
  /** The last line. */
  link: ChainLink = ORIGIN

  /** What the next line has around its fields. */
  get ends(): { readonly seq: number; readonly prev: string | null } {
    return { seq: this.link.seq + 1, prev: this.link.hash }
  }

  /**
   * The next line.
   *
   * @param fields JSON without its braces
   */
  add(fields: string): string {
    const { seq, prev } = this.ends
    const line = `{"seq":${seq},${fields},"prev":${prev === null ? 'null' : `"${prev}"`}}`
    this.link = { seq, hash: hashOf(line) }
    return line
  }
}

/** JSON without its braces; fields that are undefined are left out. */
export function fieldsOf(fields: object): string {
  return JSON.stringify(fields).slice(1, -1)
}
