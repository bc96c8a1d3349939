/** What a key in etcd says about its object. @module */

import { own } from '../../base/own.ts'

export interface ObjectKey {
  /** The name that an EncryptionConfiguration uses: `secrets`, `widgets.example.com`. */
  readonly resource: string
  readonly namespace: string | undefined
  readonly name: string
}

/** Built-in resources that have another name in keys of etcd. */
const RENAMED: Readonly<Record<string, string>> = {
  controllers: 'replicationcontrollers',
  minions: 'nodes',
  ingress: 'ingresses',
}

/** `services/specs/NAMESPACE/NAME` and `services/endpoints/NAMESPACE/NAME`. */
const SERVICES: Readonly<Record<string, string>> = { specs: 'services', endpoints: 'endpoints' }

/**
 * The API server keeps these in the clear whatever its configuration says, since they are not REST
 * resources.
 */
const NEVER_ENCRYPTED = /^(?:masterleases|peerserverleases|ranges)\//

/** These are below `ranges/`; other versions keep them elsewhere. */
const ALLOCATIONS = /(?:^|\/)(?:serviceips|servicenodeports)$/

/** @param prefix the API server's `--etcd-prefix`, without a slash at its end */
export function readKey(key: string, prefix: string): ObjectKey | undefined {
  const parts = below(key, prefix)?.split('/') ?? []
  const [first = '', second = ''] = parts
  const service = first === 'services' ? own(SERVICES, second) : undefined
  if (service !== undefined) return objectOf(service, parts.slice(2))
  // Groups of custom resources and of some built-in ones; the name of a resource has no dot.
  if (first.includes('.')) return objectOf(`${second}.${first}`, parts.slice(2))
  return objectOf(own(RENAMED, first) ?? first, parts.slice(1))
}

/** True for a key that stays in the clear even where all resources (`*.*`) are encrypted. */
export function neverEncrypted(key: string, prefix: string): boolean {
  const path = below(key, prefix) ?? ''
  return NEVER_ENCRYPTED.test(path) || ALLOCATIONS.test(path)
}

function below(key: string, prefix: string): string | undefined {
  return key.startsWith(`${prefix}/`) ? key.slice(prefix.length + 1) : undefined
}

function objectOf(resource: string, rest: readonly string[]): ObjectKey | undefined {
  const [first, second] = rest
  if (resource === '' || first === undefined || first === '') return undefined
  if (second === undefined) return { resource, namespace: undefined, name: first }
  return { resource, namespace: first, name: rest.slice(1).join('/') }
}
