/** What a node answers by its role: itself, for the active node, or not at all. @module */

import { type Consistency, indexHeader, refuseIfBehind } from './consistency.ts'
import { health, type NodeRole } from './health.ts'
import { failure, noActiveNode, type Reply, sealed } from './reply.ts'
import { headerOf, type Limits, readBody, type VaultRequest } from './request.ts'
import { NEEDS_ACTIVE, route } from './routes.ts'
import type { State } from './state.ts'

/** A node as far as it decides about an answer. */
interface Stand {
  readonly role: NodeRole
  /** The base URL that a standby sends clients to, dead or alive; undefined where it knows none. */
  readonly redirectTo: string | undefined
  /** Whether a node is there that requests can be forwarded to. */
  readonly hasActive: boolean
  /** The last write that the node has seen. */
  readonly upTo: number
  readonly limits: Limits
  readonly consistency: Consistency
  readonly requireRequestHeader: boolean
}

/** Nodes that serve nothing but `sys/health`. */
const USELESS: Readonly<Partial<Record<NodeRole, (stand: Stand, request: VaultRequest) => Reply>>> =
  {
    sealed,
    uninitialised: sealed,
    drSecondary: () => failure(400, 'path disabled in replication DR secondary mode'),
    standbyRedirect: redirect,
  }

/** Every answer repeats the namespace of its request. */
export function serve(state: State, stand: Stand, request: VaultRequest): Reply {
  const reply = answer(state, stand, request)
  const namespace = headerOf(request, 'x-vault-namespace')
  if (namespace === undefined) return reply
  return { ...reply, headers: { ...reply.headers, 'x-vault-namespace': namespace } }
}

function answer(state: State, stand: Stand, request: VaultRequest): Reply {
  if (stand.requireRequestHeader && headerOf(request, 'x-vault-request') !== 'true') {
    return failure(412, 'missing "X-Vault-Request" header')
  }
  if (!request.inside) return failure(404)
  const behind = behindReply(state, stand, request)
  if (behind !== undefined && behind !== 'forward') return behind
  if (request.path === 'sys/health') return health(state, stand.role, request)
  const useless = USELESS[stand.role]
  if (useless !== undefined) return useless(stand, request)
  if (behind === 'forward' || wantsActive(stand, request)) return forward(state, stand, request)
  return serveHere(state, stand, request)
}

/** The active node of OpenBao never lags; its standbys refuse even `sys/health`, which Vault's do not. */
function behindReply(state: State, stand: Stand, request: VaultRequest) {
  const { consistency, role, upTo } = stand
  const exempt =
    consistency === 'openbao'
      ? role === 'active' || role === 'sealed' || role === 'uninitialised'
      : request.path === 'sys/health'
  const seen = exempt ? Number.POSITIVE_INFINITY : upTo
  return refuseIfBehind(consistency, state, seen, request)
}

/** Standbys that forward everything, and what a client of Vault Enterprise sends on by itself. */
function wantsActive({ role, consistency }: Stand, request: VaultRequest): boolean {
  if (role === 'standby') return true
  if (role === 'active' || consistency !== 'vault') return false
  return headerOf(request, 'x-vault-forward') === 'active-node'
}

/** Where the active node cannot be reached, a standby sends clients to where it was last. */
function forward(state: State, stand: Stand, request: VaultRequest): Reply {
  const forbidden =
    stand.role !== 'performanceStandby' &&
    (headerOf(request, 'x-vault-no-request-forwarding') ?? '') !== ''
  if (forbidden || !stand.hasActive) return redirect(stand, request)
  return serveHere(state, { ...stand, role: 'active', upTo: Number.POSITIVE_INFINITY }, request)
}

function redirect({ redirectTo }: Stand, { path, query }: VaultRequest): Reply {
  if (redirectTo === undefined) return noActiveNode()
  const search = query.size === 0 ? '' : `?${query}`
  return { status: 307, headers: { location: `${redirectTo}/v1/${path}${search}` } }
}

function serveHere(state: State, stand: Stand, request: VaultRequest): Reply {
  const found = belowNamespace(state, request)
  if ('refusal' in found) return found.refusal
  const read = readBody(request, stand.limits)
  if ('refusal' in read) return read.refusal
  const { role, upTo } = stand
  const writes = state.index
  const served = { request, path: found.path, body: read.body, upTo, role }
  const reply = route(state, served)
  if (reply === NEEDS_ACTIVE) return forward(state, stand, request)
  return withIndex(state, stand, { reply, wrote: state.index > writes })
}

function withIndex(
  state: State,
  { consistency, upTo }: Stand,
  { reply, wrote }: { readonly reply: Reply; readonly wrote: boolean },
): Reply {
  const answered = reply.status === 204 || reply.text?.startsWith('{"request_id"')
  const told = consistency === 'openbao' ? answered : wrote
  if (consistency === 'none' || told !== true) return reply
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
