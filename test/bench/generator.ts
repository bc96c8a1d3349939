/**
 * A load generator, as a process of its own: each caller sends its next request as
 * soon as the last one is answered.
 *
 * @module
 */

import process from 'node:process'
import { setTimeout as pause } from 'node:timers/promises'
import * as v from 'valibot'
import { type Endpoint, job, type Outcome } from './job.ts'
import { createSend, type Send } from './send.ts'

type Work = v.InferOutput<typeof job>

const senders = new Map<string, Send>()

process.on('message', (message: unknown) => {
  void run(v.parse(job, message)).then((outcome) => process.send?.(outcome))
})

async function run(work: Work): Promise<Outcome> {
  const send = senderTo(work.endpoint)
  const latencies: number[] = []
  try {
    const cpu = process.cpuUsage()
    const start = performance.now()
    const next = bodiesOf(work, start)
    const caller = async () => {
      for (let body = next(); body !== undefined; body = next()) {
        const before = performance.now()
        await send(work.path, body)
        latencies.push(performance.now() - before)
        if (work.pauseMs > 0) await pause(work.pauseMs)
      }
    }
    await Promise.all(Array.from({ length: work.concurrency }, caller))
    const { user, system } = process.cpuUsage(cpu)
    return { latencies, elapsedMs: performance.now() - start, cpuMs: (user + system) / 1000 }
  } catch (error) {
    return { latencies: [], elapsedMs: 0, cpuMs: 0, failure: String(error) }
  }
}

/** Gives the callers what to send next, and undefined when it is over. */
function bodiesOf({ bodies, durationMs, requests }: Work, start: number) {
  const end = start + durationMs
  let n = 0
  return () => (n < requests && performance.now() < end ? bodies[n++ % bodies.length] : undefined)
}

function senderTo(endpoint: Endpoint): Send {
  const name = JSON.stringify(endpoint)
  const send = senders.get(name) ?? createSend(endpoint)
  senders.set(name, send)
  return send
}
