/**
 * What a config needs of the node that it runs on: sockets, folders, ports. Every manifest is made
 * from this and from nothing else.
 *
 * @module
 */

import { dirname, resolve } from 'node:path/posix'
import { keysOf, pathsOf } from '../../config/paths.ts'
import type { Config } from '../../config/schema.ts'
import { descriptorOf } from '../../services/registry.ts'
import type { KeyField } from './openshift.ts'

export interface ManifestChoices {
  /** Where the config lies on the node. */
  readonly configPath: string
  readonly image: string
  readonly namespace: string
  /** Numeric id of the user and group that the plugin runs as. */
  readonly user: number
  /** The name in the EncryptionConfiguration, which is stored with every object. */
  readonly providerName: string
  /** The resources to encrypt, as an EncryptionConfiguration names them. */
  readonly resources: readonly string[]
  /** The SELinux type that the pod runs with; where absent, the runtime chooses. */
  readonly selinuxType?: string
  /** How an `APIServer` resource of OpenShift names the key. */
  readonly keyField: KeyField
  /** The client whose commands are printed. */
  readonly client: 'vault' | 'bao'
}

export interface Plan extends ManifestChoices {
  /** The socket of the first endpoint, since manifests are for one API server a node. */
  readonly socketPath: string
  /** Folders that the plugin writes to; the API server needs the first one. */
  readonly written: readonly string[]
  /** Folders that the plugin reads. */
  readonly read: readonly string[]
  /** Where probes ask; undefined without an admin server on a port. */
  readonly admin: { readonly host: string; readonly port: number } | undefined
  /** Whether a login is one with the token of the pod's ServiceAccount. */
  readonly serviceAccount: boolean
  readonly config: Config
  /** The text of the config as it was written. */
  readonly configText: string
}

export function planOf(config: Config, choices: ManifestChoices, configText: string): Plan {
  const { files, folders, sockets, listens, looked, written } = pathsOf(config)
  const [socketPath = '/run/trousseau/kms.sock'] = listens
  // If only the file or socket itself were mounted, its replacement would not be seen.
  const around = [choices.configPath, ...files, ...sockets, ...looked].filter(
    (path) => !isGiven(path),
  )
  const read = outermost([...around.map((path) => dirname(path)), ...folders])
  return {
    ...choices,
    config,
    configText,
    socketPath,
    written,
    read: read.filter((folder) => !written.includes(folder)),
    admin:
      config.admin !== undefined && 'host' in config.admin.listen ? config.admin.listen : undefined,
    serviceAccount:
      files.some((path) => path.startsWith(SERVICE_ACCOUNT)) ||
      keysOf(config).some((each) => descriptorOf(each).asksTokenReview?.(each) === true),
  }
}

/** The folder in which systemd and the kubelet put credentials for a service or a pod. */
export const CREDENTIALS = '/run/credentials/'
const SECRETS = '/var/run/secrets/'
/** Where the DaemonSet mounts the token that it asks for. */
const SERVICE_ACCOUNT = `${SECRETS}kubernetes.io/serviceaccount/`

/** Whether whoever starts the plugin puts the file there. */
export function isGiven(path: string): boolean {
  return path.startsWith(SECRETS) || path.startsWith(CREDENTIALS)
}

/** Leaves out folders that lie inside another one of them. */
export function outermost(folders: readonly string[]): string[] {
  const all = [...new Set(folders.map((folder) => resolve(folder)))].toSorted((a, b) =>
    a < b ? -1 : 1,
  )
  return all.filter((folder) => !all.some((other) => folder.startsWith(`${other}/`)))
}
