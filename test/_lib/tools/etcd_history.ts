/**
 * Changes of a store that leave everything behind which a reader of its file may meet: keys written
 * again and again, deleted, made anew, values longer than many pages, several changes at one
 * revision. The same each time; test/vectors/etcd_snapshot.db.gz is what etcd 3.7.3 made of it.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { SeededRandom } from '../seeded_random.ts'
import type { EtcdWriter } from './etcd_writer.ts'

interface History {
  /** What is left below `/registry/`. */
  readonly live: ReadonlyMap<string, Buffer>
  readonly revision: bigint
}

type Step = { readonly put: readonly (readonly [string, Buffer])[] } | { readonly delete: string }

const STEPS = 400
const KEYS = 60
const LONG_BYTES = 30_000
const FIRST_REVISION = 1

export async function writeHistory(to: EtcdWriter): Promise<void> {
  for (const step of steps()) {
    if ('delete' in step) await to.delete(step.delete)
    else if (step.put.length > 1) await to.putTogether(step.put)
    else for (const [key, value] of step.put) await to.put(key, value)
  }
}

/** By a model of its own. */
export function historyOf(): History {
  const all = new Map<string, Buffer>()
  let revision = FIRST_REVISION
  for (const step of steps()) {
    // A deletion of what is not there changes nothing.
    if ('put' in step || all.has(step.delete)) revision += 1
    if ('delete' in step) all.delete(step.delete)
    else for (const [key, value] of step.put) all.set(key, value)
  }
  const live = new Map([...all].filter(([key]) => key.startsWith('/registry/')))
  return { live, revision: BigInt(revision) }
}

function steps(): Step[] {
  const random = new SeededRandom(20_261_125)
  const key = () => {
    const number = random.below(KEYS)
    return `${number % 7 === 0 ? '/other' : '/registry'}/secrets/default/number-${number}`
  }
  return Array.from({ length: STEPS }, (_, at): Step => {
    const chance = random.below(10)
    if (chance < 2) return { delete: key() }
    if (chance === 2) {
      const pair = new Map([0, 1].map((which) => [key(), contentOf(at, which * LONG_BYTES)]))
      return { put: [...pair] }
    }
    return { put: [[key(), contentOf(at, random.below(500))]] }
  })
}

function contentOf(step: number, bytes: number): Buffer {
  return Buffer.concat([Buffer.from(`k8s\0value ${step} `), Buffer.alloc(bytes, step)])
}
