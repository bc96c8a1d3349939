/**
 * What a config needs of the node it runs on: sockets, folders, ports. Every
 * manifest is made of this and of nothing else.
 *
 * @module
 */

import { dirname } from 'node:path/posix'
import { endpointsOf } from '../../config/endpoints.ts'
import type { Config } from '../../config/schema.ts'

export interface ManifestChoices {
  /** Where the config lies on the node. */
  readonly configPath: string
  readonly image: string
  readonly namespace: string
  /** Numeric user and group that the plugin runs as. */
  readonly user: number
  /** Name in the EncryptionConfiguration, which is stored with every object. */
  readonly providerName: string
  /** What is encrypted, in the words of an EncryptionConfiguration. */
  readonly resources: readonly string[]
  /** The SELinux type that the pod runs with; the runtime's choice without it. */
  readonly selinuxType?: string
}

export interface Plan extends ManifestChoices {
  /** Of the first endpoint; manifests are for one API server a node. */
  readonly socketPath: string
  /** Folders that the plugin writes to; the API server needs the first one. */
  readonly written: readonly string[]
  /** Folders that the plugin reads. */
  readonly read: readonly string[]
  /** Where probes ask; none without an admin server on a port. */
  readonly admin: { readonly host: string; readonly port: number } | undefined
  /** Whether a provider logs in with the token of a ServiceAccount. */
  readonly serviceAccount: boolean
  readonly config: Config
}

export function planOf(config: Config, choices: ManifestChoices): Plan {
  const [first, ...more] = endpointsOf(config).map(({ socket }) => socket.path)
  const written = [first, ...more].map((path) => dirname(path ?? '/run/trousseau/kms.sock'))
  if (config.stateDir !== undefined) written.push(config.stateDir)
  if (config.admin !== undefined && 'path' in config.admin.listen) {
    written.push(dirname(config.admin.listen.path))
  }
  const files = [choices.configPath, ...filesOf(config)].filter((path) => !isGiven(path))
  const folders = outermost(files.map((path) => dirname(path)))
  return {
    ...choices,
    config,
    socketPath: first ?? '/run/trousseau/kms.sock',
    written: [...new Set(written)],
    read: folders.filter((folder) => !written.includes(folder)),
    admin:
      config.admin !== undefined && 'host' in config.admin.listen ? config.admin.listen : undefined,
    serviceAccount: filesOf(config).some((path) => path.startsWith(SERVICE_ACCOUNT)),
  }
}

const SERVICE_ACCOUNT = '/var/run/secrets/'
/** What systemd and the kubelet put there for a service or a pod. */
export const CREDENTIALS = '/run/credentials/'

/** Names of keys that hold a path. */
const FILE_KEY = /File$|^recipients$/

function isGiven(path: string): boolean {
  return path.startsWith(SERVICE_ACCOUNT) || path.startsWith(CREDENTIALS)
}

/** Every absolute path that a config names as a file, wherever it stands. */
export function filesOf(config: Config): string[] {
  return [...new Set(filesIn(config, ''))]
}

function filesIn(value: unknown, key: string): string[] {
  if (typeof value === 'string') return FILE_KEY.test(key) && value.startsWith('/') ? [value] : []
  if (Array.isArray(value)) return value.flatMap((each) => filesIn(each, key))
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([name, each]) => filesIn(each, name))
}

/** Without folders that lie in another one of them. */
function outermost(folders: readonly string[]): string[] {
  const all = [...new Set(folders)].toSorted((a, b) => (a < b ? -1 : 1))
  return all.filter((folder) => !all.some((other) => folder.startsWith(`${other}/`)))
}
