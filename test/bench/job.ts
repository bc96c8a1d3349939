/** The messages between the bench and its load generators. @module */

import * as v from 'valibot'

const endpoint = v.variant('kind', [
  v.object({ kind: v.literal('socket'), path: v.string() }),
  v.object({ kind: v.literal('http'), address: v.string(), token: v.string() }),
])
/** A KMS socket, or a key service that is asked directly. */
export type Endpoint = v.InferOutput<typeof endpoint>

export const job = v.object({
  endpoint,
  /** Of the gRPC method, or of the URL. */
  path: v.string(),
  /** Encoded ahead, so that a generator measures the server and not itself; sent in turn. */
  bodies: v.pipe(v.array(v.instance(Uint8Array)), v.minLength(1)),
  /** Requests under way at any time. */
  concurrency: v.number(),
  /** It ends after this, and after as many `requests`, whichever comes first. */
  durationMs: v.optional(v.number(), Number.POSITIVE_INFINITY),
  requests: v.optional(v.number(), Number.POSITIVE_INFINITY),
  /** What a caller waits between an answer and its next request. */
  pauseMs: v.optional(v.number(), 0),
})
export type Job = v.InferInput<typeof job>

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
