/** Whether all is well, and if not why and since when: the first thing that anybody wants to know. @module */

import { remedyOf } from '../base/remedies.ts'
import { spanOf } from '../base/span.ts'
import type {
  EndpointReport,
  ProviderReport,
  StatusDocument,
  TokenReport,
} from './status_document.ts'

export type Tone = 'good' | 'warn' | 'bad'

interface Verdict {
  readonly tone: Tone
  /** Such as `Well` or `Down`. */
  readonly word: string
  readonly sentence: string
  /** Since when it has been so. */
  readonly since?: string | undefined
  readonly remedy?: string | undefined
  /** What wants looking at, although all endpoints write. */
  readonly warnings: readonly string[]
}

/** What it is judged by. */
export type Judged = Pick<StatusDocument, 'now' | 'endpoints' | 'providers' | 'policy' | 'signer'>

/** The worst first. */
const STATES = ['failed', 'starting', 'held', 'degraded', 'ok']
/** A renewal comes when a third is left: here two tries and more have failed. */
const TOKEN_PART = 0.2
/** As the alerts have it. */
const CERTIFICATE_MS = 7 * 86_400_000

export function verdictOf({ now, endpoints, providers, policy, signer }: Judged): Verdict {
  const at = Date.parse(now)
  const warnings = [
    ...waiverOf(policy, at),
    ...signerWarning(signer),
    ...providers.flatMap((provider) => warningsOf(provider, at)),
  ]
  const [worst] = [...endpoints].sort((one, two) => rankOf(one) - rankOf(two))
  const refusing = refusingRule(policy)
  if (refusing !== undefined && (worst === undefined || worst.state === 'ok')) {
    const { name, message = '' } = refusing
    const sentence = `Rule ${name} does not let keys be used here. ${message}`.trim()
    return { tone: 'bad', word: 'Refused', sentence, remedy: remedyOf('policy_denied'), warnings }
  }
  if (worst === undefined || worst.state === 'ok') {
    const good = warnings.length === 0
    const sentence = [
      `${listed(endpoints)} encrypts and decrypts with all of its providers.`,
      ...providers.flatMap((provider) => rotationOf(provider, at)),
    ].join(' ')
    const tone = good ? 'good' : 'warn'
    return { tone, word: 'Well', sentence, since: worst?.since, warnings }
  }
  const { error, since } = worst
  // The sentence has it already.
  const others = warnings.filter((text) => error === undefined || !text.endsWith(error.message))
  return { ...troubleOf(worst), since, remedy: remedyOf(error?.code), warnings: others }
}

/** An enforced rule that does not pass now. */
export function refusingRule(policy: StatusDocument['policy']) {
  return policy?.rules.find(({ mode, state }) => mode === 'enforce' && state === 'refuses')
}

function signerWarning(signer: StatusDocument['signer']): string[] {
  if (signer === undefined || signer.ok) return []
  return [
    `ServiceAccount tokens cannot be signed as they should. ${signer.error?.message ?? ''}`.trim(),
  ]
}

function waiverOf(policy: StatusDocument['policy'], now: number): string[] {
  if (policy?.waiver === undefined) return []
  const { who, why, until } = policy.waiver
  return [`A waiver of ${who} lifts rules, and ${untilEnd(until, now)}: ${why}`]
}

/** Such as `Well for 3 d, with a warning`. */
export function headingOf({ word, since, warnings }: Verdict, now: number): string {
  const span = since === undefined ? '' : ` for ${spanOf(now - Date.parse(since))}`
  const { length } = warnings
  const more = length === 0 ? '' : `, with ${length === 1 ? 'a warning' : `${length} warnings`}`
  return `${word}${span}${more}`
}

function rotationOf({ name, pendingVersion, switchAt }: ProviderReport, now: number): string[] {
  if (pendingVersion === undefined || switchAt === undefined) return []
  const when = spanOf(Date.parse(switchAt) - now)
  return [`Rotation: version ${pendingVersion} of ${name} takes over in ${when}.`]
}

function rankOf({ state }: EndpointReport): number {
  // A state that this version does not know is no good one.
  return STATES.indexOf(state)
}

function listed(endpoints: readonly EndpointReport[]): string {
  return endpoints.length === 1 ? 'The endpoint' : `Each of ${endpoints.length} endpoints`
}

function troubleOf({ name, state, error, holdLeftMs = 0 }: EndpointReport) {
  const why = error === undefined ? '' : ` ${error.code}: ${error.message}`
  const of = `Endpoint ${name}`
  switch (state) {
    case 'degraded':
      return {
        tone: 'warn',
        word: 'Degraded',
        sentence: `${of} writes with fewer providers than the config says.${why}`,
      } as const
    case 'held':
      return holdLeftMs > 0
        ? ({
            tone: 'warn',
            word: 'Held',
            sentence: `${of} keeps its key id for another ${spanOf(holdLeftMs)}, since a provider that writes is away.${why}`,
          } as const)
        : ({
            tone: 'bad',
            word: 'Down',
            sentence: `${of} writes nothing: a provider has been away for longer than it may be.${why}`,
          } as const)
    case 'starting':
      return {
        tone: 'warn',
        word: 'Starting',
        sentence: `${of} waits for the first answer of its key services.${why}`,
      } as const
    default:
      return { tone: 'bad', word: 'Down', sentence: `${of} writes nothing.${why}` } as const
  }
}

function warningsOf(provider: ProviderReport, now: number): string[] {
  const { name, ok, error, token, certificates } = provider
  const ended = Object.entries(certificates).filter(([, at]) => isNearEnd(at, now))
  return [
    ...(ok ? [] : [`Provider ${name} is not well. ${error?.message ?? ''}`.trim()]),
    ...(tokenIsNearEnd(token, now)
      ? [`The token of ${name} ${untilEnd(token?.expiresAt, now)}.`]
      : []),
    ...ended.map(([kind, at]) => `The certificate (${kind}) of ${name} ${untilEnd(at, now)}.`),
  ]
}

/** Whether it should have been renewed by now. */
export function tokenIsNearEnd(token: TokenReport | undefined, now: number): boolean {
  const { expiresAt = null, lifeSeconds } = token ?? {}
  if (expiresAt === null) return false
  const left = Date.parse(expiresAt) - now
  return left <= 0 || (lifeSeconds !== undefined && left < lifeSeconds * 1_000 * TOKEN_PART)
}

function isNearEnd(certificateEnd: string, now: number): boolean {
  return Date.parse(certificateEnd) - now < CERTIFICATE_MS
}

/** Such as `ends in 3 d`. */
export function untilEnd(at: string | null | undefined, now: number): string {
  const left = Date.parse(at ?? '') - now
  return left > 0 ? `ends in ${spanOf(left)}` : `ended ${spanOf(-left)} ago`
}
