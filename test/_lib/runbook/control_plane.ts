/**
 * A control-plane node as kubeadm sets it up, for the runbooks: etcd and
 * kube-apiserver from their manifests, real ones, at the paths of a real node; and an
 * OpenBao outside of it.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { execFile } from 'node:child_process'
import { chmod, copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import * as v from 'valibot'
import { stringify } from 'yaml'
import { makeAuthority, makeCertificate } from '../certificates.ts'
import { etcdBinaries, kubernetesBinaries } from '../cluster/binaries.ts'
import { KubeApi } from '../cluster/kube_api.ts'
import { BAO_BINARY, freePort, install, type OpenBao, startOpenBao } from '../openbao.ts'
import { BUNDLE, NODE, NODE_FLAGS } from '../plugin_process.ts'
import { tempFolder } from '../temp_folder.ts'
import { until } from '../wait.ts'
import { Kubelet, MANIFESTS } from './kubelet.ts'
import type { OldPlugin } from './old_plugin.ts'
import { mountPrivateRoot } from './private_root.ts'

export const CONFIG = '/etc/trousseau/trousseau.yaml'
export const SOCKET = '/run/trousseau/kms.sock'
export const CA = '/etc/trousseau/ca.pem'
const ENCRYPTION = '/etc/kubernetes/encryption.yaml'
const PKI = '/etc/kubernetes/pki'
const OLD_PLUGIN = fileURLToPath(new URL('old_plugin.ts', import.meta.url))
const ETCD_PKI = `${PKI}/etcd`
const ETCD_CLIENT = {
  ca: `${ETCD_PKI}/ca.crt`,
  cert: `${ETCD_PKI}/healthcheck-client.crt`,
  key: `${ETCD_PKI}/healthcheck-client.key`,
}
const TOKEN = 'trousseau-test-admin'
const START_MS = 120_000

export interface ControlPlane extends AsyncDisposable {
  readonly bao: OpenBao
  readonly api: KubeApi
  /** What stands in for what a page cannot know: addresses, and who the administrator is. */
  readonly environment: Readonly<Record<string, string>>
  /** Where the operator's shell begins. */
  readonly home: string
  /** Keys and values below a prefix, as etcd's own client reads them. */
  stored(prefix: string): Promise<Map<string, Buffer>>
  /** Of etcd, as etcdctl makes it. */
  snapshot(file: string): Promise<void>
  /** As a restart of the node does: what it knew is forgotten. */
  restartApiServer(): Promise<void>
  /** What etcd and the API servers printed. */
  output(): string
}

export interface ControlPlaneOptions {
  /** Sets the key service up, and makes Trousseau's config but for what all configs have; without it neither is there. */
  readonly trousseau?: (bao: OpenBao) => Promise<Readonly<Record<string, unknown>>>
  /** The same for a plugin that is to be replaced: the unit `old-plugin`. */
  readonly oldPlugin?: (bao: OpenBao) => Promise<OldPlugin>
  readonly encryption?: object
  readonly flags?: readonly string[]
}

const range = v.object({
  kvs: v.optional(v.array(v.object({ key: v.string(), value: v.optional(v.string(), '') })), []),
})

export async function startControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  const stack = new AsyncDisposableStack()
  try {
    return await started(options, stack)
  } catch (error) {
    await stack.disposeAsync()
    throw error
  }
}

