/**
 * What OpenShift's operators give the image of a KMS plugin, as far as the plugin can notice. Read in
 * `github.com/openshift/library-go`, which no registry here has, below `pkg/operator/encryption`:
 *
 * | what | file | commit |
 * | --- | --- | --- |
 * | arguments, resources, security context | `kms/pluginlifecycle/vault.go` | 42a0e5fc0061, and the version after August 2026 that takes its config from a resource of the plugin's own operator (`kms.PluginConfigSpecString`) |
 * | mounts, users, sockets | `kms/pluginlifecycle/builder.go`, `sidecar.go` | 0c9fbc9f043a, 84bc6054e9a0 |
 * | names of the mounted files | `encryptiondata/secret.go` | 04693132679d |
 * | names of providers | `encryptiondata/config.go` | 0b2fa0539d44 |
 * | preflight | `kms/preflight/checker.go`, `cmd.go` | 21d59d1efa2b, 013ee834ec1b |
 * | reporter | `kms/health/cmd.go`, `prober.go` | 21d59d1efa2b, 1a39263ad703 |
 * | limits of a report | `operator/v1/types_kmsencryption.go` of `github.com/openshift/api` | v0.0.0-20260709102940-580f1c1ba691 |
 *
 * @module
 */

/** Where the sockets are: an `emptyDir` that the containers of the pod share. */
export const SOCKET_FOLDER = '/var/run/kmsplugin'
/** Where a pod of an aggregated API server, or of a preflight, has the Secret with all files. */
export const SECRET_FOLDER = '/var/run/secrets/kms-plugin'
/** Where the static pod of kube-apiserver has them, which belong to root. */
export const STATIC_FOLDER = '/etc/kubernetes/static-pod-resources/secrets/encryption-config'
/** The limit of a report's `detail`, and of its `kekId`. */
export const MAX_REPORT_TEXT = 1_024
/** What the container asks its node for. */
export const REQUESTS = { memoryMiB: 64, milliCpu: 10 } as const

export interface SidecarOptions {
  /** The number of the key in the operators' own count. */
  readonly keyId: number
  readonly address: string
  readonly mount: string
  readonly key: string
  readonly roleId: string
  /** The folder of the mounted files. */
  readonly files: string
  readonly sockets?: string
  readonly ca?: boolean
  readonly serverName?: string
  readonly namespace?: string
  readonly authNamespace?: string
}

/** The names of the mounted files: `kms-plugin-secret-NAME_KEY-ID`. */
export function secretIdName(keyId: number): string {
  return `kms-plugin-secret-vault-approle_secret-id-${keyId}`
}
export function caName(keyId: number): string {
  return `kms-plugin-configmap-vault-ca_ca-bundle.crt-${keyId}`
}

export function socketOf(keyId: number, folder = SOCKET_FOLDER): string {
  return `${folder}/kms-${keyId}.sock`
}

/** The arguments of the container, in the operators' order. */
export function sidecarArguments(options: SidecarOptions): string[] {
  const { keyId, address, mount, key, roleId, files, sockets, serverName } = options
  const { namespace, authNamespace } = options
  return [
    `-listen-address=unix://${socketOf(keyId, sockets)}`,
    `-vault-address=${address}`,
    `-vault-key-path=${mount}/keys/${key}`,
    `-approle-role-id=${roleId}`,
    `-approle-secret-id-path=${files}/${secretIdName(keyId)}`,
    ...(options.ca === true ? [`-tls-ca-file=${files}/${caName(keyId)}`] : []),
    ...(serverName === undefined ? [] : [`-tls-sni=${serverName}`]),
    ...(namespace === undefined ? [] : [`-vault-namespace=${namespace}`]),
    ...(authNamespace === undefined ? [] : [`-vault-auth-namespace=${authNamespace}`]),
    '-metrics-port=0',
  ]
}

/** The EncryptionConfiguration for keys, the one that writes first: a provider for each resource and key. */
export function operatorEncryption(
  keyIds: readonly number[],
  { resources, sockets }: { readonly resources: readonly string[]; readonly sockets: string },
): object {
  return {
    apiVersion: 'apiserver.config.k8s.io/v1',
    kind: 'EncryptionConfiguration',
    resources: resources.map((resource) => ({
      resources: [resource],
      providers: [
        ...keyIds.map((keyId) => ({
          kms: {
            apiVersion: 'v2',
            name: `${keyId}_${resource}`,
            endpoint: `unix://${socketOf(keyId, sockets)}`,
            timeout: '10s',
          },
        })),
        { identity: {} },
      ],
    })),
  }
}
