/**
 * What the plugin itself says of its providers: `/statusz` of its admin server, read strictly and
 * shown as tables.
 *
 * @module
 */

import { request } from 'node:http'
import * as v from 'valibot'
import { KmsError, systemReasonOf } from '../../base/errors.ts'
import type { Listen } from '../../config/schema.ts'
import type { Io } from '../../console/io.ts'
import { paint, printable, table } from '../../console/output.ts'

const MAX_BYTES = 1_048_576

const failure = v.optional(v.object({ code: v.string(), message: v.string() }))
const time = v.pipe(v.string(), v.isoTimestamp())
const login = v.object({
  method: v.string(),
  logins: v.number(),
  failedLogins: v.number(),
  renewals: v.number(),
  failedRenewals: v.number(),
  expiresAt: v.nullable(time),
  lastFailure: v.optional(v.object({ at: time, code: v.string(), message: v.string() })),
})
type Login = v.InferOutput<typeof login>
const document = v.object({
  endpoints: v.array(
    v.object({
      name: v.string(),
      state: v.string(),
      keyId: v.optional(v.string()),
      why: v.optional(v.string()),
      error: failure,
      holdLeftMs: v.optional(v.number()),
      degradedSince: v.optional(v.string()),
      providers: v.record(
        v.string(),
        v.object({ role: v.optional(v.string()), joinsAt: v.optional(v.string()) }),
      ),
    }),
  ),
  providers: v.array(
    v.object({
      name: v.string(),
      type: v.string(),
      ok: v.boolean(),
      error: failure,
      since: v.optional(v.string()),
      latencyMs: v.optional(v.number()),
      activeVersion: v.optional(v.string()),
      pendingVersion: v.optional(v.string()),
      switchAt: v.optional(v.string()),
      material: v.optional(v.string()),
      note: v.optional(v.string()),
      keyVersions: v.optional(v.array(v.object({ label: v.string(), createdAt: time })), []),
      token: v.optional(login),
      certificates: v.optional(v.record(v.string(), time), {}),
      nodes: v.optional(v.record(v.string(), v.string()), {}),
    }),
  ),
})
export type StatuszDocument = v.InferOutput<typeof document>

/** @throws KmsError where the admin server does not answer as it should */
export async function fetchStatusz(listen: Listen, timeoutMs: number): Promise<StatuszDocument> {
  const where = 'path' in listen ? listen.path : `${listen.host}:${listen.port}`
  const text = await bodyOf(listen, timeoutMs).catch((cause: unknown) => {
    throw new KmsError(
      `Admin server at ${where} does not answer: ${systemReasonOf(cause)}. See whether the plugin runs`,
      { code: 'unavailable', cause },
    )
  })
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), document), text)
  if (parsed.success) return parsed.output
  throw new KmsError(`What answers at ${where} is not the admin server of this version`, {
    code: 'protocol',
  })
}

function bodyOf(listen: Listen, timeoutMs: number): Promise<string> {
  const at =
    'path' in listen ? { socketPath: listen.path } : { host: listen.host, port: listen.port }
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(timeoutMs)
    const asked = request(
      { ...at, path: '/statusz', headers: { host: 'localhost' }, signal },
      (answer) => {
        let text = ''
        answer.setEncoding('utf8')
        answer.on('error', reject)
        answer.on('data', (part: string) => {
          text += part
          if (text.length > MAX_BYTES) answer.destroy(new Error('Too long'))
        })
        answer.on('end', () => resolve(text))
      },
    )
    asked.on('error', reject)
    asked.end()
  })
}

/** @param now milliseconds since the epoch */
export function readableStatusz(
  { endpoints, providers }: StatuszDocument,
  now: number,
  io: Io,
): string {
  const sections = [
    ...endpoints.map((endpoint) => endpointRows(endpoint, now, io)),
    ...providers.map((provider) => providerRows(provider, endpoints, now, io)),
  ]
  return sections
    .map(
      (rows) =>
        `${table(rows.map(([key, value]) => [printable(key), value]))
          .map((row) => row.join('  '))
          .join('\n')}\n`,
    )
    .join('\n')
}

type Rows = [string, string][]

function endpointRows(
  {
    name,
    state,
    keyId,
    why,
    error,
    holdLeftMs,
    degradedSince,
  }: StatuszDocument['endpoints'][number],
  now: number,
  io: Io,
): Rows {
  return present([
    ['endpoint', printable(name)],
    ['state', paint(io, state === 'ok' ? 'green' : 'red', printable(state))],
    ['key id', keyId && printable(keyId)],
    ['why', why && printable(why)],
    ['problem', error && printable(`${error.code}: ${error.message}`)],
    ['hold left', holdLeftMs === undefined ? undefined : spanOf(holdLeftMs)],
    ['degraded for', degradedSince && spanOf(now - Date.parse(degradedSince))],
  ])
}