async function started(
  options: ControlPlaneOptions,
  stack: AsyncDisposableStack,
): Promise<ControlPlane> {
  await install()
  const [etcdTools, kubernetes] = [await etcdBinaries(), await kubernetesBinaries()]
  const folder = stack.use(await tempFolder())
  const home = folder.at('home')
  await mkdir(home)
  stack.use(
    await mountPrivateRoot(folder.path, {
      trousseau: await program(folder.at('trousseau'), [NODE, ...NODE_FLAGS, BUNDLE]),
      systemctl: fileURLToPath(new URL('bin/systemctl', import.meta.url)),
      kubectl: kubernetes.kubectl,
      etcdctl: etcdTools.etcdctl,
      etcdutl: etcdTools.etcdutl,
      bao: BAO_BINARY,
      'old-plugin': await program(folder.at('old-plugin'), [NODE, OLD_PLUGIN]),
    }),
  )
  stack.defer(endUnits)
  const bao = stack.use(await startOpenBao({ tls: true }))
  await copyFile(bao.caFile, CA)
  if (options.oldPlugin !== undefined) {
    await startUnit('old-plugin', `old-plugin ${JSON.stringify(await options.oldPlugin(bao))}`)
  }
  if (options.trousseau !== undefined) await startTrousseau(await options.trousseau(bao))

  const ports = { etcd: await freePort(), peer: await freePort(), api: await freePort() }
  const etcd = `https://127.0.0.1:${ports.etcd}`
  await writePki(ports.api)
  const encryption = JSON.stringify(options.encryption ?? null)
  if (options.encryption !== undefined) await writeFile(ENCRYPTION, encryption, { mode: 0o600 })
  const sockets = [...encryption.matchAll(/unix:\/\/([^"]+)/g)].map(([, path]) => path ?? '')
  const kubelet = stack.use(
    new Kubelet({ 'kube-apiserver': kubernetes.apiServer, etcd: etcdTools.etcd }),
  )
  await mkdir(MANIFESTS, { recursive: true })
  await writeFile(
    join(MANIFESTS, 'etcd.yaml'),
    etcdManifest(etcd, `http://127.0.0.1:${ports.peer}`),
  )
  await writeFile(
    join(MANIFESTS, 'kube-apiserver.yaml'),
    apiServerManifest(etcd, ports.api, options.flags ?? [], sockets),
  )
  const api = stack.use(
    new KubeApi(`https://127.0.0.1:${ports.api}`, TOKEN, `${PKI}/apiserver.crt`),
  )
  await untilReady(api, kubelet)
  const etcdctl = async (...args: string[]) => {
    const { ca, cert, key } = ETCD_CLIENT
    const how = ['--endpoints', etcd, '--cacert', ca, '--cert', cert, '--key', key]
    return (await promisify(execFile)(etcdTools.etcdctl, [...how, ...args], { maxBuffer: 2 ** 28 }))
      .stdout
  }
  const all = stack.move()
  return {
    bao,
    api,
    home,
    environment: {
      ETCDCTL_ENDPOINTS: etcd,
      BAO_ADDR: bao.address,
      BAO_TOKEN: bao.rootToken,
    },
    stored: async (prefix) => {
      const trust = [
        '--cacert',
        ETCD_CLIENT.ca,
        '--cert',
        ETCD_CLIENT.cert,
        '--key',
        ETCD_CLIENT.key,
      ]
      const args = ['--endpoints', etcd, ...trust, 'get', '--prefix', prefix, '-w', 'json']
      const { stdout } = await promisify(execFile)(etcdTools.etcdctl, args, { maxBuffer: 2 ** 28 })
      return new Map(
        v
          .parse(range, JSON.parse(stdout))
          .kvs.map(({ key, value }) => [
            Buffer.from(key, 'base64').toString(),
            Buffer.from(value, 'base64'),
          ]),
      )
    },
    snapshot: async (file) => {
      await etcdctl('snapshot', 'save', file)
    },
    restartApiServer: async () => {
      await kubelet.restart('kube-apiserver.yaml')
      await untilReady(api, kubelet)
    },
    output: () => kubelet.output(),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  }
}

async function program(path: string, command: readonly string[]): Promise<string> {
  await writeFile(path, `#!/bin/sh\nexec ${command.join(' ')} "$@"\n`)
  await chmod(path, 0o755)
  return path
}

/** As the install page leaves a node, but for what the test's config says otherwise. */
export async function startTrousseau(config: Readonly<Record<string, unknown>>): Promise<void> {
  for (const path of ['/run/trousseau', '/var/lib/trousseau/state']) {
    await mkdir(path, { recursive: true, mode: 0o700 })
  }
  const whole = {
    apiVersion: 'trousseau.io/v1',
    kind: 'TrousseauConfig',
    socket: { path: SOCKET },
    stateDir: '/var/lib/trousseau/state',
    admin: { listen: 'unix:///run/trousseau/admin.sock' },
    ...config,
  }
  await writeFile(CONFIG, stringify(whole), { mode: 0o600 })
  await startUnit('trousseau', `/usr/local/bin/trousseau serve --config ${CONFIG}`)
}

async function startUnit(name: string, command: string): Promise<void> {
  await writeFile(`/etc/systemd/system/${name}.service`, `[Service]\nExecStart=${command}\n`)
  await promisify(execFile)('systemctl', ['start', name])
}

/** Ends what the stand-in for systemd started. */
async function endUnits(): Promise<void> {
  const folder = '/run/stand-in-systemd'
  for (const file of await readdir(folder).catch(() => [])) {
    if (!file.endsWith('.pid')) continue
    try {
      process.kill(Number(await readFile(join(folder, file), 'utf8')), 'SIGKILL')
    } catch {
      // It has ended.
    }
  }
}

async function writePki(port: number): Promise<void> {
  await mkdir(PKI, { recursive: true })
  await writeEtcdPki()
  const key = ['-name', 'prime256v1', '-genkey', '-noout', '-out', `${PKI}/sa.key`]
  await promisify(execFile)('openssl', ['ecparam', ...key])
  await writeFile(`${PKI}/tokens.csv`, `${TOKEN},admin,1,system:masters\n`, { mode: 0o600 })
  const server = `https://127.0.0.1:${port}`
  await writeFile(
    '/etc/kubernetes/admin.conf',
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'it',
      clusters: [
        { name: 'it', cluster: { server, 'certificate-authority': `${PKI}/apiserver.crt` } },
      ],
      users: [{ name: 'it', user: { token: TOKEN } }],
      contexts: [{ name: 'it', context: { cluster: 'it', user: 'it' } }],
    }),
    { mode: 0o600 },
  )
}

async function writeEtcdPki(): Promise<void> {
  await mkdir(ETCD_PKI)
  const authority = await makeAuthority(ETCD_PKI, 'authority')
  await copyFile(authority.cert, ETCD_CLIENT.ca)
  for (const name of ['server', 'healthcheck-client']) {
    const made = await makeCertificate(ETCD_PKI, name, authority)
    await copyFile(made.cert, join(ETCD_PKI, `${name}.crt`))
    await copyFile(made.key, join(ETCD_PKI, `${name}.key`))
  }
}

function etcdManifest(url: string, peer: string): string {
  return manifest(
    [
      'etcd',
      '--name=one',
      '--data-dir=/var/lib/etcd',
      `--listen-client-urls=${url}`,
      `--advertise-client-urls=${url}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=one=${peer}`,
      `--trusted-ca-file=${ETCD_CLIENT.ca}`,
      `--cert-file=${ETCD_PKI}/server.crt`,
      `--key-file=${ETCD_PKI}/server.key`,
      '--client-cert-auth=true',
      '--log-level=warn',
      '--unsafe-no-fsync',
    ],
    { 'etcd-data': '/var/lib/etcd', 'etcd-certs': ETCD_PKI },
  )
}

function apiServerManifest(
  etcd: string,
  port: number,
  flags: readonly string[],
  sockets: readonly string[],
): string {
  return manifest(
    [
      'kube-apiserver',
      `--etcd-servers=${etcd}`,
      `--etcd-cafile=${ETCD_CLIENT.ca}`,
      `--etcd-certfile=${ETCD_CLIENT.cert}`,
      `--etcd-keyfile=${ETCD_CLIENT.key}`,
      '--bind-address=127.0.0.1',
      '--advertise-address=127.0.0.1',
      `--secure-port=${port}`,
      `--cert-dir=${PKI}`,
      '--service-cluster-ip-range=10.0.0.0/24',
      '--service-account-issuer=https://kubernetes.default.svc',
      `--service-account-key-file=${PKI}/sa.key`,
      `--service-account-signing-key-file=${PKI}/sa.key`,
      `--token-auth-file=${PKI}/tokens.csv`,
      '--authorization-mode=RBAC',
      '--endpoint-reconciler-type=none',
      ...(sockets.length > 0 ? [`--encryption-provider-config=${ENCRYPTION}`] : []),
      ...flags,
    ],
    {
      'k8s-certs': PKI,
      ...(sockets.length > 0 ? { encryption: ENCRYPTION } : {}),
      ...Object.fromEntries(sockets.map((path, at) => [`kms-${at}`, dirname(path)])),
    },
  )
}

/** In the form that kubeadm writes, which the pages edit. */
function manifest(command: readonly string[], mounts: Readonly<Record<string, string>>): string {
  return [
    'apiVersion: v1',
    'kind: Pod',
    'metadata:',
    `  name: ${command[0]}`,
    '  namespace: kube-system',
    'spec:',
    '  containers:',
    '  - command:',
    ...command.map((word) => `    - ${word}`),
    `    name: ${command[0]}`,
    '    volumeMounts:',
    ...Object.entries(mounts).flatMap(([name, path]) => [
      `    - mountPath: ${path}`,
      `      name: ${name}`,
    ]),
    '  hostNetwork: true',
    '  volumes:',
    ...Object.entries(mounts).flatMap(([name, path]) => [
      '  - hostPath:',
      `      path: ${path}`,
      `    name: ${name}`,
    ]),
    '',
  ].join('\n')
}

async function untilReady(api: KubeApi, kubelet: Kubelet): Promise<void> {
  const ready = () =>
    api.health('/readyz').then(
      ({ ok }) => ok,
      () => false,
    )
  await until('the API server is ready', ready, { limitMs: START_MS, everyMs: 200 }).catch(
    (cause: unknown) => {
      throw new Error(`No API server: ${kubelet.output().slice(-4_000)}`, { cause })
    },
  )
}
