/** What a node of Vault or OpenBao says about itself at `sys/health`. @module */

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

/**
 * Nodes with a lower rank are asked first, since a standby forwards what it cannot do itself. From
 * `sealed` on, a node serves nothing.
 */
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
 * The node has not reached the index that the request names. OpenBao says so with the status of a
 * rate limit and an empty body.
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

/** A disaster recovery secondary refuses everything as if the request were wrong. */
export function isDrSecondary({
  status,
  text,
}: {
  readonly status: number
  readonly text: string
}): boolean {
  return status === 472 || (status === 400 && text.includes('DR secondary mode'))
}

/** What services say of refused credentials, at the logins that lock after several refusals. */
const REFUSALS = ['invalid secret id', 'invalid role', 'invalid username or password']

/**
 * Vault 1.13.0 answers a refused login with the status of an internal failure. Each refusal is
 * counted until the role is locked, so asking again, or asking another node, does harm.
 */
export function isRefusedLogin(status: number, says: (phrase: string) => boolean): boolean {
  return status === 500 && REFUSALS.some(says)
}

/** @param status of `sys/health`; undefined where the node did not answer */
export function roleOf(status: number | undefined): NodeRole {
  if (status === undefined) return 'unreachable'
  // A proxy, or a service that closes this path, answers with another status.
  return ROLES[status] ?? 'unknown'
}
