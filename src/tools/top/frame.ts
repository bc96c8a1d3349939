/**
 * One page of `top` as lines that fit the terminal. What belongs to a column that has no room is
 * left out, and stands in the details of the chosen row.
 *
 * @module
 */

import { spanOf } from '../../base/span.ts'
import type { Io } from '../../console/io.ts'
import { paint, printable } from '../../console/output.ts'
import { endpointRows, providerRows, toneOf } from '../../observe/described.ts'
import { nextCommand } from '../../observe/next_command.ts'
import type {
  EndpointReport,
  ProviderReport,
  Series,
  StatusDocument,
} from '../../observe/status_document.ts'
import { headingOf, untilEnd, verdictOf } from '../../observe/verdict.ts'
import { colorOf, tableOf } from '../status/statusz.ts'
import { type Column, columns, cut, wrapped } from './columns.ts'
import type { Chosen } from './selection.ts'
import { sparkline } from './sparkline.ts'

export interface Shown {
  /** Undefined before the first answer. */
  readonly document: StatusDocument | undefined
  readonly configPath: string
  readonly chosen?: Chosen | undefined
  /** Why the last question was not answered. */
  readonly failure?: { readonly message: string; readonly since: number } | undefined
}

/** In a pipe a line may be as long as it must. */
const PIPE_WIDTH = 120
const FAILURES = 3
/** So many columns have room for a bar a minute. */
const WIDE = 110

export function frameOf({ document, configPath, chosen, failure }: Shown, io: Io): string[] {
  const width = io.columns ?? PIPE_WIDTH
  const lost =
    failure === undefined
      ? []
      : wrapped(
          `No answer for ${spanOf(Date.now() - failure.since)}: ${printable(failure.message)}`,
          width,
        ).map((line) => paint(io, 'red', line))
  if (document === undefined) return lost.length > 0 ? lost : ['Asks the plugin…']
  const now = Date.parse(document.now)
  return [
    ...head(document, now, width, io),
    ...lost,
    '',
    ...endpointTable(document, chosen, now, width, io),
    '',
    ...providerTable(document, chosen, now, width, io),
    '',
    ...rates(document, width),
    ...(chosen === undefined ? [] : ['', ...details(document, chosen, now, width, io)]),
    ...failureLines(document, now, width, io),
    ...nextLine(document, configPath, width),
  ]
}

function head(document: StatusDocument, now: number, width: number, io: Io): string[] {
  const verdict = verdictOf(document)
  const { tone, sentence, remedy, warnings } = verdict
  const clock = `${document.now.slice(11, 19)} UTC`
  const up = `up ${spanOf(now - Date.parse(document.startedAt))}`
  const left = `Trousseau ${printable(document.version)}, ${up}, ${clock}`
  return [
    left,
    paint(io, colorOf(tone), cut(headingOf(verdict, now), width)),
    ...wrapped(printable(sentence), width),
    ...wrapped(remedy === undefined ? '' : printable(remedy), width),
    ...warnings.flatMap((warning) =>
      wrapped(printable(warning), width).map((line) => paint(io, 'yellow', line)),
    ),
  ]
}

function endpointTable(
  { endpoints }: StatusDocument,
  chosen: Chosen | undefined,
  now: number,
  width: number,
  io: Io,
): string[] {
  const all: Column<EndpointReport>[] = [
    { title: 'ENDPOINT', text: ({ name }) => name, most: 24 },
    { title: 'STATE', text: ({ state }) => state, color: ({ state }) => colorOf(toneOf(state)) },
    { title: 'FOR', text: ({ since }) => spanSince(since, now) },
    {
      title: 'HOLD LEFT',
      text: ({ holdLeftMs }) => (holdLeftMs === undefined ? '-' : spanOf(holdLeftMs)),
    },
    { title: 'KEY ID', text: ({ keyId = '-' }) => keyId, most: 56 },
  ]
  const at = chosen !== undefined && 'endpoint' in chosen ? chosen.endpoint : undefined
  return columns(all, endpoints, at, width, io)
}

function providerTable(
  { providers, endpoints }: StatusDocument,
  chosen: Chosen | undefined,
  now: number,
  width: number,
  io: Io,
): string[] {
  const all: Column<ProviderReport>[] = [
    { title: 'PROVIDER', text: ({ name }) => name, most: 24 },
    { title: 'TYPE', text: ({ type }) => type, most: 10, spare: 2 },
    {
      title: 'HEALTH',
      text: ({ ok, error }) => (ok ? 'ok' : (error?.code ?? 'not ok')),
      color: ({ ok }) => (ok ? 'green' : 'red'),
      most: 16,
    },
    { title: 'FOR', text: ({ since }) => spanSince(since, now) },
    { title: 'PART', text: (provider) => partOf(provider, endpoints), most: 10 },
    { title: 'VERSION', text: ({ activeVersion = '-' }) => activeVersion, most: 8 },
    { title: 'KEY AGE', text: (provider) => keyAge(provider, now), spare: 3 },
    { title: 'NEXT', text: (provider) => nextSwitch(provider, now), most: 16, spare: 1 },
    { title: 'TOKEN', text: ({ token }) => tokenEnd(token?.expiresAt, now), most: 15 },
    {
      title: 'UNWRAP',
      text: ({ latencyMs }) => (latencyMs === undefined ? '-' : `${latencyMs} ms`),
      spare: 4,
    },
  ]
  const at = chosen !== undefined && 'provider' in chosen ? chosen.provider : undefined
  return columns(all, providers, at, width, io)
}

