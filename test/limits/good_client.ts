/**
 * A process of its own that asks as an API server does: a Status every 10 ms, an Encrypt and a
 * Decrypt every 50 ms, each with so many seconds of time:
 * `good_client.ts PATH SECONDS`. It tells what they took when it is asked to end.
 *
 * @module
 */

import process from 'node:process'
import { connectKms } from '../../src/grpc/client.ts'

const STATUS_MS = 10
const ROUND_TRIP_MS = 50

export interface Experience {
  readonly requests: number
  readonly failures: readonly string[]
  readonly p50: number
  readonly p99: number
}

const [, , path = '', seconds = ''] = process.argv
const { v2 } = connectKms(path, { timeoutMs: Number(seconds) * 1_000 })
const took: number[] = []
const failures: string[] = []

async function timed<T>(what: string, request: () => Promise<T>): Promise<T | undefined> {
  const start = performance.now()
  try {
    return await request()
  } catch (error) {
    failures.push(`${what}: ${String(error)}`)
    return undefined
  } finally {
    took.push(performance.now() - start)
  }
}

async function roundTrip(): Promise<void> {
  const uid = 'good'
  const plaintext = new Uint8Array(32).fill(7)
  const made = await timed('Encrypt', () => v2.encrypt({ plaintext, uid }))
  if (made !== undefined) await timed('Decrypt', () => v2.decrypt({ ...made, uid }))
}

await v2.status()
process.send?.('ready')
const timers = [
  setInterval(() => void timed('Status', () => v2.status()), STATUS_MS),
  setInterval(() => void roundTrip(), ROUND_TRIP_MS),
]
process.on('message', (word) => {
  if (word === 'begin') {
    took.length = 0
    failures.length = 0
    return
  }
  for (const timer of timers) clearInterval(timer)
  const sorted = took.sort((a, b) => a - b)
  const at = (part: number) => sorted[Math.floor(sorted.length * part)] ?? Number.NaN
  const experience: Experience = {
    requests: sorted.length,
    failures,
    p50: at(0.5),
    p99: at(0.99),
  }
  process.send?.(experience, () => process.exit(0))
})
