/**
 * The present state as one document, for `/statusz`, the status page and commands. It is made of
 * events, and contains nothing secret.
 *
 * @module
 */

import type { KmsError } from '../base/errors.ts'
import {
  type EventSink,
  type KmsEvent,
  ONLY_ENDPOINT,
  type ProviderHealth,
  type SignerEvent,
} from '../base/events.ts'
import type { Notice } from '../base/notices.ts'
import { LastFailures } from './last_failures.ts'
import { LastHourRing } from './last_hour.ts'
import { type CommandTarget, nextCommand } from './next_command.ts'
import { PolicyReport } from './policy_report.ts'
import type {
  EndpointReport,
  Fault,
  ProviderReport,
  SignerReport,
  StatusDocument,
  TokenReport,
} from './status_document.ts'

type HealthEvent = Extract<KmsEvent, { type: 'health' }>

export interface StatuszOptions {
  readonly version: string
  /** Such as `node 26.10.0`. */
  readonly runtime: string
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** Names of all endpoints. */
  readonly endpoints?: readonly string[]
  /** What the commands are about that it suggests. */
  readonly target?: CommandTarget
}

interface Statusz {
  readonly sink: EventSink
  document(): StatusDocument
}

interface Seen {
  token: Writable<TokenReport> | undefined
  readonly certificates: Record<string, string>
  readonly nodes: Record<string, string>
}

type Writable<T> = { -readonly [Key in keyof T]: T[Key] }

/** So many changes of an endpoint's state are kept. */
const CHANGES = 60

export function createStatusz({
  version,
  runtime,
  now,
  endpoints = [ONLY_ENDPOINT],
  target = {},
}: StatuszOptions): Statusz {
  const startedAt = timeOf(now())
  const reports = new Map<string, Seen>()
  /** The last of each endpoint. */
  const health = new Map<string, HealthEvent>()
  let signer: SignerReport | undefined
  const policy = new PolicyReport(now)
  const changes = new Map(endpoints.map((name) => [name, [{ at: startedAt, state: 'starting' }]]))
  const lastHour = new LastHourRing(now)
  const failures = new LastFailures(now)
  const reportOf = (name: string): Seen => {
    const report = reports.get(name) ?? { token: undefined, certificates: {}, nodes: {} }
    reports.set(name, report)
    return report
  }
  const takeHealth = (event: HealthEvent): void => {
    const { endpoint = ONLY_ENDPOINT, state } = event
    health.set(endpoint, event)
    takeState(changes.get(endpoint), state, now())
  }
  const emit = (event: KmsEvent): void => {
    policy.take(event)
    lastHour.take(event)
    failures.take(event)
    switch (event.type) {
      case 'health':
        takeHealth(event)
        break
      case 'signer':
        signer = signerReport(event)
        break
      case 'token':
        takeToken(reportOf(event.provider), event, now())
        break
      case 'certificate':
        reportOf(event.provider).certificates[event.kind] = timeOf(event.notAfter)
        break
      default:
        if (event.type === 'notice' && event.what === 'vault_node') takeNode(reportOf, event)
    }
  }
  const document = () => {
    const state = {
      version,
      runtime,
      startedAt,
      now: timeOf(now()),
      endpoints: endpoints.map((name) =>
        endpointReport(name, health.get(name) ?? NOTHING_YET, changes.get(name) ?? []),
      ),
      providers: providersOf(health).map((provider) => ({
        ...providerReport(provider),
        ...(reports.get(provider.name) ?? { certificates: {}, nodes: {} }),
      })),
      signer,
      policy: policy.json(),
      failures: failures.report(),
    }
    return { ...state, next: nextCommand(state, target), lastHour: lastHour.report() }
  }
  return { sink: { emit }, document }
}

const NOTHING_YET = { state: 'starting', keyId: undefined, providers: [] } as const

function endpointReport(
  name: string,
  event: Omit<HealthEvent, 'type' | 'previous'>,
  changes: EndpointReport['changes'],
): EndpointReport {
  const { state, keyId, why, error, holdLeftMs, degradedSince, providers } = event
  return {
    name,
    state,
    since: changes.at(-1)?.at,
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
    changes,
  }
}

function takeState(
  changes: { at: string; state: string }[] | undefined,
  state: string,
  now: number,
): void {
  if (changes === undefined || changes.at(-1)?.state === state) return
  changes.push({ at: timeOf(now), state })
  if (changes.length > CHANGES) changes.shift()
}

/** Endpoints share providers: each is told once. */
function providersOf(health: ReadonlyMap<string, HealthEvent>): ProviderHealth[] {
  const byName = new Map<string, ProviderHealth>()
  for (const { providers } of health.values()) {
    for (const provider of providers) byName.set(provider.name, provider)
  }
  return [...byName.values()]
}

function providerReport(
  provider: ProviderHealth,
): Omit<ProviderReport, 'token' | 'certificates' | 'nodes'> {
  const { role: _role, joinsAt: _joinsAt, error, switchAt, since, latencyMs, ...plain } = provider
  return {
    ...plain,
    error: failureOf(error),
    switchAt: timeOrNone(switchAt),
    since: timeOrNone(since),
    latencyMs: latencyMs === undefined ? undefined : Math.round(latencyMs * 100) / 100,
    keyVersions: (plain.keyVersions ?? []).map(({ label, createdAt }) => ({
      label,
      createdAt: timeOf(createdAt * 1000),
    })),
  }
}

function signerReport({ type: _type, changed: _changed, ...event }: SignerEvent): SignerReport {
  const { error, switchAt, readAt } = event
  return {
    ...event,
    error: failureOf(error),
    switchAt: timeOrNone(switchAt),
    readAt: readAt === 0 ? undefined : timeOf(readAt),
  }
}

function takeToken(
  report: Seen,
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
    lifeSeconds: undefined,
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
  token.lifeSeconds = ttlSeconds === 0 ? undefined : ttlSeconds
}

function takeNode(
  reportOf: (name: string) => Seen,
  { fields }: Extract<Notice, { what: 'vault_node' }>,
): void {
  if (fields !== undefined) reportOf(fields.provider).nodes[fields.address] = fields.role
}

function failureOf(error: KmsError | undefined): Fault | undefined {
  return error === undefined ? undefined : { code: error.code, message: error.message }
}

function timeOrNone(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : timeOf(ms)
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString()
}
