/** The load generators as the bench sees them. @module */

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import * as v from 'valibot'
import { type Job, type Outcome, outcome } from './job.ts'

const GENERATOR = fileURLToPath(new URL('generator.ts', import.meta.url))

export class Generators implements AsyncDisposable {
  readonly #children: readonly ChildProcess[]

  constructor(count: number) {
    this.#children = Array.from({ length: count }, () => fork(GENERATOR))
  }

  /** Shares the job's concurrency out among the first `count` generators, and adds up what they saw. */
  async run(job: Job, count: number): Promise<Outcome> {
    const used = this.#children.slice(0, Math.min(count, job.concurrency))
    const outcomes = await Promise.all(
      used.map(async (child, at) => {
        const share = Math.floor((job.concurrency + at) / used.length)
        const answered = once(child, 'message')
        child.send({ ...job, concurrency: share })
        return v.parse(outcome, (await answered)[0])
      }),
    )
    const failure = outcomes.find((one) => one.failure !== undefined)?.failure
    if (failure !== undefined) throw new Error(`${job.operation} failed: ${failure}`)
    return {
      latencies: outcomes.flatMap(({ latencies }) => latencies),
      elapsedMs: Math.max(...outcomes.map(({ elapsedMs }) => elapsedMs)),
      cpuMs: outcomes.reduce((sum, { cpuMs }) => sum + cpuMs, 0),
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) {
      const closed = once(child, 'close')
      child.kill()
      await closed
    }
  }
}
