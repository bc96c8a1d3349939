/**
 * What the nodes of one fake cluster share: mounts, keys, tokens and roles. Every
 * write has a number, the index, so that a node that lags can be shown an older
 * state.
 *
 * @module
 */

import { randomBytes, randomUUID } from 'node:crypto'

export type MountType = 'transit' | 'kv1' | 'kv2' | 'approle'
export type Capability = 'create' | 'read' | 'update' | 'delete' | 'list'

export interface KeyVersion {
  readonly material: Uint8Array
  /** Seconds since the epoch. */
  readonly createdAt: number
  readonly index: number
}

export interface TransitKey {
  readonly name: string
  readonly versions: KeyVersion[]
  minDecryptionVersion: number
  minEncryptionVersion: number
}

/** What a policy allows; paths are whole, below the namespace. */
export type Rules = Map<string, readonly Capability[]>

export interface Role {
  readonly name: string
  readonly roleId: string
  /** With the index of their making. */
  readonly secretIds: Map<string, number>
  readonly rules: Rules
  readonly policies: readonly string[]
  tokenTtl: number
  /** 0 where there is no end to renewals. */
  tokenMaxTtl: number
  tokenType: 'service' | 'batch'
  /** Refused logins since the last good one. */
  refusals: number
}

export interface Token {
  readonly value: string
  readonly accessor: string
  /** Absent for a root token, which may do everything. */
  readonly role: Role | undefined
  /** Milliseconds since the epoch. */
  readonly issuedAt: number
  /** Infinity for a token without end. */
  expiresAt: number
  readonly index: number
}

export interface KvVersion {
  readonly data: Readonly<Record<string, unknown>>
  readonly createdAt: string
  deletedAt: string
}

export interface State {
  readonly clusterId: string
  readonly clusterName: string
  readonly namespace: string
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** The number of the last write. */
  index: number
  /** By path, `transit` or `auth/approle`. */
  readonly mounts: Map<string, MountType>
  /** By mount and name, joined by `/`. */
  readonly keys: Map<string, TransitKey>
  /** All versions, by mount and path, joined by `/`. */
  readonly secrets: Map<string, KvVersion[]>
  /** By mount and role id, joined by `/`. */
  readonly roles: Map<string, Role>
  readonly tokens: Map<string, Token>
}

export function createState(namespace: string, now: () => number): State {
  return {
    clusterId: randomUUID(),
    clusterName: `vault-cluster-${randomBytes(4).toString('hex')}`,
    namespace,
    now,
    index: 0,
    mounts: new Map(),
    keys: new Map(),
    secrets: new Map(),
    roles: new Map(),
    tokens: new Map(),
  }
}

/** Makes the key, or a new version of it. */
export function rotateKey(state: State, path: string): TransitKey {
  state.index += 1
  const key = state.keys.get(path) ?? {
    name: path.slice(path.lastIndexOf('/') + 1),
    versions: [],
    minDecryptionVersion: 1,
    minEncryptionVersion: 0,
  }
  key.versions.push({
    material: new Uint8Array(randomBytes(32)),
    createdAt: Math.floor(state.now() / 1000),
    index: state.index,
  })
  state.keys.set(path, key)
  return key
}

export function issueToken(state: State, role: Role | undefined): Token {
  state.index += 1
  const now = state.now()
  const batch = role?.tokenType === 'batch'
  const token = {
    value: `${batch ? 'hvb' : 'hvs'}.${randomBytes(18).toString('base64url')}`,
    accessor: batch ? '' : randomBytes(18).toString('base64url'),
    role,
    issuedAt: now,
    expiresAt: role === undefined ? Number.POSITIVE_INFINITY : now + role.tokenTtl * 1000,
    index: state.index,
  }
  state.tokens.set(token.value, token)
  return token
}

/** Undefined for one that is unknown, revoked or over. */
export function liveToken(state: State, value: string | undefined): Token | undefined {
  const token = state.tokens.get(value ?? '')
  return token !== undefined && token.expiresAt > state.now() ? token : undefined
}
