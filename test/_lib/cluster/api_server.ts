/**
 * A real kube-apiserver on loopback beside an etcd of the test's, pointed at the
 * socket of a plugin.
 *
 * @module
 */

import { execFile } from 'node:child_process'
import { access, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { freePort } from '../free_port.ts'
import { chosenVersion, type KubernetesVersion, kubernetesBinaries } from './binaries.ts'
import type { Etcd } from './etcd.ts'
import { KubeApi } from './kube_api.ts'
import { ServerProcess } from './server_process.ts'

export interface ApiServerOptions {
  /** Certificates, keys and configs; API servers of one cluster share it. */
  readonly folder: string
  readonly etcd: Pick<Etcd, 'endpoint'>
  /** JSON or YAML of the EncryptionConfiguration; without one nothing is encrypted. */
  readonly encryption?: object | string | undefined
  /** Further flags, such as `--feature-gates=KMSv1=true`. */
  readonly flags?: readonly string[]
  /**
   * Flags about the keys of ServiceAccount tokens, asked for at each start; where absent, those
   * that sign and check with the key file.
   */
  readonly tokenFlags?: (keyFile: string) => readonly string[]
  readonly version?: KubernetesVersion
  /** Distinguishes API servers of one cluster. */
  readonly name?: string
  /**
   * Whether changes of the EncryptionConfiguration are followed; the API server then checks the
   * file every minute.
   */
  readonly reloads?: boolean
}

export interface ApiServer extends AsyncDisposable {
  /** `https://127.0.0.1:port`. */
  readonly address: string
  readonly process: ServerProcess
  /** As `system:masters`. */
  readonly api: KubeApi
  /** Of the same user, for kubectl and the product. */
  readonly kubeconfig: string
  readonly encryptionFile: string
  /** Resolves when `/readyz` is 200. */
  start(): Promise<void>
  /** Puts another EncryptionConfiguration into the file. */
  configure(encryption: object | string): Promise<void>
  /** Runs kubectl; resolves to what it printed. */
  kubectl(...args: string[]): Promise<string>
}

const TOKEN = 'trousseau-test-admin'

/** Flags of an API server that signs tokens with a key file, and takes those of others too. */
export function withKeyFile(keyFile: string, ...others: readonly string[]): string[] {
  return [
    `--service-account-signing-key-file=${keyFile}`,
    ...[keyFile, ...others].map((file) => `--service-account-key-file=${file}`),
  ]
}

/** A config that encrypts `resources` through one KMS v2 plugin, and reads what is not encrypted. */
export function encryptionOf(
  socketPath: string,
  {
    name = 'trousseau',
    resources = ['secrets', 'configmaps'],
    apiVersion = 'v2',
  }: {
    readonly name?: string
    readonly resources?: readonly string[]
    readonly apiVersion?: 'v1' | 'v2'
  } = {},
): object {
  const kms = { apiVersion, name, endpoint: `unix://${socketPath}`, timeout: '3s' }
  return encryptionBy([{ kms }, { identity: {} }], resources)
}

export function encryptionBy(
  providers: readonly object[],
  resources: readonly string[] = ['secrets', 'configmaps'],
): object {
  return {
    apiVersion: 'apiserver.config.k8s.io/v1',
    kind: 'EncryptionConfiguration',
    resources: [{ resources, providers }],
  }
}

/** Starts it and waits until it is ready, unless `launchOnly`. */
export async function startApiServer(
  options: ApiServerOptions,
  { launchOnly = false } = {},
): Promise<ApiServer> {
  const { folder, etcd, encryption, flags = [], name = 'one' } = options
  const version = options.version ?? chosenVersion()
  const binaries = await kubernetesBinaries(version)
  const port = await freePort()
  const address = `https://127.0.0.1:${port}`
  const own = join(folder, `api-server-${name}`)
  await mkdir(own, { recursive: true })
  const files = {
    signingKey: join(folder, 'service-account.pem'),
    tokens: join(own, 'tokens.csv'),
    encryption: join(own, 'encryption.yaml'),
    certificate: join(own, 'apiserver.crt'),
    kubeconfig: join(own, 'admin.kubeconfig'),
  }
  await makeSigningKey(files.signingKey)
  await writeFile(files.tokens, `${TOKEN},admin,1,system:masters\n`, { mode: 0o600 })
  await writeFile(files.kubeconfig, kubeconfigText(address, files.certificate), { mode: 0o600 })
  const configure = (content: object | string) =>
    writeFile(files.encryption, typeof content === 'string' ? content : JSON.stringify(content), {
      mode: 0o600,
    })
  if (encryption !== undefined) await configure(encryption)
  const api = new KubeApi(address, TOKEN, files.certificate)
  const encrypting = [
    `--encryption-provider-config=${files.encryption}`,
    `--encryption-provider-config-automatic-reload=${options.reloads === true}`,
  ]
  const server = new ServerProcess({
    name: `kube-apiserver ${version}`,
    program: binaries.apiServer,
    args: () => [
      `--etcd-servers=${etcd.endpoint}`,
      '--bind-address=127.0.0.1',
      '--advertise-address=127.0.0.1',
      `--secure-port=${port}`,
      `--cert-dir=${own}`,
      '--service-cluster-ip-range=10.0.0.0/24',
      '--service-account-issuer=https://kubernetes.default.svc',
      ...(options.tokenFlags?.(files.signingKey) ?? withKeyFile(files.signingKey)),
      `--token-auth-file=${files.tokens}`,
      '--authorization-mode=RBAC',
      '--endpoint-reconciler-type=none',
      ...(encryption === undefined ? [] : encrypting),
      ...flags,
    ],
    answers: async () => {
      const { ok, text } = await api.health('/readyz')
      if (!ok) throw new Error(text)
      return true
    },
  })
  const run = promisify(execFile)
  const running: ApiServer = {
    address,
    process: server,
    api,
    kubeconfig: files.kubeconfig,
    encryptionFile: files.encryption,
    start: () => server.start(),
    configure,
    kubectl: async (...args) =>
      (await run(binaries.kubectl, ['--kubeconfig', files.kubeconfig, ...args])).stdout,
    async [Symbol.asyncDispose]() {
      await api[Symbol.asyncDispose]()
      await server[Symbol.asyncDispose]()
    },
  }
  if (launchOnly) server.launch()
  else {
    await server.start().catch(async (error: unknown) => {
      await running[Symbol.asyncDispose]()
      throw error
    })
  }
  return running
}

/**
 * Made once, because tokens of ServiceAccounts outlive a restart and are valid at every API server.
 */
async function makeSigningKey(file: string): Promise<void> {
  const there = await access(file).then(
    () => true,
    () => false,
  )
  if (there) return
  const key = ['-name', 'prime256v1', '-genkey', '-noout', '-out', file]
  await promisify(execFile)('openssl', ['ecparam', ...key])
}

function kubeconfigText(server: string, caFile: string): string {
  const named = { name: 'test', cluster: { server, 'certificate-authority': caFile } }
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'test',
    clusters: [named],
    users: [{ name: 'test', user: { token: TOKEN } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
  })
}
