/**
 * The latest failures, those of one kind and place as one, each with what to do about it. How many
 * are kept does not depend on how many there are, nor on what they say.
 *
 * @module
 */

import { KmsError } from '../base/errors.ts'
import { type KmsEvent, ONLY_ENDPOINT } from '../base/events.ts'
import { remedyOf } from '../base/remedies.ts'
import type { FailureReport } from './status_document.ts'

const KEPT = 12
const MAX_CHARACTERS = 500

type Failed = Pick<FailureReport, 'where' | 'what' | 'code' | 'message'>

export class LastFailures {
  readonly #now: () => number
  /** By kind and place, the latest last. */
  readonly #failures = new Map<string, FailureReport>()
  /** Endpoints that share a provider tell the same failure of it. */
  readonly #told = new WeakSet<KmsError>()

  /** @param now milliseconds since the epoch */
  constructor(now: () => number) {
    this.#now = now
  }

  take(event: KmsEvent): void {
    if (event.type === 'health') {
      for (const { name, error } of event.providers) {
        if (error === undefined || this.#told.has(error)) continue
        this.#told.add(error)
        const { code, message } = error
        this.#add({ where: `provider ${name}`, what: 'probe', code, message })
      }
      return
    }
    const failed = failedOf(event)
    if (failed !== undefined) this.#add(failed)
  }

  report(): FailureReport[] {
    return [...this.#failures.values()].reverse()
  }

  #add({ where, what, code, message }: Failed): void {
    const key = `${where} ${what} ${code}`
    const before = this.#failures.get(key)
    const at = new Date(this.#now()).toISOString()
    this.#failures.delete(key)
    this.#failures.set(key, {
      where,
      what,
      code,
      message: message.slice(0, MAX_CHARACTERS),
      remedy: remedyOf(code),
      firstAt: before?.firstAt ?? at,
      at,
      count: (before?.count ?? 0) + 1,
    })
    const [oldest] = this.#failures.keys()
    if (this.#failures.size > KEPT && oldest !== undefined) this.#failures.delete(oldest)
  }
}

function failedOf(event: KmsEvent): Failed | undefined {
  switch (event.type) {
    case 'request': {
      const { endpoint = ONLY_ENDPOINT, method, code, error } = event
      if (code === 'ok' || code === 'cancelled') return undefined
      return { where: `endpoint ${endpoint}`, what: method, code, message: error?.message ?? '' }
    }
    case 'token': {
      const { provider, action, code, error } = event
      if (code === 'ok') return undefined
      const what = action === 'login' ? 'login' : 'renewal'
      return { where: `provider ${provider}`, what, code, message: error?.message ?? '' }
    }
    case 'notice':
      return noticed(event)
    default:
      return undefined
  }
}

function noticed(event: Extract<KmsEvent, { type: 'notice' }>): Failed | undefined {
  const { level, what, message, fields, error } = event
  if (level !== 'warn' && level !== 'error') return undefined
  const where =
    fields !== undefined && 'provider' in fields ? `provider ${fields.provider}` : 'plugin'
  const code = error instanceof KmsError ? error.code : undefined
  const said = error instanceof KmsError ? `${message}: ${error.message}` : message
  return { where, what, code, message: said }
}
