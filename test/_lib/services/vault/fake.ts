/**
 * A fake of Vault and OpenBao in trouble: nodes over HTTP on loopback that share
 * one state in memory, answer in the words of the real server (compared in
 * `test/services/vault/fake/real.node.test.ts`), and fail on demand.
 *
 * @module
 */

import { type Approle, type ApproleOptions, setupApprole } from './fake/approle.ts'
import type { Consistency } from './fake/consistency.ts'
import type { NodeRole } from './fake/health.ts'
import { type FakeNode, startNode } from './fake/node.ts'
import type { Limits, VaultRequest } from './fake/request.ts'
import { serve } from './fake/serve.ts'
import { createState, issueToken, rotateKey, type State } from './fake/state.ts'

export interface FakeVaultOptions {
  /** The first is active, the others are standbys. */
  readonly nodes?: number
  /** What the others are; `standby` where absent. */
  readonly standbys?: NodeRole
  /** The one namespace that holds everything; none where absent. */
  readonly namespace?: string
  /** `true` for the index headers of Vault Enterprise, or those of OpenBao; none where absent. */
  readonly consistency?: boolean | 'openbao'
  /** As an agent's or proxy's listener can be set to, and as every request should be ready for. */
  readonly requireRequestHeader?: boolean
  /** Milliseconds since the epoch. */
  readonly now?: () => number
}

interface KeyChange {
  readonly mount?: string
  readonly key?: string
}

export interface FakeVault extends AsyncDisposable {
  readonly nodes: readonly FakeNode[]
  readonly addresses: readonly string[]
  readonly state: State
  /** A token that may do everything. */
  readonly rootToken: string
  /** Logins that were asked for at any node, whatever came of them. */
  readonly logins: number
  /** A node by its number; throws where there is none. */
  node(index: number): FakeNode
  /** The node becomes active, and every other active one a standby. */
  elect(index: number): void
  /** A transit key, an AppRole that may use it, and the files of its credentials. */
  setupApprole(folder: string, options?: ApproleOptions): Promise<Approle>
  revokeTokens(): void
  rotate(change?: KeyChange): void
  deleteKey(change?: KeyChange): void
  setMinVersions(versions: { encryption?: number; decryption?: number }, change?: KeyChange): void
  /** A secret of the key-value engine; again for a new version. */
  putSecret(version: 1 | 2, path: { mount: string; path: string }, data: SecretData): void
}

type SecretData = Readonly<Record<string, unknown>>

export async function startFakeVault(options: FakeVaultOptions = {}): Promise<FakeVault> {
  const { nodes: count = 1, namespace = '', now = Date.now } = options
  const state = createState(namespace.replace(/^\/|\/$/g, ''), now)
  const rootToken = issueToken(state, undefined).value
  const nodes: FakeNode[] = []
  const answer = createServe(state, nodes, options)
  for (let at = 0; at < count; at += 1) {
    const role = at === 0 ? 'active' : (options.standbys ?? 'standby')
    nodes.push(await startNode(role, { serve: answer, index: () => state.index }))
  }
  const node = (index: number) => {
    const found = nodes[index]
    if (found === undefined) throw new Error(`No node ${index}`)
    return found
  }
  return {
    nodes,
    addresses: nodes.map(({ address }) => address),
    state,
    rootToken,
    get logins() {
      return nodes.reduce((sum, { logins }) => sum + logins, 0)
    },
    node,
    elect: (index) => {
      const standby = options.standbys ?? 'standby'
      for (const one of nodes) if (one.role === 'active') one.role = standby
      node(index).role = 'active'
    },
    setupApprole: (folder, approle = {}) => setupApprole(state, folder, node(0).address, approle),
    ...writesOf(state),
    async [Symbol.asyncDispose]() {
      for (const one of nodes) {
        one.clearFaults()
        await one.stop()
      }
    },
  }
}

function createServe(state: State, nodes: readonly FakeNode[], options: FakeVaultOptions) {
  const consistency = consistencyOf(options.consistency)
  const requireRequestHeader = options.requireRequestHeader ?? true
  return (node: FakeNode, request: VaultRequest, limits: Limits) => {
    const active = nodes.find(({ role }) => role === 'active')
    const stand = {
      role: node.role,
      redirectTo: node.redirectTo ?? active?.address,
      hasActive: active?.running === true,
      upTo: Math.min(node.upTo, state.index),
      limits,
      consistency,
      requireRequestHeader,
    }
    return serve(state, stand, request)
  }
}

function consistencyOf(wanted: FakeVaultOptions['consistency']): Consistency {
  if (wanted === 'openbao') return 'openbao'
  return wanted === true ? 'vault' : 'none'
}

/** What an operator does beside the requests. */
function writesOf(state: State) {
  const pathOf = ({ mount = 'transit', key = 'k8s-etcd' }: KeyChange = {}) => `${mount}/${key}`
  return {
    revokeTokens: () => {
      for (const [value, { role }] of state.tokens)
        if (role !== undefined) state.tokens.delete(value)
    },
    rotate: (change?: KeyChange) => {
      rotateKey(state, pathOf(change))
    },
    deleteKey: (change?: KeyChange) => {
      state.index += 1
      state.keys.delete(pathOf(change))
    },
    setMinVersions: (
      { encryption, decryption }: { encryption?: number; decryption?: number },
      change?: KeyChange,
    ) => {
      const key = state.keys.get(pathOf(change))
      if (key === undefined) throw new Error(`No key ${pathOf(change)}`)
      state.index += 1
      key.minEncryptionVersion = encryption ?? key.minEncryptionVersion
      key.minDecryptionVersion = decryption ?? key.minDecryptionVersion
    },
    putSecret: (
      version: 1 | 2,
      { mount, path }: { mount: string; path: string },
      data: SecretData,
    ) => {
      state.index += 1
      state.mounts.set(mount, version === 1 ? 'kv1' : 'kv2')
      const at = `${mount}/${path}`
      const made = { data, createdAt: new Date(state.now()).toISOString(), deletedAt: '' }
      state.secrets.set(at, [...(state.secrets.get(at) ?? []), made])
    },
  }
}
