/** `sys/health` with its codes, which say what a node is, and which a request may choose anew. @module */

import { failure, json, type Reply } from './reply.ts'
import { headerOf, type VaultRequest } from './request.ts'
import type { State } from './state.ts'

export type NodeRole =
  | 'active'
  /** Forwards to the active node. */
  | 'standby'
  /** Sends to the active node with a 307, or to `redirectTo`. */
  | 'standbyRedirect'
  /** OpenBao's usual standby: serves transit and reads itself, forwards logins, renewals and tokens that it does not know. */
  | 'readStandby'
  /** Vault Enterprise's: serves transit and reads itself, forwards logins and renewals. */
  | 'performanceStandby'
  | 'drSecondary'
  | 'sealed'
  | 'uninitialised'

interface Code {
  readonly status: number
  /** The name in the query that changes the status. */
  readonly query: string
}

const ACTIVE: Code = { status: 200, query: 'activecode' }
const STANDBY: Code = { status: 429, query: 'standbycode' }
const CODES: Readonly<Record<NodeRole, Code>> = {
  active: ACTIVE,
  standby: STANDBY,
  standbyRedirect: STANDBY,
  readStandby: STANDBY,
  performanceStandby: { status: 473, query: 'performancestandbycode' },
  drSecondary: { status: 472, query: 'drsecondarycode' },
  sealed: { status: 503, query: 'sealedcode' },
  uninitialised: { status: 501, query: 'uninitcode' },
}

/** With these in the query such a node answers as an active one. */
const TOLERATED: Readonly<Partial<Record<NodeRole, string>>> = {
  standby: 'standbyok',
  standbyRedirect: 'standbyok',
  readStandby: 'standbyok',
  performanceStandby: 'perfstandbyok',
}

export function health(state: State, role: NodeRole, request: VaultRequest): Reply {
  if (headerOf(request, 'x-vault-namespace') !== undefined) {
    return failure(400, 'operation unavailable in namespaces')
  }
  if (!['GET', 'HEAD'].includes(request.method)) return failure(405)
  const { query } = request
  const tolerated = TOLERATED[role]
  const code = tolerated !== undefined && query.has(tolerated) ? ACTIVE : CODES[role]
  const status = Number(query.get(code.query) ?? code.status)
  const reply = json(status, bodyOf(state, role))
  return request.method === 'GET' ? reply : { status, headers: reply.headers }
}

function bodyOf(state: State, role: NodeRole) {
  const initialized = role !== 'uninitialised'
  const sealed = !initialized || role === 'sealed'
  return {
    initialized,
    sealed,
    standby: role !== 'active',
    ...(role === 'performanceStandby' ? { performance_standby: true } : {}),
    replication_performance_mode: sealed ? 'unknown' : 'primary',
    replication_dr_mode: dataRecoveryMode(role, sealed),
    server_time_utc: Math.floor(state.now() / 1000),
    version: '2.7.2',
    ...(sealed ? {} : { cluster_name: state.clusterName, cluster_id: state.clusterId }),
  }
}

function dataRecoveryMode(role: NodeRole, sealed: boolean): string {
  if (sealed) return 'unknown'
  return role === 'drSecondary' ? 'secondary' : 'disabled'
}
