/** Endpoints and providers as rows of a name and a text, the same wherever they are shown. @module */

import { own } from '../base/own.ts'
import { spanOf } from '../base/span.ts'
import type {
  EndpointReport,
  ProviderReport,
  SignerReport,
  StatusDocument,
  TokenReport,
} from './status_document.ts'
import { type Tone, tokenIsNearEnd, untilEnd } from './verdict.ts'

export interface Row {
  readonly key: string
  /** Several are a list. They hold names and messages of others as they came. */
  readonly values: readonly string[]
  readonly tone?: Tone | undefined
}

/** @param now milliseconds since the epoch */
export function endpointRows(endpoint: EndpointReport, now: number): Row[] {
  const { name, state, keyId, why, error, holdLeftMs, degradedSince } = endpoint
  return [
    ...row('endpoint', name),
    ...row('state', state, toneOf(state)),
    ...row('key id', keyId),
    ...row('why', why),
    ...row('problem', error && `${error.code}: ${error.message}`, 'bad'),
    ...row('hold left', holdLeftMs === undefined ? undefined : spanOf(holdLeftMs), 'warn'),
    ...row('degraded for', degradedSince && spanOf(now - Date.parse(degradedSince)), 'warn'),
  ]
}

export function toneOf(state: string): Tone {
  if (state === 'ok') return 'good'
  return state === 'failed' ? 'bad' : 'warn'
}

export function providerRows(
  provider: ProviderReport,
  endpoints: StatusDocument['endpoints'],
  now: number,
): Row[] {
  const { name, type, ok, error, since, latencyMs, switchAt, pendingVersion, material, note } =
    provider
  const forMs = since === undefined ? '' : `, for ${spanOf(now - Date.parse(since))}`
  const ends = Object.entries(provider.certificates)
  return [
    ...row('provider', `${name} (${type})`),
    ...row('health', `${ok ? 'ok' : 'not ok'}${forMs}`, ok ? 'good' : 'bad'),
    ...row('problem', error && `${error.code}: ${error.message}`, 'bad'),
    ...list('part', partsOf(name, endpoints)),
    ...row('unwrap takes', latencyMs === undefined ? undefined : `${latencyMs} ms`),
    ...list('key versions', versionsOf(provider, now)),
    ...row('material', material),
    ...row('note', note),
    ...row('next version', pendingVersion && switchAt && `${pendingVersion}, from ${switchAt} on`),
    ...loginRows(provider.token, now),
    ...list(
      'certificates',
      ends.map(([kind, at]) => `${kind} ${untilEnd(at, now)}`),
    ),
    ...list(
      'nodes',
      Object.entries(provider.nodes).map((each) => each.join(' ')),
    ),
  ]
}

export function signerRows(signer: SignerReport, now: number): Row[] {
  const { ok, error, kid, version, algorithm, pendingVersion, switchAt, published, readAt } = signer
  return [
    ...row('signer', ok ? 'ok' : 'not ok', ok ? 'good' : 'bad'),
    ...row('problem', error && `${error.code}: ${error.message}`, 'bad'),
    ...row('signs with', kid && `version ${version} (${algorithm}), kid ${kid}`),
    ...row('next version', pendingVersion && switchAt && `${pendingVersion}, from ${switchAt} on`),
    ...row('published', `${published} of its versions`),
    ...row('keys read', readAt && `${spanOf(now - Date.parse(readAt))} ago`),
  ]
}

function loginRows(token: TokenReport | undefined, now: number): Row[] {
  if (token === undefined) return []
  const { method, logins, renewals, failedLogins, failedRenewals, expiresAt, lastFailure } = token
  const counts = [
    `${method}: logins ${logins}`,
    `renewals ${renewals}`,
    `failed ${failedLogins + failedRenewals}`,
  ]
  const end = expiresAt === null ? 'no known end' : untilEnd(expiresAt, now)
  const near = tokenIsNearEnd(token, now) ? 'warn' : undefined
  return [
    ...row('login', counts.join(', ')),
    ...row('token', logins + renewals === 0 ? undefined : end, near),
    ...list(
      'last failure',
      lastFailure === undefined
        ? []
        : [
            `${lastFailure.code}: ${lastFailure.message}`,
            `${spanOf(now - Date.parse(lastFailure.at))} ago`,
          ],
    ),
  ]
}

/** Its part in each endpoint that uses it. */
function partsOf(name: string, endpoints: StatusDocument['endpoints']): string[] {
  return endpoints.flatMap(({ name: endpoint, providers }) => {
    const part = own(providers, name)
    if (part?.role === undefined) return []
    const from = part.joinsAt === undefined ? '' : ` until ${part.joinsAt}`
    const where = endpoints.length === 1 ? '' : ` at ${endpoint}`
    return `${part.role.replaceAll('_', ' ')}${where}${from}`
  })
}

function versionsOf({ keyVersions, activeVersion }: ProviderReport, now: number): string[] {
  const shown = keyVersions.slice(-MAX_VERSIONS).map(({ label, createdAt }) => {
    const active = label === activeVersion ? ' (encrypts)' : ''
    return `${label}${active} ${spanOf(now - Date.parse(createdAt))} old`
  })
  const more = keyVersions.length - shown.length
  return [...(more > 0 ? [`${more} older`] : []), ...shown]
}

const MAX_VERSIONS = 5

function row(key: string, value: string | undefined, tone?: Tone): Row[] {
  return value === undefined || value === '' ? [] : [{ key, values: [value], tone }]
}

function list(key: string, values: readonly string[]): Row[] {
  return values.length === 0 ? [] : [{ key, values }]
}