function providerRows(
  provider: StatuszDocument['providers'][number],
  endpoints: StatuszDocument['endpoints'],
  now: number,
  io: Io,
): Rows {
  const { name, type, ok, error, since, latencyMs, switchAt, pendingVersion, material, note } =
    provider
  const health = ok ? paint(io, 'green', 'ok') : paint(io, 'red', 'not ok')
  const forMs = since === undefined ? '' : `, for ${spanOf(now - Date.parse(since))}`
  return present([
    ['provider', `${printable(name)} (${printable(type)})`],
    ['health', `${health}${forMs}`],
    ['problem', error && printable(`${error.code}: ${error.message}`)],
    ['part', partsOf(name, endpoints)],
    ['unwrap takes', latencyMs === undefined ? undefined : `${latencyMs} ms`],
    ['key versions', versionsOf(provider, now)],
    ['material', material && printable(material)],
    ['note', note && printable(note)],
    [
      'next version',
      pendingVersion && switchAt && `${printable(pendingVersion)}, from ${printable(switchAt)} on`,
    ],
    ...loginRows(provider.token, now),
    ['certificates', listed(provider.certificates, (at) => leftUntil(at, now))],
    ['nodes', listed(provider.nodes, printable)],
  ])
}

function loginRows(token: Login | undefined, now: number): readonly [string, string | undefined][] {
  if (token === undefined) return []
  const { method, logins, renewals, failedLogins, failedRenewals, expiresAt, lastFailure } = token
  const counts = [
    `logins ${logins}`,
    `renewals ${renewals}`,
    `failed ${failedLogins + failedRenewals}`,
  ]
  const end = expiresAt === null ? 'no known end' : leftUntil(expiresAt, now)
  return [
    ['login', `${printable(method)}: ${counts.join(', ')}`],
    ['token', logins + renewals === 0 ? undefined : end],
    [
      'last failure',
      lastFailure &&
        `${printable(`${lastFailure.code}: ${lastFailure.message}`)}, ${spanOf(now - Date.parse(lastFailure.at))} ago`,
    ],
  ]
}

function listed(
  entries: Readonly<Record<string, string>>,
  shown: (value: string) => string,
): string | undefined {
  const all = Object.entries(entries).map(([name, value]) => `${printable(name)} ${shown(value)}`)
  return all.length === 0 ? undefined : all.join(', ')
}

function leftUntil(at: string, now: number): string {
  const left = Date.parse(at) - now
  return left > 0 ? `ends in ${spanOf(left)}` : `ended ${spanOf(-left)} ago`
}

function partsOf(name: string, endpoints: StatuszDocument['endpoints']): string | undefined {
  const parts = endpoints.flatMap(({ name: endpoint, providers }) => {
    const part = Object.hasOwn(providers, name) ? providers[name] : undefined
    if (part?.role === undefined) return []
    const from = part.joinsAt === undefined ? '' : ` until ${part.joinsAt}`
    const where = endpoints.length === 1 ? '' : ` at ${endpoint}`
    return printable(`${part.role.replaceAll('_', ' ')}${where}${from}`)
  })
  return parts.length === 0 ? undefined : parts.join(', ')
}

function versionsOf(
  { keyVersions, activeVersion }: StatuszDocument['providers'][number],
  now: number,
): string | undefined {
  if (keyVersions.length === 0) return undefined
  const shown = keyVersions.slice(-MAX_VERSIONS).map(({ label, createdAt }) => {
    const active = label === activeVersion ? ' (encrypts)' : ''
    return `${printable(label)}${active} ${spanOf(now - Date.parse(createdAt))} old`
  })
  const more = keyVersions.length - shown.length
  return [...(more > 0 ? [`${more} older`] : []), ...shown].join(', ')
}

const MAX_VERSIONS = 5

function present(rows: readonly [string, string | undefined][]): Rows {
  return rows.flatMap(([key, value]): Rows => (value === undefined ? [] : [[key, value]]))
}

const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
] as const

/** A time such as `3 d`, in the largest unit of which there is at least one. */
function spanOf(ms: number): string {
  for (const [name, unit] of UNITS) if (ms >= unit) return `${Math.floor(ms / unit)} ${name}`
  return `${Math.max(Math.round(ms / 1_000), 0)} s`
}
