/** What a node that serves a request itself answers: token, policy, and then the engine of the path. @module */

import { checkApprole, loginByApprole, lookupSelf, renewSelf, revokeSelf } from './auth.ts'
import type { NodeRole } from './health.ts'
import { readKv1, readKv2, wrongKv2Path } from './kv.ts'
import { denied, failure, type JsonObject, noToken, type Reply, wrapped } from './reply.ts'
import { headerOf, type VaultRequest } from './request.ts'
import {
  type Capability,
  liveToken,
  type MountType,
  rotateKey,
  type State,
  type Token,
} from './state.ts'
import { type KeyView, readKey, transform } from './transit.ts'

interface Served {
  readonly request: VaultRequest
  /** Below the namespace. */
  readonly path: string
  readonly body: JsonObject
  /** Which writes the node has seen. */
  readonly upTo: number
  readonly role: NodeRole
}

const OPERATIONS: Readonly<Record<string, Capability>> = {
  GET: 'read',
  HEAD: 'read',
  POST: 'update',
  PUT: 'update',
  DELETE: 'delete',
  LIST: 'list',
}

const LOGIN = /^(auth\/.+)\/login$/

/** What a token asks about itself. */
const TOKEN_PATHS: Readonly<Record<string, TokenPath>> = {
  'auth/token/lookup-self': { operation: 'read', reply: lookupSelf },
  'auth/token/renew-self': { operation: 'update', reply: renewSelf },
  'auth/token/revoke-self': { operation: 'update', reply: revokeSelf },
}

interface TokenPath {
  readonly operation: Capability
  readonly reply: (state: State, token: Token, body: JsonObject) => Reply
}

/** What no standby does by itself. */
export const NEEDS_ACTIVE = 'needs the active node'

export function route(state: State, served: Served): Reply | typeof NEEDS_ACTIVE {
  const operation = OPERATIONS[served.request.method]
  if (operation === undefined) return failure(405)
  const mount = LOGIN.exec(served.path)?.[1] ?? ''
  if (state.mounts.get(mount) === 'approle') return loginReply(state, mount, served)
  const token = tokenOf(state, served)
  // Only OpenBao's standbys ask the active node about a token that they do not know.
  if (token === undefined) return served.role === 'readStandby' ? NEEDS_ACTIVE : noToken()
  const capability = capabilityOf(state, served.path, operation)
  if (!mayDo(token, served.path, capability)) return denied()
  if (served.role !== 'active' && writes(served.path, capability)) return NEEDS_ACTIVE
  return engineReply(state, served, operation, token)
}

/** A standby checks the credentials itself, and has the token made by the active node. */
function loginReply(state: State, mount: string, { body, upTo, role }: Served) {
  const checked = checkApprole(state, { mount, body, upTo })
  if ('refusal' in checked) return checked.refusal
  return role === 'active' ? loginByApprole(state, checked.role, body) : NEEDS_ACTIVE
}

/** A token that the node has not seen yet is unknown to it. */
function tokenOf(state: State, { request, upTo }: Served): Token | undefined {
  const bearer = /^Bearer (.+)$/i.exec(headerOf(request, 'authorization') ?? '')?.[1]
  const token = liveToken(state, headerOf(request, 'x-vault-token') ?? bearer)
  return token !== undefined && token.index <= upTo ? token : undefined
}

/** Encryption alone looks whether its key is there, and asks for `create` where it is not. */
function capabilityOf(state: State, path: string, operation: Capability): Capability {
  const [, mount, name] = /^(.+)\/encrypt\/([^/]+)$/.exec(path) ?? []
  const creates = name !== undefined && !state.keys.has(`${mount}/${name}`)
  return creates && operation === 'update' ? 'create' : operation
}

function writes(path: string, capability: Capability): boolean {
  return capability === 'create' || TOKEN_PATHS[path]?.operation === 'update'
}

function mayDo({ role }: Token, path: string, capability: Capability): boolean {
  return role === undefined || (role.rules.get(path) ?? []).includes(capability)
}

function engineReply(state: State, served: Served, operation: Capability, token: Token): Reply {
  const { path, body } = served
  const own = TOKEN_PATHS[path]
  if (own !== undefined) {
    return operation === own.operation ? own.reply(state, token, body) : unsupported()
  }
  const place = placeOf(state, path)
  if (place === undefined) {
    return failure(404, `no handler for route "${path}". route entry not found.`)
  }
  if (place.type === 'transit') return transitReply(state, served, operation, place)
  return operation === 'read' ? secretReply(state, served, place) : unsupported()
}

function secretReply(state: State, { request }: Served, { mount, type, rest }: Place): Reply {
  const inside = rest.replace(/^data\//, '')
  if (type === 'kv1') return readKv1(state.secrets.get(`${mount}/${rest}`))
  if (inside === rest) return wrongKv2Path()
  return readKv2(state.secrets.get(`${mount}/${inside}`), request.query.get('version'))
}

/** Where a path leads. */
interface Place {
  readonly mount: string
  readonly type: MountType
  readonly rest: string
}

function placeOf({ mounts }: State, path: string): Place | undefined {
  const mount = [...mounts.keys()].find((one) => path.startsWith(`${one}/`))
  const type = mounts.get(mount ?? '')
  if (mount === undefined || type === undefined) return undefined
  return { mount, type, rest: path.slice(mount.length + 1) }
}

function transitReply(
  state: State,
  { body, upTo }: Served,
  operation: Capability,
  { mount, rest }: Place,
): Reply {
  const [, action, name] = /^(keys|encrypt|decrypt)\/([^/]+)$/.exec(rest) ?? []
  if (action === undefined) return wrapped(404, 'unsupported path')
  if (operation !== (action === 'keys' ? 'read' : 'update')) return unsupported()
  const path = `${mount}/${name}`
  if (action === 'keys') return keyReply(viewOf(state, path, upTo))
  if (action === 'decrypt') return transform(action, viewOf(state, path, upTo), body)
  // Who got so far without a key may create it.
  if (!state.keys.has(path)) rotateKey(state, path)
  return transform('encrypt', viewOf(state, path, upTo), body)
}

function keyReply(view: KeyView | undefined): Reply {
  return view === undefined ? failure(404) : readKey(view)
}

function viewOf(state: State, path: string, upTo: number): KeyView | undefined {
  const key = state.keys.get(path)
  if (key === undefined) return undefined
  const versions = key.versions.filter(({ index }) => index <= upTo)
  return versions.length === 0 ? undefined : { key, versions }
}

function unsupported(): Reply {
  return wrapped(405, 'unsupported operation')
}
