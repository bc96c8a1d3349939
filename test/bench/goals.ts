/** The goals of the Vault provider, compared with what a run measured. @module */

import type { Cell } from './cells.ts'
import type { Measured } from './measure.ts'
import type { Operation } from './operations.ts'
import type { TargetName } from './targets.ts'

export interface Goal {
  readonly what: string
  readonly sense: 'at least' | 'at most'
  readonly limit: number
  readonly measured: number
  readonly met: boolean
}

type Find = (operation: Operation, concurrency: number, target: TargetName) => Cell | undefined

/**
 * @param statusRequests how many requests to Vault a run of Status calls caused
 * @param hedging p99 under `any` with one of two providers slow, to that of the fast one alone
 */
export function goalsOf(
  { cells, memory }: Measured,
  statusRequests: number,
  hedging: number,
): Goal[] {
  const most = Math.max(...cells.map(({ concurrency }) => concurrency))
  const find: Find = (...wanted) =>
    cells.find(({ operation, concurrency, target }) =>
      [operation, concurrency, target].every((value, at) => value === wanted[at]),
    )
  const cold = find('Cold v1', most, 'vault')
  const repeat = find('Repeat', most, 'vault')
  const statuses = cells.filter(
    ({ operation, target }) => operation === 'Status' && target === 'vault',
  )
  const { vault, floor } = memory
  return [
    ...busy(find, { operation: 'Encrypt', concurrency: most, timesRaw: 3.5 }),
    ...busy(find, { operation: 'Decrypt', concurrency: most, timesRaw: 2.5 }),
    ...alone(find, { operation: 'Encrypt', timesPeer: 0.6 }),
    ...alone(find, { operation: 'Decrypt', timesPeer: 1 }),
    atLeast(`Cold v1, ${most} at once: speed to raw`, 2.5, cold?.toRaw?.perSecond),
    atLeast(`Repeat, ${most} at once: requests/s to floor`, 0.8, repeat?.toFloor?.perSecond),
    ...statuses.map(({ concurrency, toFloor }) =>
      atMost(`Status, ${concurrency} at once: p50 to floor`, 1.3, toFloor?.p50Ms),
    ),
    atMost('Status: requests to Vault that it causes', 0, statusRequests),
    atMost('Decrypt under any, one provider 20 times slower: p99 to the fast one', 1.5, hedging),
    atMost('RSS idle to floor', 1.3, quotient(vault?.idleMb, floor?.idleMb)),
    atMost('RSS loaded to floor', 1.3, quotient(vault?.loadedMb, floor?.loadedMb)),
    // One that fails ends the run.
    atMost('Requests that failed', 0, 0),
  ]
}

function busy(
  find: Find,
  options: {
    readonly operation: Operation
    readonly concurrency: number
    readonly timesRaw: number
  },
): Goal[] {
  const { operation, concurrency, timesRaw } = options
  const at = `${operation}, ${concurrency} at once`
  const { toRaw, toFloor, cpuUs } = find(operation, concurrency, 'vault') ?? {}
  return [
    atLeast(`${at}: requests/s to raw`, timesRaw, toRaw?.perSecond),
    atLeast(`${at}: requests/s to floor`, 0.45, toFloor?.perSecond),
    atMost(`${at}: p99 to raw`, 1 / 3, toRaw?.p99Ms),
    atMost(`${at}: CPU µs`, 60, cpuUs),
  ]
}

function alone(
  find: Find,
  { operation, timesPeer }: { readonly operation: Operation; readonly timesPeer: number },
): Goal[] {
  const at = `${operation}, 1 at once`
  const p50Ms = (target: TargetName) => find(operation, 1, target)?.p50Ms ?? Number.NaN
  const bound = p50Ms('raw') + 1.5 * p50Ms('floor')
  const { cpuUs, toPeer } = find(operation, 1, 'vault') ?? {}
  return [
    atMost(`${at}: p50 to raw p50 + 1.5 floor p50`, 1, p50Ms('vault') / bound),
    atMost(`${at}: CPU µs`, 200, cpuUs),
    // Only where another plugin was measured too.
    ...(toPeer === undefined ? [] : [atMost(`${at}: p50 to peer`, timesPeer, toPeer.p50Ms)]),
  ]
}

function atLeast(what: string, limit: number, measured = Number.NaN): Goal {
  return { what, sense: 'at least', limit, measured, met: measured >= limit }
}

function atMost(what: string, limit: number, measured = Number.NaN): Goal {
  return { what, sense: 'at most', limit, measured, met: measured <= limit }
}

function quotient(a = Number.NaN, b = Number.NaN): number {
  return a / b
}
