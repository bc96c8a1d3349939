/** Which endpoint or provider is chosen, and where a key leads from it. @module */

import type {
  EndpointReport,
  ProviderReport,
  StatusDocument,
} from '../../observe/status_document.ts'

type Listed = Pick<StatusDocument, 'endpoints' | 'providers'>

export type Chosen = { readonly endpoint: EndpointReport } | { readonly provider: ProviderReport }

/** As terminals write the arrows. */
const UP = new Set(['k', '\u001b[A', '\u001bOA'])
const DOWN = new Set(['j', '\u001b[B', '\u001bOB'])
const TAB = '\t'

/** Endpoints come first, then providers; undefined where there is neither. */
export function chosenOf({ endpoints, providers }: Listed, at: number): Chosen | undefined {
  const all: Chosen[] = [
    ...endpoints.map((endpoint) => ({ endpoint })),
    ...providers.map((provider) => ({ provider })),
  ]
  return all[Math.min(at, all.length - 1)]
}

/** Where the key leads; the other list is what Tab is for. */
export function moved({ endpoints, providers }: Listed, at: number, key: string): number {
  const last = endpoints.length + providers.length - 1
  if (UP.has(key)) return Math.max(at - 1, 0)
  if (DOWN.has(key)) return Math.min(at + 1, last)
  if (key !== TAB || providers.length === 0) return at
  return at < endpoints.length ? endpoints.length : 0
}
