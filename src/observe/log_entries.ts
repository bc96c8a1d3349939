/**
 * What the log says of each event. Only the fields named here are written, so nothing secret can
 * slip in with an object.
 *
 * @module
 */

import { type KmsError, toKmsError } from '../base/errors.ts'
import {
  type CountedEvent,
  type HealthState,
  type KmsEvent,
  ONLY_ENDPOINT,
  type RuleOutcome,
  type SignerEvent,
} from '../base/events.ts'

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

const NAME = /^[a-z]\w{0,63}$/i

type Fields = Readonly<Record<string, string | number | boolean | undefined>>

export interface Entry {
  readonly level: LogLevel
  readonly event: string
  readonly message: string
  readonly fields: Fields
  /** Entries of one key beyond a few in ten seconds are counted and left out. */
  readonly floodKey?: string
}

export function entryOf(event: Exclude<KmsEvent, { type: 'health' | CountedEvent }>): Entry {
  switch (event.type) {
    case 'request':
      return requestEntry(event)
    case 'provider_call':
      return providerCallEntry(event)
    case 'coalesced':
      return {
        level: 'debug',
        event: 'coalesced',
        message: `An unwrap at provider "${event.provider}" serves an equal one too`,
        fields: { provider: event.provider },
      }
    case 'hedge':
      return hedgeEntry(event)
    case 'key_id':
      return {
        level: 'info',
        event: 'key_id',
        message: event.previous === undefined ? 'Key id is known' : 'Key id changed',
        fields: {
          endpoint: shownEndpoint(event.endpoint),
          key_id: event.keyId,
          previous: event.previous,
        },
      }
    case 'signer':
      return signerEntry(event)
    case 'token':
      return tokenEntry(event)
    case 'certificate':
      return certificateEntry(event)
    case 'policy':
      return policyEntry(event)
    case 'policy_state':
      return policyStateEntry(event)
    case 'notice':
      return {
        level: event.level,
        event: event.what,
        message: event.message,
        fields: { ...event.fields, ...errorFields(event.error) },
        floodKey: `notice ${event.what} ${event.message}`,
      }
  }
}

/** Where there is one endpoint its name tells nothing. */
function shownEndpoint(name: string | undefined): string | undefined {
  return name === ONLY_ENDPOINT ? undefined : name
}

/** What API servers ask for again and again. */
const REPEATED: readonly string[] = ['Status', 'FetchKeys']

function requestEntry(event: Extract<KmsEvent, { type: 'request' }>): Entry {
  const { endpoint, api, method, uid, code, durationMs, keyIdHash, error } = event
  const fields = {
    endpoint: shownEndpoint(endpoint),
    api,
    method,
    uid,
    code,
    duration_ms: rounded(durationMs),
    key_id_hash: keyIdHash,
    ...causeFields(error),
  }
  if (error === undefined) {
    const level = REPEATED.includes(method) ? 'debug' : 'info'
    return { level, event: 'request', message: `${method} answered`, fields }
  }
  return {
    level: code === 'internal' ? 'error' : 'warn',
    event: 'request',
    message: `${method} failed: ${error.message}`,
    fields,
    floodKey: `request ${endpoint} ${api} ${method} ${code} ${error.message}`,
  }
}

/** Looks that say nothing new are for debugging alone. */
function signerEntry({ changed, ok, error, ...event }: SignerEvent): Entry {
  const { kid, version, algorithm, pendingVersion, switchAt, published } = event
  const fields = {
    kid,
    version,
    algorithm,
    pending_version: pendingVersion,
    switch_at: switchAt === undefined ? undefined : new Date(switchAt).toISOString(),
    published,
    ...errorFields(error),
  }
  const message = ok
    ? `Tokens are signed with version ${version}`
    : `The signing key cannot be used as it should: ${error?.message}`
  const level = ok ? 'info' : 'warn'
  return { level: changed ? level : 'debug', event: 'signer', message, fields }
}

function providerCallEntry(event: Extract<KmsEvent, { type: 'provider_call' }>): Entry {
  const { provider, operation, items, code, durationMs } = event
  return {
    level: 'debug',
    event: 'provider_call',
    message: `Provider "${provider}" ${code === 'ok' ? 'answered' : 'failed'} ${operation}`,
    fields: { provider, operation, items, code, duration_ms: rounded(durationMs) },
  }
}

function hedgeEntry({ provider, reason }: Extract<KmsEvent, { type: 'hedge' }>): Entry {
  return {
    level: 'debug',
    event: 'hedge',
    message: `Provider "${provider}" is asked too, because one before it ${reason === 'slow' ? 'is slow' : 'failed'}`,
    fields: { provider, reason },
  }
}

/** Rounds that say nothing new are for debugging alone. */
export function healthEntry(
  event: Extract<KmsEvent, { type: 'health' }>,
  said: string | undefined,
): Entry {
  const { endpoint, state, previous, keyId, error, holdLeftMs, why } = event
  const fields = {
    endpoint: shownEndpoint(endpoint),
    state,
    previous,
    key_id: keyId,
    why,
    hold_left_s: holdLeftMs === undefined ? undefined : Math.round(holdLeftMs / 1000),
    ...errorFields(error),
  }
  const message = healthMessage(state, error)
  const isNew = state !== previous || (error !== undefined && message !== said)
  return { level: isNew ? healthLevel(event) : 'debug', event: 'health', message, fields }
}

