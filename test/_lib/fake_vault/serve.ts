/** What a node answers by its role: itself, for the active node, or not at all. @module */

import {
  behind,
  type Consistency,
  indexHeader,
  wantedIndex,
  wantsForwarding,
} from './consistency.ts'
import { health, type Role } from './health.ts'
import { failure, noActiveNode, type Reply, sealed } from './reply.ts'
import { headerOf, type Limits, readBody, type VaultRequest } from './request.ts'
import { route } from './routes.ts'
import { liveToken, type State } from './state.ts'

/** A node as far as it decides about an answer. */
export interface Stand {
  readonly role: Role
  /** The base URL that a standby sends clients to; undefined without an active node. */
  readonly redirectTo: string | undefined
  /** Whether a node is there that requests can be forwarded to. */
  readonly hasActive: boolean
  /** The last write that the node has seen. */
  readonly upTo: number
  readonly limits: Limits
  readonly consistency: Consistency
  readonly requireRequestHeader: boolean
}

export function serve(state: State, stand: Stand, request: VaultRequest): Reply {
  if (stand.requireRequestHeader && headerOf(request, 'x-vault-request') !== 'true') {
    return failure(412, 'missing "X-Vault-Request" header')
  }
  const { path } = request
  if (path === 'sys/health') return health(state, stand.role, request)
  const { role } = stand
  if (role === 'sealed' || role === 'uninitialised') return sealed()
  if (role === 'drSecondary') return failure(400, 'path disabled in replication DR secondary mode')
  if (role === 'standbyRedirect') return redirect(stand, request)
  if (role === 'standby') return forward(state, stand, request)
  return serveHere(state, stand, request)
}

function redirect({ redirectTo }: Stand, { path, query }: VaultRequest): Reply {
  if (redirectTo === undefined) return noActiveNode()
  const search = query.size === 0 ? '' : `?${query}`
  return { status: 307, headers: { location: `${redirectTo}/v1/${path}${search}` } }
}

function forward(state: State, stand: Stand, request: VaultRequest): Reply {
  const forbidden = (headerOf(request, 'x-vault-no-request-forwarding') ?? '') !== ''
  if (forbidden) return redirect(stand, request)
  if (!stand.hasActive) return noActiveNode()
  return serveHere(state, { ...stand, upTo: state.index }, request)
}

function serveHere(state: State, stand: Stand, request: VaultRequest): Reply {
  const found = belowNamespace(state, request)
  if ('refusal' in found) return found.refusal
  const read = readBody(request, stand.limits)
  if ('refusal' in read) return read.refusal
  const wanted = wantedIndex(stand.consistency, request)
  if (wanted === undefined) return failure(400, 'invalid X-Vault-Index header')
  const lags = Math.max(wanted, tokenIndex(state, stand, request)) > stand.upTo
  const elsewhere = lags ? wantsForwarding(request) : goesToActive(stand, request)
  if (lags && !elsewhere) return behind()
  if (elsewhere && !stand.hasActive) return noActiveNode()
  const writes = state.index
  const upTo = elsewhere ? Number.POSITIVE_INFINITY : stand.upTo
  const reply = route(state, { request, path: found.path, body: read.body, upTo })
  return withIndex(state, stand.consistency, { reply, upTo, wrote: state.index > writes })
}

/** A token of Vault Enterprise carries the index of its making. */
function tokenIndex(state: State, { consistency }: Stand, request: VaultRequest): number {
  if (consistency !== 'vault') return 0
  return liveToken(state, headerOf(request, 'x-vault-token'))?.index ?? 0
}

/** What only the active node does, and what the client sends there. */
function goesToActive({ role }: Stand, request: VaultRequest): boolean {
  if (role === 'active') return false
  if (headerOf(request, 'x-vault-forward') === 'active-node') return true
  return /(?:\/login|\/renew-self)$/.test(request.path)
}

function withIndex(
  state: State,
  consistency: Consistency,
  { reply, upTo, wrote }: { readonly reply: Reply; readonly upTo: number; readonly wrote: boolean },
): Reply {
  const told = consistency === 'openbao' ? reply.status < 400 : wrote
  if (consistency === 'none' || !told) return reply
  const index = indexHeader(consistency, state, wrote ? state.index : upTo)
  return { ...reply, headers: { ...reply.headers, 'x-vault-index': index } }
}

/** The namespace may stand in the header, in the path, or partly in each. */
function belowNamespace(
  { namespace }: State,
  request: VaultRequest,
): { readonly path: string } | { readonly refusal: Reply } {
  const header = (headerOf(request, 'x-vault-namespace') ?? '').replace(/^\/|\/$/g, '')
  const path = header === '' ? request.path : `${header}/${request.path}`
  if (namespace === '') {
    return header === '' ? { path } : { refusal: failure(404, 'namespace not found') }
  }
  if (path.startsWith(`${namespace}/`)) return { path: path.slice(namespace.length + 1) }
  // The root namespace is there, but holds none of the mounts and none of the tokens.
  if (header === '') return { refusal: failure(403, 'permission denied') }
  return { refusal: failure(404, 'namespace not found') }
}
