/** What the name of a key says about the object below it. @module */

export interface ObjectKey {
  /** As an EncryptionConfiguration may name it: `secrets`, `widgets.example.com`. */
  readonly resource: string
  readonly namespace: string | undefined
  readonly name: string
}

/** Built-in resources whose keys name them otherwise. */
const RENAMED: Readonly<Record<string, string>> = {
  controllers: 'replicationcontrollers',
  minions: 'nodes',
  ingress: 'ingresses',
}

/** `services/specs/NAMESPACE/NAME` and `services/endpoints/NAMESPACE/NAME`. */
const SERVICES: Readonly<Record<string, string>> = { specs: 'services', endpoints: 'endpoints' }

/** Kept in the clear by the API server whatever its configuration says: they are not REST resources. */
const NEVER_ENCRYPTED = /^(?:masterleases|peerserverleases|ranges)\//

/** Under `ranges/`, and where other versions keep them. */
const ALLOCATIONS = /(?:^|\/)(?:serviceips|servicenodeports)$/

/** @param prefix the API server's `--etcd-prefix`, without a slash at its end */
export function readKey(key: string, prefix: string): ObjectKey | undefined {
  const parts = below(key, prefix)?.split('/') ?? []
  const [first = '', second = ''] = parts
  const service = first === 'services' ? SERVICES[second] : undefined
  if (service !== undefined) return objectOf(service, parts.slice(2))
  // Groups of custom resources and of some built-in ones; no resource's own name has a dot.
  if (first.includes('.')) return objectOf(`${second}.${first}`, parts.slice(2))
  return objectOf(RENAMED[first] ?? first, parts.slice(1))
}

/** True for a key that stays in the clear also where all resources (`*.*`) are encrypted. */
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
