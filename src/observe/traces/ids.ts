/**
 * Ids of traces and spans. A request's own id is the id of its trace, so that log, audit stream and
 * the API server's log find it; where a trace context came with the request it comes first.
 *
 * @module
 */

import { Buffer } from 'node:buffer'

/** In lower-case hex, as W3C's Trace Context has them. */
interface Parent {
  readonly traceId: string
  readonly spanId: string
  readonly sampled: boolean
}

const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i
/** Version 00, the only one that there is. No id is all zeros. */
const TRACEPARENT = /^00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})$/
const ZEROS = /^0+$/
const SAMPLED = 1
const DIGITS = 13

/** Undefined for a text that is none: then it counts as if nothing had come. */
export function parentOf(traceparent: string | undefined): Parent | undefined {
  const [, traceId, spanId, flags = ''] = TRACEPARENT.exec(traceparent ?? '') ?? []
  if (traceId === undefined || spanId === undefined) return undefined
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & SAMPLED) !== 0 }
}

/** Undefined for a uid that is no UUID, or the one of zeros. */
export function traceIdOf(uid: string | undefined): string | undefined {
  if (uid === undefined || !UUID.test(uid)) return undefined
  const id = uid.replaceAll('-', '').toLowerCase()
  return ZEROS.test(id) ? undefined : id
}

export function randomId(bytes: 8 | 16, random: (bytes: number) => Uint8Array): string {
  for (;;) {
    const id = Buffer.from(random(bytes)).toString('hex')
    if (!ZEROS.test(id)) return id
  }
}

/**
 * By the last seven bytes of the id, which are random in the UUIDs of API servers, so that all who
 * see a trace decide alike (W3C Trace Context level 2). The byte before them, by which older samplers
 * decide too, has the variant of the UUID: ratios below a half would come out as none.
 */
export function isSampled(traceId: string, ratio: number): boolean {
  // Of the 14 digits so many are exact in a number.
  const value = Number.parseInt(traceId.slice(-14, -14 + DIGITS), 16)
  return value >= (1 - ratio) * 16 ** DIGITS
}
