/** What a server holds while it is asked by many at once. @module */

import { clearInterval, setInterval } from 'node:timers'
import type { Generators } from './generators.ts'
import { prepared, socketPrepares } from './operations.ts'
import type { Starter } from './starts.ts'
import { peakMb, privateMb, rssMb } from './usage.ts'

const CONCURRENCY = 64
export const GENERATORS = 2
const SAMPLE_MS = 20

interface Loaded {
  readonly idleMb: number
  /** Private, at the end, and the most that was seen. */
  readonly loadedMb: number
  readonly mostMb: number
  /** With file pages, before the load, and the most. */
  readonly residentMb: number
  readonly peakMb: number
  readonly perSecond: number
}

/** @param requests half of them Encrypt, half of them Decrypt */
export async function loaded(
  start: Starter,
  generators: Generators,
  requests: number,
): Promise<Loaded> {
  const { socketPath, pid, stop } = await start()
  const [idleMb, residentMb] = [privateMb(pid), rssMb(pid)]
  let mostMb = idleMb
  const sampling = setInterval(() => {
    mostMb = Math.max(mostMb, privateMb(pid))
  }, SAMPLE_MS)
  const prepares = socketPrepares(socketPath)
  let seconds = 0
  for (const operation of ['Encrypt', 'Decrypt'] as const) {
    const bodies = await prepared(prepares, operation)
    const endpoint = { kind: 'socket', path: socketPath } as const
    const load = { endpoint, ...bodies, concurrency: CONCURRENCY, requests: requests / 2 }
    seconds += (await generators.run(load, GENERATORS)).elapsedMs / 1000
  }
  clearInterval(sampling)
  const [loadedMb, peak] = [privateMb(pid), peakMb(pid)]
  await stop()
  return { idleMb, loadedMb, mostMb, residentMb, peakMb: peak, perSecond: requests / seconds }
}
