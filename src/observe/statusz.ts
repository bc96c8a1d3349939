/**
 * What is going on, as one JSON document for people and scripts: made of events, and
 * of nothing that is secret.
 *
 * @module
 */

import type { KmsError, KmsErrorCode } from '../kms/errors.ts'
import type { CertificateKind, EventSink, KmsEvent } from '../kms/events.ts'

export interface StatuszOptions {
  readonly version: string
  /** Such as `node 26.10.0`. */
  readonly runtime: string
  /** Milliseconds since the epoch. */
  readonly now: () => number
}

export interface Statusz {
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

export function createStatusz({ version, runtime, now }: StatuszOptions): Statusz {
  const startedAt = timeOf(now())
  const reports = new Map<string, ProviderReport>()
  let health: Extract<KmsEvent, { type: 'health' }> | undefined
  const reportOf = (name: string): ProviderReport => {
    const report = reports.get(name) ?? { token: undefined, certificates: {}, nodes: {} }
    reports.set(name, report)
    return report
  }
  const emit = (event: KmsEvent): void => {
    if (event.type === 'health') health = event
    if (event.type === 'token') takeToken(reportOf(event.provider), event, now())
    if (event.type === 'certificate') {
      reportOf(event.provider).certificates[event.kind] = timeOf(event.notAfter)
    }
    if (event.type === 'notice' && event.what === 'vault_node') takeNode(reportOf, event)
  }
  const json = () => {
    const providers = (health?.providers ?? []).map((provider) => ({
      ...provider,
      error: failureOf(provider.error),
      switchAt: provider.switchAt === undefined ? undefined : timeOf(provider.switchAt),
      ...reports.get(provider.name),
    }))
    const document = {
      version,
      runtime,
      startedAt,
      now: timeOf(now()),
      health: {
        state: health?.state ?? 'starting',
        keyId: health?.keyId,
        error: failureOf(health?.error),
        holdLeftMs: health?.holdLeftMs,
      },
      providers,
    }
    return `${JSON.stringify(document, null, 2)}\n`
  }
  return { sink: { emit }, json }
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
  { fields }: Extract<KmsEvent, { type: 'notice' }>,
): void {
  const { provider, address, role } = fields ?? {}
  reportOf(String(provider)).nodes[String(address)] = String(role)
}

function failureOf(error: KmsError | undefined): Omit<Failure, 'at'> | undefined {
  return error === undefined ? undefined : { code: error.code, message: error.message }
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString()
}
