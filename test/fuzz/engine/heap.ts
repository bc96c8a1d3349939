/** How much this thread holds on to. @module */

import { memoryUsage } from 'node:process'
import { setImmediate as turn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** Bytes after everything that nobody needs is gone. */
export async function heldBytes(): Promise<number> {
  for (let times = 0; times < 3; times += 1) {
    collect()
    await turn()
  }
  const { heapUsed, external } = memoryUsage()
  return heapUsed + external
}
