/**
 * The headers by which a client makes a lagging node keep up: Vault Enterprise's,
 * whose index comes with writes, and OpenBao's since 2.7, whose index comes with
 * every answer and whose refusal is a 429.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { failure, type Reply } from './reply.ts'
import { headerOf, isObject, type VaultRequest } from './request.ts'
import { liveToken, type State } from './state.ts'

export type Consistency = 'none' | 'vault' | 'openbao'

const FORWARD = 'forward-active-node'
/** OpenBao waits a few milliseconds for the second; here it is refused at once. */
const CHOICES = ['fail', 'await-state', FORWARD]

export function indexHeader(consistency: Consistency, state: State, upTo: number): string {
  const index = Math.min(upTo, state.index)
  const text =
    consistency === 'vault'
      ? `v1:${state.clusterId}:${index}:0:${Buffer.from(state.clusterName).toString('base64')}`
      : JSON.stringify({ cluster: state.clusterId, value: String(index) })
  return Buffer.from(text).toString('base64')
}

/**
 * What becomes of a request at a node that has seen the writes up to `upTo`: refused,
 * sent to the active node, or undefined where the node may serve it.
 */
export function refuseIfBehind(
  consistency: Consistency,
  state: State,
  upTo: number,
  request: VaultRequest,
): Reply | 'forward' | undefined {
  if (consistency === 'none') return undefined
  const { inconsistent } = request
  if (consistency === 'openbao' && inconsistent.some((choice) => !CHOICES.includes(choice))) {
    return failure(400, 'unknown value for "X-Vault-Inconsistent" header')
  }
  const wanted = wantedIndex(consistency, state, request)
  if (wanted === undefined) return failure(400, 'failed to decode "X-Vault-Index"')
  if (Math.max(wanted, tokenIndex(consistency, state, request)) <= upTo) return undefined
  if (inconsistent.includes(FORWARD)) return 'forward'
  return consistency === 'openbao' ? failure(429) : failure(412, 'required index state not present')
}

/** 0 where none is asked for, or one of another cluster; undefined for one that cannot be read. */
function wantedIndex(
  consistency: Consistency,
  state: State,
  request: VaultRequest,
): number | undefined {
  const header = headerOf(request, 'x-vault-index') ?? ''
  if (header === '') return 0
  const text = Buffer.from(header, 'base64').toString()
  const found = consistency === 'vault' ? enterpriseIndex(text) : openIndex(text)
  if (found === undefined || !Number.isSafeInteger(found.index)) return undefined
  return found.cluster === state.clusterId ? found.index : 0
}

/** A token of Vault Enterprise carries the index of its making. */
function tokenIndex(consistency: Consistency, state: State, request: VaultRequest): number {
  if (consistency !== 'vault') return 0
  return liveToken(state, headerOf(request, 'x-vault-token'))?.index ?? 0
}

interface Index {
  readonly cluster: unknown
  readonly index: number
}

function enterpriseIndex(text: string): Index | undefined {
  const match = /^v1:([^:]+):(\d+):\d+:.+$/.exec(text)
  return match === null ? undefined : { cluster: match[1], index: Number(match[2]) }
}

function openIndex(text: string): Index | undefined {
  try {
    const value: unknown = JSON.parse(text)
    if (!isObject(value)) return undefined
    return { cluster: value['cluster'], index: Number(value['value']) }
  } catch {
    return undefined
  }
}
