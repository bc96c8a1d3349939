/**
 * What can be made to go wrong at a node. Faults apply in the order in which they
 * were set; those that wait are followed by the next, and by the true answer.
 *
 * @module
 */

import type { VaultRequest } from './request.ts'

export type Fault =
  /** Answers this in place of the truth; nothing is done at the server. */
  | {
      readonly kind: 'answer'
      readonly status: number
      readonly errors?: readonly string[]
      /** In place of `{"errors": [...]}`. */
      readonly text?: string
      readonly headers?: Readonly<Record<string, string>>
    }
  /** Waits, and goes on. */
  | { readonly kind: 'slow'; readonly ms: number }
  /** Waits until {@link FaultHandle.release}, and goes on; without it, never answers. */
  | { readonly kind: 'hang' }
  /** Closes the connection without an answer; `done` says whether the request takes effect first. */
  | { readonly kind: 'noAnswer'; readonly done?: boolean }
  /** Sends the head and half the true body, and closes the connection. */
  | { readonly kind: 'halfBody' }
  /** Sends the head and half the true body, and then nothing more. */
  | { readonly kind: 'stalledBody' }
  /** Streams a body of more than 5 MB. */
  | { readonly kind: 'oversize' }
  /** An HTML page, as a proxy or a login portal in between sends it. */
  | { readonly kind: 'html'; readonly status?: number }
  /** The true answer without its end. */
  | { readonly kind: 'invalidJson' }
  /** JSON of another shape. */
  | { readonly kind: 'wrongShape'; readonly value?: unknown }
  /** The true answer with its last batch result missing. */
  | { readonly kind: 'fewerResults' }
  /** A limit of the node on strings in a request's JSON. */
  | { readonly kind: 'maxStrings'; readonly strings: number }
  /** A limit of the node on a request's body. */
  | { readonly kind: 'maxBody'; readonly bytes: number }

/** Where nothing is named, all requests, `sys/health` among them. */
export interface FaultScope {
  /** For the next so many requests that match; for all where absent. */
  readonly count?: number
  /** A part of the path below `/v1/`, or a pattern for it. */
  readonly path?: string | RegExp
  readonly method?: string
}

export interface FaultHandle {
  readonly hits: number
  /** Ends the fault, and lets those go on that hang in it. */
  release(): void
}

interface FaultList {
  add(fault: Fault, scope: FaultScope): FaultHandle
  /** Those that apply to a request, each counted as a hit. */
  take(request: VaultRequest): readonly ActiveFault[]
  clear(): void
}

interface ActiveFault {
  readonly fault: Fault
  readonly released: Promise<void>
}

interface Entry extends ActiveFault {
  readonly scope: FaultScope
  readonly release: () => void
  hits: number
}

/** 429 as a rate limit quota gives it; `Retry-After` only where the operator turned it on. */
export function rateLimited(path: string, retryAfter?: string): Fault {
  return {
    kind: 'answer',
    status: 429,
    errors: [`request path "${path}": rate limit quota exceeded`],
    headers: retryAfter === undefined ? {} : { 'retry-after': retryAfter },
  }
}

/** 503 of Vault Enterprise's adaptive overload protection. */
export function overloaded(): Fault {
  return { kind: 'answer', status: 503, errors: ['server overloaded, try again later'] }
}

/** 500 of an engine or a storage that failed. */
export function internalError(): Fault {
  return { kind: 'answer', status: 500, errors: ['1 error occurred:\n\t* internal error\n\n'] }
}

/** 502 of a load balancer that reached no node. */
export function badGateway(): Fault {
  return { kind: 'html', status: 502 }
}

export function createFaultList(): FaultList {
  let entries: readonly Entry[] = []
  const drop = (entry: Entry) => {
    entries = entries.filter((other) => other !== entry)
  }
  return {
    add(fault, scope) {
      const { promise: released, resolve } = Promise.withResolvers<void>()
      const entry: Entry = { fault, scope, released, release: resolve, hits: 0 }
      entries = [...entries, entry]
      return {
        get hits() {
          return entry.hits
        },
        release: () => {
          drop(entry)
          resolve()
        },
      }
    },
    take(request) {
      const taken = entries.filter(({ scope }) => matches(scope, request))
      for (const entry of taken) {
        entry.hits += 1
        if (entry.hits === entry.scope.count) drop(entry)
      }
      return taken
    },
    clear() {
      for (const { release } of entries) release()
      entries = []
    },
  }
}

function matches({ path, method }: FaultScope, request: VaultRequest): boolean {
  if (method !== undefined && method !== request.method) return false
  if (path === undefined) return true
  return typeof path === 'string' ? request.path.includes(path) : path.test(request.path)
}