function spanSince(since: string | undefined, now: number): string {
  return since === undefined ? '-' : spanOf(now - Date.parse(since))
}

/** Where endpoints differ, the details say it. */
function partOf({ name }: ProviderReport, endpoints: StatusDocument['endpoints']): string {
  const roles = new Set(
    endpoints.flatMap(({ providers }) =>
      Object.hasOwn(providers, name) ? (providers[name]?.role ?? []) : [],
    ),
  )
  return roles.size === 0 ? '-' : [...roles].join('/').replaceAll('_', ' ')
}

function keyAge({ keyVersions, activeVersion }: ProviderReport, now: number): string {
  return spanSince(keyVersions.find(({ label }) => label === activeVersion)?.createdAt, now)
}

function nextSwitch({ pendingVersion, switchAt }: ProviderReport, now: number): string {
  if (pendingVersion === undefined || switchAt === undefined) return '-'
  return `${pendingVersion} in ${spanOf(Date.parse(switchAt) - now)}`
}

function tokenEnd(expiresAt: string | null | undefined, now: number): string {
  return expiresAt === undefined || expiresAt === null ? '-' : untilEnd(expiresAt, now)
}

function rates({ lastHour }: StatusDocument, width: number): string[] {
  if (lastHour === undefined) return []
  const rows: [string, Series][] = [
    ...Object.entries(lastHour.requests),
    ...Object.entries(lastHour.providers),
  ]
  const label = Math.min(Math.max(...rows.map(([name]) => printable(name).length)), 16)
  const each = width < WIDE ? 2 : 1
  return [
    each === 1 ? 'LAST HOUR, BY THE MINUTE' : 'LAST HOUR, BY TWO MINUTES',
    ...rows.map(([name, series]) => {
      const start = `${cut(printable(name), label).padEnd(label)}  ${sparkline(series.count, each)}`
      return cut(`${start}  ${ratesOf(series)}`.trimEnd(), width)
    }),
  ]
}

function ratesOf({ count, failed, p50Ms, p99Ms }: Series): string {
  const [total, wrong] = [count, failed].map((list) => list.reduce((sum, each) => sum + each, 0))
  const [half, nearlyAll] = [p50Ms, p99Ms].map((list) => list.findLast((ms) => ms !== null))
  const times = half == null ? '' : `, p50 ${half} ms, p99 ${nearlyAll} ms`
  return `${total}, ${wrong === 0 ? 'none' : wrong} failed${times}`
}

function details(
  { endpoints }: StatusDocument,
  chosen: Chosen,
  now: number,
  width: number,
  io: Io,
): string[] {
  const rows =
    'endpoint' in chosen
      ? endpointRows(chosen.endpoint, now)
      : providerRows(chosen.provider, endpoints, now)
  const plain = { ...io, color: false }
  return tableOf(rows, plain).flatMap(([key = '', value = '']) => {
    const [first = '', ...more] = wrapped(value, width - key.length - 2)
    return [`${key}  ${first}`, ...more.map((line) => `${' '.repeat(key.length + 2)}${line}`)]
  })
}

function failureLines({ failures }: StatusDocument, now: number, width: number, io: Io): string[] {
  const shown = failures.slice(0, FAILURES)
  if (shown.length === 0) return []
  return [
    '',
    'LAST FAILURES',
    ...shown.flatMap(({ where, what, code, message, remedy, at, count }) => {
      const often = count === 1 ? '' : `, ${count} times`
      const kind = code === undefined ? what : `${what}: ${code}`
      const start = `${spanOf(now - Date.parse(at))} ago${often}  ${where}, ${kind}`
      return [
        paint(io, 'red', cut(printable(start), width)),
        ...wrapped(printable(message), width - 2).map((line) => `  ${line}`),
        ...wrapped(remedy === undefined ? '' : printable(remedy), width - 2).map(
          (line) => `  ${line}`,
        ),
      ]
    }),
  ]
}

function nextLine(document: StatusDocument, configPath: string, width: number): string[] {
  const next = nextCommand(document, { configPath })
  return next === undefined || next.command.startsWith('trousseau top')
    ? []
    : ['', ...wrapped(`next: ${printable(next.command)}`, width)]
}
