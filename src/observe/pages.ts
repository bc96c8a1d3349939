/**
 * What an admin server shows besides the probes: checks one by one, metrics, and the present state
 * for people and for programs. What is seldom asked for is loaded when it is.
 *
 * @module
 */

import type { IncomingMessage } from 'node:http'
import { setImmediate } from 'node:timers/promises'
import { jsonText } from '../base/json_text.ts'
import type { Check } from './checks.ts'
import type { StatusDocument } from './status_document.ts'

export interface MorePages {
  readonly metrics: { text(): Promise<string>; readonly contentType: string }
  readonly statusz: { document(): StatusDocument }
  readonly checks: () => readonly Check[]
}

export interface Answer {
  readonly status: number
  readonly body: string
  readonly contentType?: string
  readonly headers?: Readonly<Record<string, string>>
}

export interface Pages extends MorePages {
  readonly page: () => Promise<Answer>
  readonly metricsText: () => Promise<string>
  readonly statuszText: () => Promise<string>
}

export function withPage(pages: MorePages): Pages {
  const { metrics, statusz } = pages
  return {
    ...pages,
    page: shared(() => statusPageOf(statusz)),
    metricsText: sharedInTurn(() => metrics.text()),
    statuszText: sharedInTurn(() => jsonText(statusz.document())),
  }
}

const INDEX = `Trousseau
/         this; in a browser, the present state
/livez    the process works
/readyz   the key services work; says what is wrong. ?verbose: check by check
/metrics  for Prometheus
/statusz  keys, tokens and certificates, as JSON
`
const SHARED_MS = 1_000

/** `ping` is what every process passes that answers. */
const ALIVE: readonly Check[] = [{ name: 'ping', problem: undefined, spare: false }]

/** What a person asks for: all checks with their names, or one of them. */
export async function checksAt(
  path: string,
  query: string,
  ready: () => readonly Check[],
): Promise<Answer | undefined> {
  const [, of = '', name] = /^\/(livez|readyz)(?:\/(.+))?$/.exec(path) ?? []
  if (of === '' || (name === undefined && query === '')) return undefined
  const asked = new URLSearchParams(query)
  const { allChecks, oneCheck } = await import('./checks.ts')
  const checks = of === 'livez' ? ALIVE : [...ALIVE, ...ready()]
  if (name !== undefined) return oneCheck(checks, name)
  if (!asked.has('verbose') && !asked.has('exclude')) return undefined
  const answer = allChecks(checks, of, asked)
  // Kubernetes says no more than this of what is well, unless it was asked.
  return asked.has('verbose') || answer.status !== 200 ? answer : { status: 200, body: 'ok\n' }
}

export async function morePages(
  path: string,
  { headers }: IncomingMessage,
  { metrics, page, metricsText, statuszText }: Pages,
): Promise<Answer> {
  switch (path) {
    case '/':
      return headers.accept?.includes('text/html') === true
        ? await page()
        : { status: 200, body: INDEX }
    case '/metrics':
      return { status: 200, body: await metricsText(), contentType: metrics.contentType }
    case '/statusz':
      return { status: 200, body: await statuszText(), contentType: 'application/json' }
    default:
      return { status: 404, body: 'Wanted /, /livez, /readyz, /metrics or /statusz\n' }
  }
}

/**
 * Browsers that look at once share a page, so that however many ask, making it takes little of the
 * time that API servers wait for.
 */
function shared<T>(make: () => Promise<T>): () => Promise<T> {
  let kept: { readonly at: number; readonly made: Promise<T> } | undefined
  return () => {
    const at = performance.now()
    if (kept === undefined || at - kept.at >= SHARED_MS) kept = { at, made: make() }
    return kept.made
  }
}

/**
 * All who ask in one turn of the event loop share a page that is made at its end, and so is as new
 * as one of their own.
 */
function sharedInTurn<T>(make: () => T | Promise<T>): () => Promise<T> {
  let next: Promise<T> | undefined
  return () => {
    next ??= setImmediate().then(() => {
      next = undefined
      return make()
    })
    return next
  }
}

async function statusPageOf(statusz: { document(): StatusDocument }): Promise<Answer> {
  const { CONTENT_SECURITY_POLICY, statusPage } = await import('./page/page.ts')
  return {
    status: 200,
    body: statusPage(statusz.document()),
    contentType: 'text/html; charset=utf-8',
    headers: {
      'content-security-policy': CONTENT_SECURITY_POLICY,
      'referrer-policy': 'no-referrer',
      'cross-origin-resource-policy': 'same-origin',
    },
  }
}
