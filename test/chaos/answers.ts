/** Answers of a key service that are not the true one. @module */

import type { SeededRandom } from '../_lib/seeded_random.ts'
import type { AnswerFault } from './steps.ts'

/** Never to be seen in a log or in an answer of the plugin. */
export const REMOTE_WORDS = 'planted-remote-words'

export interface Asked {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export interface Told {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** What a wrong answer may be made of. */
interface Sources {
  readonly asked: Asked
  readonly told: Told
  readonly random: SeededRandom
  /** The first good answer to this path. */
  readonly former: Told | undefined
  /** The last answer to another request. */
  readonly other: Told | undefined
  /** Asks the service itself. */
  readonly ask: (asked: Asked) => Promise<Told>
  /** Exchanges this answer for that of a request beside it, if one comes soon. */
  readonly cross: (told: Told) => Promise<Told>
  readonly late: () => Promise<void>
}

type Wrong = (sources: Sources) => Told | Promise<Told>

const JSON_TYPE = { 'content-type': 'application/json' }

export const WRONG: Readonly<Record<AnswerFault, Wrong>> = {
  'swapped items': ({ told }) => results(told, (all) => all.toReversed()),
  'fewer items': ({ told }) => results(told, (all) => all.slice(1)),
  'another key': ofAnotherKey,
  'another request': ({ told, other }) => other ?? told,
  'out of order': ({ told, cross }) => cross(told),
  stale: ({ told, former }) => former ?? told,
  // The connection writes it again: see the proxy.
  twice: ({ told }) => told,
  async late({ told, late }) {
    await late()
    return told
  },
  'status 400': () => refusal(400),
  'status 401': () => refusal(401),
  'status 403': () => refusal(403),
  'status 404': () => refusal(404),
  'status 429': ({ random }) => ({
    ...refusal(429),
    headers: { ...JSON_TYPE, 'retry-after': String(random.below(3)) },
  }),
  'status 500': () => refusal(500),
  'status 502': () => refusal(502),
  'status 503': () => refusal(503),
  sealed: () => ({ ...refusal(503), body: JSON.stringify({ errors: ['Vault is sealed'] }) }),
  page: () => ({
    status: 200,
    headers: { 'content-type': 'text/html' },
    body: `<html><title>Sign in</title>${REMOTE_WORDS}</html>`,
  }),
}

/** In the words of the service. */
function refusal(status: number): Told {
  return { status, headers: JSON_TYPE, body: JSON.stringify({ errors: [REMOTE_WORDS] }) }
}

/** Changes the results of a batch; any other answer stays. */
function results(told: Told, change: (all: unknown[]) => unknown[]): Told {
  const body = readObject(told.body)
  const all = objectAt(body, 'data')['batch_results']
  if (!Array.isArray(all)) return told
  const data = { ...objectAt(body, 'data'), batch_results: change(all) }
  return { ...told, body: JSON.stringify({ ...body, data }) }
}

/** What another key of the same engine answers to a request of its own. */
async function ofAnotherKey({ asked, told, ask }: Sources): Promise<Told> {
  const path = asked.path.replace(/([^/]+)(\/(?:keys|encrypt|decrypt)\/)[^/]+$/, '$1$2another-$1')
  if (path === asked.path) return told
  const body = asked.body.replaceAll(/"reference":"/g, '"reference":"x')
  return await ask({ ...asked, path, body })
}

/** An empty one for what is no JSON object. */
export function readObject(text: string): Readonly<Record<string, unknown>> {
  try {
    const read: unknown = JSON.parse(text)
    return objectAt({ read }, 'read')
  } catch {
    return {}
  }
}

export function objectAt(
  from: Readonly<Record<string, unknown>>,
  name: string,
): Readonly<Record<string, unknown>> {
  const found = from[name]
  return typeof found === 'object' && found !== null ? { ...found } : {}
}
