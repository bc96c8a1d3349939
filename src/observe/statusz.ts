/**
 * The present state as one JSON document for people and scripts. It is made of events, and contains
 * nothing secret.
 *
 * @module
 */

import type { KmsError, KmsErrorCode } from '../base/errors.ts'
import {
  type CertificateKind,
  type EventSink,
  type KmsEvent,
  ONLY_ENDPOINT,
  type ProviderHealth,
} from '../base/events.ts'
import type { Notice } from '../base/notices.ts'
import { PolicyReport } from './policy_report.ts'

type HealthEvent = Extract<KmsEvent, { type: 'health' }>

interface StatuszOptions {
  readonly version: string
  /** Such as `node 26.10.0`. */
  readonly runtime: string
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** Names of all endpoints. */
  readonly endpoints?: readonly string[]
}

interface Statusz {
  readonly sink: EventSink
  /** The document. */
  json(): string
}

interface Failure {
  readonly at: string
  readonly code: KmsErrorCode
  readonly message: string
}

interface TokenReport {
  method: string
  logins: number
  failedLogins: number
  renewals: number
  failedRenewals: number
  /** Of the token in use; null where it does not expire or does not tell. */
  expiresAt: string | null
  lastFailure: Failure | undefined
}

interface ProviderReport {
  token: TokenReport | undefined
  /** When each ends. */
  readonly certificates: Partial<Record<CertificateKind, string>>
  /** What the nodes of the service are, by address; empty where there is one. */
  readonly nodes: Record<string, string>
}

export function createStatusz({
  version,
  runtime,
  now,
  endpoints = [ONLY_ENDPOINT],
}: StatuszOptions): Statusz {
  const startedAt = timeOf(now())
  const reports = new Map<string, ProviderReport>()
  /** The last of each endpoint. */
  const health = new Map<string, HealthEvent>()
  const policy = new PolicyReport(now)
  const reportOf = (name: string): ProviderReport => {
    const report = reports.get(name) ?? { token: undefined, certificates: {}, nodes: {} }
    reports.set(name, report)
    return report
  }
  const emit = (event: KmsEvent): void => {
    if (event.type === 'health') health.set(event.endpoint ?? ONLY_ENDPOINT, event)
    policy.take(event)
    if (event.type === 'token') takeToken(reportOf(event.provider), event, now())
    if (event.type === 'certificate') {
      reportOf(event.provider).certificates[event.kind] = timeOf(event.notAfter)
    }
    if (event.type === 'notice' && event.what === 'vault_node') takeNode(reportOf, event)
  }
  const json = () => {
    const document = {
      version,
      runtime,
      startedAt,
      now: timeOf(now()),
      endpoints: endpoints.map((name) => endpointReport(name, health.get(name) ?? NOTHING_YET)),
      providers: providersOf(health).map((provider) => ({
        ...providerReport(provider),
        ...reports.get(provider.name),
      })),
      policy: policy.json(),
    }
    return `${JSON.stringify(document, null, 2)}\n`
  }
  return { sink: { emit }, json }
}

const NOTHING_YET = { state: 'starting', keyId: undefined, providers: [] } as const

function endpointReport(name: string, event: Omit<HealthEvent, 'type' | 'previous'>) {
  const { state, keyId, why, error, holdLeftMs, degradedSince, providers } = event
  return {
    name,
    state,
    keyId,
    why,
    error: failureOf(error),
    holdLeftMs,
    degradedSince: timeOrNone(degradedSince),
    providers: Object.fromEntries(
      providers.map(({ name: provider, role, joinsAt }) => [
        provider,
        { role, joinsAt: timeOrNone(joinsAt) },
      ]),
    ),
  }
}

/** Endpoints share providers: each is told once. */
function providersOf(health: ReadonlyMap<string, HealthEvent>): ProviderHealth[] {
  const byName = new Map<string, ProviderHealth>()
  for (const { providers } of health.values()) {
    for (const provider of providers) byName.set(provider.name, provider)
  }
  return [...byName.values()]
}

function providerReport(provider: ProviderHealth) {
  const { role: _role, joinsAt: _joinsAt, error, switchAt, since, latencyMs, ...plain } = provider
  return {
    ...plain,
    error: failureOf(error),
    switchAt: timeOrNone(switchAt),
    since: timeOrNone(since),
    latencyMs: latencyMs === undefined ? undefined : Math.round(latencyMs * 100) / 100,
    keyVersions: plain.keyVersions?.map(({ label, createdAt }) => ({
      label,
      createdAt: timeOf(createdAt * 1000),
    })),
  }
}

function takeToken(
  report: ProviderReport,
  { action, method, code, ttlSeconds, error }: Extract<KmsEvent, { type: 'token' }>,
  now: number,
): void {
  const token = report.token ?? {
    method,
    logins: 0,
    failedLogins: 0,
    renewals: 0,
    failedRenewals: 0,
    expiresAt: null,
    lastFailure: undefined,
  }
  report.token = token
  if (code !== 'ok') {
    token[action === 'login' ? 'failedLogins' : 'failedRenewals'] += 1
    token.lastFailure = { at: timeOf(now), code, message: error?.message ?? '' }
    return
  }
  token[action === 'login' ? 'logins' : 'renewals'] += 1
  token.expiresAt = ttlSeconds ? timeOf(now + ttlSeconds * 1000) : null
}

function takeNode(
  reportOf: (name: string) => ProviderReport,
  { fields }: Extract<Notice, { what: 'vault_node' }>,
): void {
  if (fields !== undefined) reportOf(fields.provider).nodes[fields.address] = fields.role
}

function failureOf(error: KmsError | undefined): Omit<Failure, 'at'> | undefined {
  return error === undefined ? undefined : { code: error.code, message: error.message }
}

function timeOrNone(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : timeOf(ms)
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString()
}
