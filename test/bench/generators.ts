/** The load generators as the bench sees them. @module */

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import * as v from 'valibot'
import { type Job, type Outcome, outcome } from './job.ts'

const GENERATOR = fileURLToPath(new URL('generator.ts', import.meta.url))

export interface Load extends Job {
  /** All generators send the same bodies; else each has its own, so that no two equal requests are under way. */
  readonly shared?: boolean
}

export class Generators implements AsyncDisposable {
  readonly #children: readonly ChildProcess[]

  constructor(count: number) {
    this.#children = Array.from({ length: count }, () =>
      fork(GENERATOR, { serialization: 'advanced' }),
    )
  }

  /** Shares the load out among the first `count` generators, and adds up what they saw. */
  async run({ shared = false, ...job }: Load, count: number): Promise<Outcome> {
    const used = this.#children.slice(0, Math.min(count, job.concurrency))
    const outcomes = await Promise.all(
      used.map((child, at) =>
        ask(child, {
          ...job,
          concurrency: shareOf(job.concurrency, at, used.length),
          requests: shareOf(job.requests ?? Number.POSITIVE_INFINITY, at, used.length),
          bodies: shared ? job.bodies : job.bodies.filter((_, n) => n % used.length === at),
        }),
      ),
    )
    const failure = outcomes.find((one) => one.failure !== undefined)?.failure
    if (failure !== undefined) throw new Error(`${job.path} failed: ${failure}`)
    return {
      latencies: outcomes.flatMap(({ latencies }) => latencies),
      elapsedMs: Math.max(...outcomes.map(({ elapsedMs }) => elapsedMs)),
      cpuMs: outcomes.reduce((sum, { cpuMs }) => sum + cpuMs, 0),
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) {
      if (child.exitCode !== null || child.signalCode !== null) continue
      const closed = once(child, 'close')
      child.kill()
      await closed
    }
  }
}

/** The first ones get what is left over, as they do of the bodies. */
function shareOf(all: number, at: number, parts: number): number {
  return Math.ceil((all - at) / parts)
}

async function ask(child: ChildProcess, job: Job): Promise<Outcome> {
  const over = new AbortController()
  const exited = async () => {
    await once(child, 'exit', over)
    throw new Error('A load generator exited')
  }
  try {
    const answered = once(child, 'message', over)
    child.send(job)
    const [message] = await Promise.race([answered, exited()])
    return v.parse(outcome, message)
  } finally {
    over.abort()
  }
}
