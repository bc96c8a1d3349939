/** What a node of Vault or OpenBao says of itself at `sys/health`. @module */

export type NodeRole =
  | 'active'
  | 'performance standby'
  | 'standby'
  | 'unknown'
  | 'standby without active'
  | 'dr secondary'
  | 'sealed'
  | 'uninitialised'
  | 'removed'
  | 'unreachable'

/** Lower is asked first: a standby forwards what it cannot do itself. From `sealed` on it serves nothing. */
export const NODE_RANKS: Readonly<Record<NodeRole, number>> = {
  active: 0,
  'performance standby': 1,
  standby: 2,
  unknown: 3,
  sealed: 10,
  'standby without active': 10,
  'dr secondary': 11,
  uninitialised: 12,
  removed: 13,
  unreachable: 14,
}

const ROLES: Readonly<Record<number, NodeRole>> = {
  200: 'active',
  429: 'standby',
  472: 'dr secondary',
  473: 'performance standby',
  474: 'standby without active',
  501: 'uninitialised',
  503: 'sealed',
  530: 'removed',
}

/**
 * The node has not come so far as the index that the request names. OpenBao says so
 * with the status of a rate limit and without a word.
 */
export function isLagging({
  status,
  text,
}: {
  readonly status: number
  readonly text: string
}): boolean {
  return status === 412 || (status === 429 && text.trim() === NO_ERRORS)
}

const NO_ERRORS = '{"errors":[]}'

/** A disaster recovery secondary refuses everything as if the request were at fault. */
export function isDrSecondary({
  status,
  text,
}: {
  readonly status: number
  readonly text: string
}): boolean {
  return status === 472 || (status === 400 && text.includes('DR secondary mode'))
}

/** What is said of credentials that are refused, at the logins that lock after some refusals. */
const REFUSALS = ['invalid secret id', 'invalid role', 'invalid username or password']

/**
 * Vault 1.13.0 says so with the status of a failure of its own. Each is counted until
 * the role is locked, so that asking again, or another node, only harms.
 */
export function isRefusedLogin(status: number, says: (phrase: string) => boolean): boolean {
  return status === 500 && REFUSALS.some(says)
}

/** @param status of `sys/health`; undefined where nobody answered */
export function roleOf(status: number | undefined): NodeRole {
  if (status === undefined) return 'unreachable'
  // A proxy or a service that closes this path says something else.
  return ROLES[status] ?? 'unknown'
}
