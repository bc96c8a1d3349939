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
import { etcdBinaries, kubernetesBinaries } from '../cluster/binaries.ts'
import { KubeApi } from '../cluster/kube_api.ts'
import { freePort } from '../free_port.ts'
import { bundleCommand, NODE } from '../plugin/process.ts'
import { keyServerBinary } from '../services/vault/key_server.ts'
import { type OpenBao, startOpenBao } from '../services/vault/openbao.ts'
import { tempFolder } from '../temp_folder.ts'
import { until } from '../wait.ts'
import { Kubelet, MANIFESTS } from './kubelet.ts'
import {
  API_CERTIFICATE,
  apiServerManifest,
  ENCRYPTION,
  ETCD_CLIENT,
  etcdManifest,
  TOKEN,
  writePki,
} from './node_files.ts'
import type { OldPlugin } from './old_plugin.ts'
import { mountPrivateRoot } from './private_root.ts'

export const CONFIG = '/etc/trousseau/trousseau.yaml'
export const SOCKET = '/run/trousseau/kms.sock'
export const CA = '/etc/trousseau/ca.pem'
const OLD_PLUGIN = fileURLToPath(new URL('old_plugin.ts', import.meta.url))
const OUTPUT_BYTES = 256 * 1024 * 1024
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

interface ControlPlaneOptions {
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
  const [etcdTools, kubernetes] = [await etcdBinaries(), await kubernetesBinaries()]
  const folder = stack.use(await tempFolder())
  const home = folder.at('home')
  await mkdir(home)
  stack.use(
    await mountPrivateRoot(folder.path, {
      trousseau: await program(folder.at('trousseau'), bundleCommand({ folder: home }, []).flat()),
      systemctl: fileURLToPath(new URL('bin/systemctl', import.meta.url)),
      kubectl: kubernetes.kubectl,
      etcdctl: etcdTools.etcdctl,
      etcdutl: etcdTools.etcdutl,
      bao: await keyServerBinary(),
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
  const sockets = await writeEncryption(options.encryption)
  await writePki(ports.api)
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
  const api = stack.use(new KubeApi(`https://127.0.0.1:${ports.api}`, TOKEN, API_CERTIFICATE))
  await untilReady(api, kubelet)
  const etcdctl = etcdctlOf(etcdTools.etcdctl, etcd)
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
      const answer = JSON.parse(await etcdctl('get', '--prefix', prefix, '-w', 'json'))
      const { kvs } = v.parse(range, answer)
      return new Map(kvs.map(({ key, value }) => [fromBase64(key).toString(), fromBase64(value)]))
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

function etcdctlOf(binary: string, endpoint: string) {
  const { ca, cert, key } = ETCD_CLIENT
  const how = ['--endpoints', endpoint, '--cacert', ca, '--cert', cert, '--key', key]
  const limits = { maxBuffer: OUTPUT_BYTES }
  return async (...args: string[]) =>
    (await promisify(execFile)(binary, [...how, ...args], limits)).stdout
}

function fromBase64(text: string): Buffer {
  return Buffer.from(text, 'base64')
}

/** Resolves to the sockets that it names. */
async function writeEncryption(encryption: object | undefined): Promise<string[]> {
  if (encryption === undefined) return []
  const text = JSON.stringify(encryption)
  await mkdir(dirname(ENCRYPTION), { recursive: true })
  await writeFile(ENCRYPTION, text, { mode: 0o600 })
  return [...text.matchAll(/unix:\/\/([^"]+)/g)].map(([, path]) => path ?? '')
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
