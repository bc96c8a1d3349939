/** One input on a target: how it ended, and whether that is a finding. @module */

import { threadCpuUsage } from 'node:process'
import type { Target } from '../surface.ts'
import { isNamed } from './named_error.ts'

export interface Finding {
  readonly kind: 'crash' | 'hang'
  readonly what: string
}

/** No input may keep the program busy for longer. */
const LIMIT_MS = 1_000

/** Undefined where all is well. */
export async function tried(target: Target, input: Uint8Array): Promise<Finding | undefined> {
  const first = await timed(target, input)
  if (first?.kind !== 'hang') return first
  // A busy machine makes everything slow, now and then even the work itself.
  return await timed(target, input)
}

async function timed(target: Target, input: Uint8Array): Promise<Finding | undefined> {
  const start = performance.now()
  const busy = threadCpuUsage()
  const ended = await endOf(target, input)
  const took = performance.now() - start
  if (took < LIMIT_MS || ended !== undefined) return ended
  const { user, system } = threadCpuUsage(busy)
  const worked = (user + system) / 1_000
  if (worked < LIMIT_MS) return undefined
  return { kind: 'hang', what: `took ${Math.round(worked)} ms of processor time` }
}

async function endOf({ run }: Target, input: Uint8Array): Promise<Finding | undefined> {
  try {
    const result = run(input)
    if (result instanceof Promise) await result
    return undefined
  } catch (error) {
    if (isNamed(error)) return undefined
    return { kind: 'crash', what: sayError(error) }
  }
}

/** The error and its causes, and where in the sources it was. */
export function sayError(error: unknown): string {
  if (!(error instanceof Error)) return `threw no error: ${String(error)}`
  const stack = error.stack ?? ''
  const place = /\/src\/[\w./]+:\d+/.exec(stack)?.[0] ?? ''
  const cause = error.cause === undefined ? '' : `, of ${sayError(error.cause)}`
  return `${error.name}: ${error.message.slice(0, 200)} at ${place}${cause}`
}
