/** An AppRole of a fake cluster with its credential files, as `OpenBao.setupTransit` makes one. @module */

import { randomUUID } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { replaceFile } from '../../../replace_file.ts'
import { issueToken, type Role, type Rules, rotateKey, type State } from './state.ts'

export interface ApproleOptions {
  readonly mount?: string
  readonly key?: string
  /** Mount of the login, without `auth/`. */
  readonly authMount?: string
  readonly tokenTtl?: number
  readonly tokenMaxTtl?: number
  readonly tokenType?: 'service' | 'batch'
  /** Tokens without the `default` policy, and without lookup, renewal and revocation. */
  readonly noDefaultPolicy?: boolean
}

export interface Approle {
  readonly mount: string
  readonly key: string
  readonly roleIdFile: string
  readonly secretIdFile: string
  /** The keys of a provider's config but for `name` and `type`. */
  readonly provider: Readonly<Record<string, unknown>>
  /** What its tokens may do; a change holds at once. */
  readonly rules: Rules
  /** Makes a token without a request. */
  issueToken(): string
  /** The secret ids in use are worth nothing any more. */
  destroySecretId(): void
  /** Puts a new secret id into the file. */
  replaceSecretId(): Promise<void>
}

export async function setupApprole(
  state: State,
  folder: string,
  address: string,
  options: ApproleOptions,
): Promise<Approle> {
  const { mount = 'transit', key = 'k8s-etcd', authMount = 'approle' } = options
  const name = `trousseau-${key}`
  const roleIdFile = join(folder, `${name}-role-id`)
  const secretIdFile = join(folder, `${name}-secret-id`)
  const role = createRole(state, name, options)
  state.mounts.set(mount, 'transit').set(`auth/${authMount}`, 'approle')
  state.roles.set(`auth/${authMount}/${role.roleId}`, role)
  if (!state.keys.has(`${mount}/${key}`)) rotateKey(state, `${mount}/${key}`)
  await writeFile(roleIdFile, `${role.roleId}\n`, { mode: 0o600 })
  const replaceSecretId = async () => {
    const secretId = randomUUID()
    state.index += 1
    role.secretIds.set(secretId, state.index)
    await replaceFile(secretIdFile, `${secretId}\n`)
  }
  await replaceSecretId()
  return {
    mount,
    key,
    roleIdFile,
    secretIdFile,
    provider: {
      address,
      ...(state.namespace === '' ? {} : { namespace: state.namespace }),
      mount,
      key,
      auth: {
        method: 'approle',
        ...(authMount === 'approle' ? {} : { mount: authMount }),
        roleIdFile,
        secretIdFile,
      },
    },
    rules: role.rules,
    issueToken: () => issueToken(state, role).value,
    destroySecretId: () => role.secretIds.clear(),
    replaceSecretId,
  }
}

function createRole(state: State, name: string, options: ApproleOptions): Role {
  const { mount = 'transit', key = 'k8s-etcd', noDefaultPolicy = false } = options
  const rules: Rules = new Map()
  rules.set(`${mount}/encrypt/${key}`, ['update'])
  rules.set(`${mount}/decrypt/${key}`, ['update'])
  rules.set(`${mount}/keys/${key}`, ['read'])
  if (!noDefaultPolicy) {
    rules.set('auth/token/lookup-self', ['read'])
    rules.set('auth/token/renew-self', ['update'])
    rules.set('auth/token/revoke-self', ['update'])
  }
  state.index += 1
  return {
    name,
    roleId: randomUUID(),
    secretIds: new Map(),
    rules,
    policies: noDefaultPolicy ? [name] : ['default', name],
    tokenTtl: options.tokenTtl ?? 3600,
    tokenMaxTtl: options.tokenMaxTtl ?? 0,
    tokenType: options.tokenType ?? 'service',
    refusals: 0,
  }
}
