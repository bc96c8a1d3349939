/**
 * The headers by which a client makes a lagging node keep up: Vault Enterprise's,
 * whose index comes with writes, and OpenBao's since 2.7, whose index comes with
 * every answer.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { failure, type Reply } from './reply.ts'
import { headerOf, isObject, type VaultRequest } from './request.ts'
import type { State } from './state.ts'

export type Consistency = 'none' | 'vault' | 'openbao'

export function indexHeader(consistency: Consistency, state: State, upTo: number): string {
  const index = Math.min(upTo, state.index)
  const text =
    consistency === 'vault'
      ? `v1:${state.clusterId}:${index}:0:${Buffer.from(state.clusterName).toString('base64')}`
      : JSON.stringify({ cluster: state.clusterId, value: String(index) })
  return Buffer.from(text).toString('base64')
}

/** The index that a request asks for, 0 for none, undefined for one that cannot be read. */
export function wantedIndex(consistency: Consistency, request: VaultRequest): number | undefined {
  const header = headerOf(request, 'x-vault-index')
  if (consistency === 'none' || header === undefined || header === '') return 0
  const text = Buffer.from(header, 'base64').toString()
  const index = consistency === 'vault' ? enterpriseIndex(text) : openIndex(text)
  return Number.isSafeInteger(index) ? index : undefined
}

/** Whether a request would rather be forwarded than refused. */
export function wantsForwarding(request: VaultRequest): boolean {
  const choices = (headerOf(request, 'x-vault-inconsistent') ?? '').split(',')
  return choices.some((choice) => choice.trim() === 'forward-active-node')
}

export const behind = (): Reply => failure(412, 'required index state not present')

function enterpriseIndex(text: string): number | undefined {
  const match = /^v1:[^:]+:(\d+):\d+:.+$/.exec(text)
  return match === null ? undefined : Number(match[1])
}

function openIndex(text: string): number | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? Number(value['value']) : undefined
  } catch {
    return undefined
  }
}
