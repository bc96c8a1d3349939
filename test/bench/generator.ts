/**
 * A load generator, as a process of its own: each worker sends its next request as
 * soon as the last one is answered.
 *
 * @module
 */

import process from 'node:process'
import * as v from 'valibot'
import { type Caller, createCaller } from './caller.ts'
import { type Job, job, type Outcome } from './job.ts'

const callers = new Map<string, Promise<Caller>>()

process.on('message', (message: unknown) => {
  void run(v.parse(job, message)).then((outcome) => process.send?.(outcome))
})

async function run(work: Job): Promise<Outcome> {
  const latencies: number[] = []
  try {
    const call = (await callerOf(work))[work.operation]
    const cpu = process.cpuUsage()
    const start = performance.now()
    const end = start + work.durationMs
    let n = 0
    const worker = async () => {
      for (let before = performance.now(); before < end; ) {
        n += 1
        await call(n)
        const after = performance.now()
        latencies.push(after - before)
        before = after
      }
    }
    await Promise.all(Array.from({ length: work.concurrency }, worker))
    const { user, system } = process.cpuUsage(cpu)
    return { latencies, elapsedMs: performance.now() - start, cpuMs: (user + system) / 1000 }
  } catch (error) {
    return { latencies: [], elapsedMs: 0, cpuMs: 0, failure: String(error) }
  }
}

/** One connection for each endpoint, as an API server has. */
function callerOf({ endpoint }: Job): Promise<Caller> {
  const name = JSON.stringify(endpoint)
  const caller = callers.get(name) ?? createCaller(endpoint)
  callers.set(name, caller)
  return caller
}
