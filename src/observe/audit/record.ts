/**
 * What the audit stream says of a request. Only the fields named here are written, so nothing
 * secret can slip in with an object.
 *
 * @module
 */

import { type KmsEvent, ONLY_ENDPOINT } from '../../base/events.ts'
import type { KeyUseRecord, RequestRecord } from '../../base/request_record.ts'
import { fieldsOf } from './lines.ts'

type RequestEvent = Extract<KmsEvent, { type: 'request' }>

/** Those that use a key. */
const RECORDED: ReadonlySet<RequestEvent['method']> = new Set(['Encrypt', 'Decrypt', 'Sign'])

/** Of each list; more are counted, so that a line keeps to its limit. */
const MAX_ENTRIES = 64
/** Of names that a key service gave. */
const MAX_CHARACTERS = 256

/**
 * The fields of its line as JSON without braces; undefined for an event that is not recorded.
 *
 * @param now milliseconds since the epoch
 */
export function recordOf(event: KmsEvent, now: number): string | undefined {
  if (event.type !== 'request') return undefined
  const { endpoint = ONLY_ENDPOINT, api, method, uid, keyIdHash, code, durationMs, record } = event
  if (!RECORDED.has(method)) return undefined
  const { decisions = [], uses = [] } = record ?? {}
  return fieldsOf({
    time: new Date(now).toISOString(),
    event: 'request',
    endpoint,
    api,
    operation: method,
    uid,
    key_id_hash: keyIdHash,
    code,
    decision: decisionOf(event),
    rules: decisions.slice(0, MAX_ENTRIES).map(({ rule, mode, outcome, provider }) => {
      return { rule, mode, outcome, provider }
    }),
    providers: uses.slice(0, MAX_ENTRIES).map(useOf),
    left_out: leftOut(record),
    duration_ms: rounded(durationMs),
  })
}

/** `not_made`: it ended before a key was asked for, so nothing was to be decided. */
function decisionOf({ code, record }: RequestEvent): 'allowed' | 'refused' | 'not_made' {
  if (code === 'policy_denied') return 'refused'
  return code === 'ok' || (record?.uses.length ?? 0) > 0 ? 'allowed' : 'not_made'
}

/** A use that is under way when its request ends has neither code nor duration. */
function useOf({ provider, operation, keyVersion, code, durationMs }: KeyUseRecord) {
  return {
    name: provider,
    operation,
    key_version: keyVersion.slice(0, MAX_CHARACTERS),
    code: code ?? 'unfinished',
    duration_ms: code === undefined ? undefined : rounded(durationMs),
  }
}

function leftOut(record: RequestRecord | undefined): number | undefined {
  const { decisions = [], uses = [] } = record ?? {}
  const more = [decisions, uses].map(({ length }) => Math.max(length - MAX_ENTRIES, 0))
  const all = more.reduce((sum, each) => sum + each, 0)
  return all === 0 ? undefined : all
}

function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000
}
