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
import { type Color, paint, printable, table } from '../../console/output.ts'
import { endpointRows, providerRows, type Row, signerRows } from '../../observe/described.ts'
import type { StatusDocument } from '../../observe/status_document.ts'
import type { Tone } from '../../observe/verdict.ts'

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
  lifeSeconds: v.optional(v.number()),
  lastFailure: v.optional(v.object({ at: time, code: v.string(), message: v.string() })),
})
const numbers = v.array(v.number())
const perMinute = v.array(v.nullable(v.number()))
const series = v.record(
  v.string(),
  v.object({ count: numbers, failed: numbers, p50Ms: perMinute, p99Ms: perMinute }),
)
/** What an earlier version does not say is optional. */
const document = v.object({
  version: v.string(),
  runtime: v.string(),
  startedAt: time,
  now: time,
  failures: v.optional(
    v.array(
      v.object({
        where: v.string(),
        what: v.string(),
        code: v.optional(v.string()),
        message: v.string(),
        remedy: v.optional(v.string()),
        firstAt: time,
        at: time,
        count: v.number(),
      }),
    ),
    [],
  ),
  signer: v.optional(
    v.object({
      ok: v.boolean(),
      error: failure,
      kid: v.optional(v.string()),
      version: v.optional(v.string()),
      algorithm: v.optional(v.string()),
      pendingVersion: v.optional(v.string()),
      switchAt: v.optional(time),
      published: v.number(),
      readAt: v.optional(time),
    }),
  ),
  policy: v.optional(
    v.object({
      rules: v.array(
        v.object({
          name: v.string(),
          mode: v.string(),
          state: v.string(),
          message: v.optional(v.string()),
        }),
      ),
      waiver: v.optional(
        v.object({ id: v.string(), who: v.string(), why: v.string(), until: time }),
      ),
    }),
  ),
  next: v.optional(v.object({ command: v.string(), why: v.string() })),
  lastHour: v.optional(v.object({ from: time, requests: series, providers: series })),
  endpoints: v.array(
    v.object({
      name: v.string(),
      state: v.string(),
      since: v.optional(time),
      changes: v.optional(v.array(v.object({ at: time, state: v.string() })), []),
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
/** @throws KmsError where the admin server does not answer as it should */
export async function fetchStatusz(listen: Listen, timeoutMs: number): Promise<StatusDocument> {
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
  { endpoints, providers, signer }: StatusDocument,
  now: number,
  io: Io,
): string {
  const sections = [
    ...endpoints.map((endpoint) => endpointRows(endpoint, now)),
    ...providers.map((provider) => providerRows(provider, endpoints, now)),
    ...(signer === undefined ? [] : [signerRows(signer, now)]),
  ]
  return sections
    .map(
      (rows) =>
        `${tableOf(rows, io)
          .map((line) => line.join('  '))
          .join('\n')}\n`,
    )
    .join('\n')
}

const COLORS: Readonly<Record<Tone, Color>> = { good: 'green', warn: 'yellow', bad: 'red' }

/** Rows of equal width, for people: what others named or said moves no cursor. */
export function tableOf(rows: readonly Row[], io: Io): string[][] {
  return table(rows.map(({ key, values, tone }) => [key, toned(values.map(printable), tone, io)]))
}

function toned(values: readonly string[], tone: Tone | undefined, io: Io): string {
  const text = values.join(', ')
  return tone === undefined ? text : paint(io, COLORS[tone], text)
}

export function colorOf(tone: Tone): Color {
  return COLORS[tone]
}