function healthMessage(state: HealthState, error: KmsError | undefined): string {
  if (error === undefined) return 'Providers are well'
  if (state === 'degraded') return `Written without a provider that is not well: ${error.message}`
  return state === 'held'
    ? `Key service is away, Status keeps the last key id: ${error.message}`
    : `Status refuses: ${error.message}`
}

function healthLevel({ state, error }: Extract<KmsEvent, { type: 'health' }>): LogLevel {
  if (error === undefined) return 'info'
  return state === 'failed' ? 'error' : 'warn'
}

function tokenEntry(event: Extract<KmsEvent, { type: 'token' }>): Entry {
  const { provider, action, method, code, ttlSeconds, error } = event
  const fields = { provider, action, method, code, ttl_s: ttlSeconds, ...causeFields(error) }
  const what = action === 'login' ? 'Login' : 'Renewal of the token'
  if (error === undefined) {
    return { level: 'info', event: 'token', message: `${what} succeeded`, fields }
  }
  const message = `${what} failed: ${error.message}`
  return { level: 'warn', event: 'token', message, fields, floodKey: message }
}

function certificateEntry(event: Extract<KmsEvent, { type: 'certificate' }>): Entry {
  const { provider, kind, notAfter, near } = event
  const day = new Date(notAfter).toISOString()
  const whose = { server: 'of the service', authority: 'of an authority', client: 'of this node' }
  return {
    level: near ? 'warn' : 'debug',
    event: 'certificate',
    message: `Certificate ${whose[kind]} at provider "${provider}" is good until ${day}${near ? ': renew it' : ''}`,
    fields: { provider, kind, not_after: day },
  }
}

const OUTCOMES: Readonly<Record<RuleOutcome, string>> = {
  refused: 'refuses',
  would_refuse: 'would refuse',
  undecided: 'cannot be decided and lets pass',
  waived: 'is waived and would refuse',
}

function policyEntry(event: Extract<KmsEvent, { type: 'policy' }>): Entry {
  const { endpoint, rule, mode, outcome, operation, provider, message: why } = event
  const message = `Rule "${rule}" ${OUTCOMES[outcome]} ${operation}: ${why}`
  const shown = shownEndpoint(endpoint)
  const fields = { endpoint: shown, rule, mode, outcome, operation, provider }
  return { level: 'warn', event: 'policy', message, fields, floodKey: `${provider} ${message}` }
}

function policyStateEntry({ rules, waiver }: Extract<KmsEvent, { type: 'policy_state' }>): Entry {
  const failing = rules.filter(({ state }) => state !== 'passes' && state !== 'by_request')
  const said = failing.map(
    ({ name, mode, state, message }) => `"${name}" (${mode}) ${state}: ${message}`,
  )
  const enforced = failing.some(({ mode, state }) => mode === 'enforce' && state === 'refuses')
  const message =
    failing.length === 0 ? 'All rules pass' : `Rules that do not pass: ${said.join('; ')}`
  const level = enforced ? 'error' : failing.length > 0 ? 'warn' : 'info'
  return {
    level,
    event: 'policy_state',
    message,
    fields: { rules: rules.length, waiver: waiver?.id },
  }
}

function errorFields(error: unknown): Fields {
  if (error === undefined) return {}
  const known = toKmsError(error)
  return { error_code: known.code, ...causeFields(known) }
}

/** Names and codes down the chain of causes; where it happened only of what is a fault of ours. */
function causeFields(known: KmsError | undefined): Fields {
  if (known === undefined) return {}
  const causes = causesOf(known)
  return {
    causes: causes.length === 0 ? undefined : causes.map(nameOf).join(' < '),
    stack: known.code === 'internal' ? stackOf(known) : undefined,
  }
}

function causesOf(error: Error): Error[] {
  const causes: Error[] = []
  for (let at: unknown = error.cause; at instanceof Error && causes.length < 5; at = at.cause) {
    causes.push(at)
  }
  return causes
}

/** Both texts come from whoever threw the error, so only what looks like a name is used. */
function nameOf(error: Error): string {
  const names = ['code' in error ? error.code : undefined, error.name]
  return (
    names.find((name): name is string => typeof name === 'string' && NAME.test(name)) ?? 'Error'
  )
}

/**
 * Where the error happened. Its message may quote anything, even lines that look like places in the
 * code, so only the lines after the message count.
 */
function stackOf(error: KmsError): string | undefined {
  const { message, stack } = error.cause instanceof Error ? error.cause : error
  const start = stack?.indexOf(message) ?? -1
  if (stack === undefined || start === -1) return undefined
  const places = stack.slice(start + message.length).split('\n')
  return places
    .map((line) => line.trim())
    .filter((line) => line.startsWith('at '))
    .join(' | ')
}

function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000
}
