/** What the bench and its load generators say to one another. @module */

import * as v from 'valibot'

export const OPERATIONS = ['Status', 'Encrypt', 'Decrypt'] as const
export type Operation = (typeof OPERATIONS)[number]

const endpoint = v.variant('kind', [
  v.object({ kind: v.literal('socket'), path: v.string() }),
  v.object({ kind: v.literal('http'), keyUrl: v.string(), token: v.string() }),
])
/** A KMS socket, or a transit key that is asked directly. */
export type Endpoint = v.InferOutput<typeof endpoint>

export const job = v.object({
  endpoint,
  operation: v.picklist(OPERATIONS),
  /** Requests under way at any time. */
  concurrency: v.number(),
  durationMs: v.number(),
})
export type Job = v.InferOutput<typeof job>

export const outcome = v.object({
  /** Of every request that succeeded, in milliseconds. */
  latencies: v.array(v.number()),
  elapsedMs: v.number(),
  /** What the generator itself used. */
  cpuMs: v.number(),
  /** Set when a request failed; then nothing else counts. */
  failure: v.optional(v.string()),
})
export type Outcome = v.InferOutput<typeof outcome>
