/**
 * `trousseau doctor` checks everything that an API server's start depends on, before and after
 * changes. It changes nothing.
 *
 * @module
 */

import { access, readFile } from 'node:fs/promises'
import { systemClock } from '../../base/clock.ts'
import { toKmsError } from '../../base/errors.ts'
import { endpointsOf } from '../../config/endpoints.ts'
import { ConfigError, loadConfig } from '../../config/load.ts'
import type { Config } from '../../config/schema.ts'
import { fitted } from '../../console/fitted.ts'
import type { Io } from '../../console/io.ts'
import { EXIT, json, printable } from '../../console/output.ts'
import { findKubeAccess } from '../kube/access.ts'
import { connectKube } from '../kube/client.ts'
import { readEncryptionFile } from '../kube/encryption_config.ts'
import { readStaticPod, type StaticPod } from '../kube/static_pod.ts'
import { adminFindings } from './admin_checks.ts'
import { clusterFindings, manifestFindings, rightsOf } from './api_server_checks.ts'
import { type Dialed, dialedOf, factsOf } from './api_server_facts.ts'
import { configFindings } from './config_checks.ts'
import { encryptionFindings, kmsEntries } from './encryption_checks.ts'
import { type Finding, found, skipped } from './finding.ts'
import { policyFindings } from './policy_checks.ts'
import { providerFindings } from './provider_checks.ts'
import { isWell, readable } from './report.ts'
import { socketFindings } from './socket_checks.ts'
import { stateFindings } from './state_checks.ts'

export interface DoctorFlags {
  readonly config: string
  readonly encryptionConfig?: string
  readonly apiServerManifest?: string
  readonly pluginManifest?: string
  readonly kubeconfig?: string
  readonly context?: string
  readonly offline: boolean
  readonly json: boolean
}

const MOST_COLUMNS = 96
export const KUBEADM_MANIFEST = '/etc/kubernetes/manifests/kube-apiserver.yaml'

export async function doctor(flags: DoctorFlags, io: Io): Promise<number> {
  const findings = await examined(flags, io)
  io.out(
    flags.json
      ? json({ well: isWell(findings), findings })
      : fitted(readable(findings, io), io, MOST_COLUMNS),
  )
  return isWell(findings) ? EXIT.ok : EXIT.unhealthy
}

async function examined(flags: DoctorFlags, io: Io): Promise<Finding[]> {
  let config: Config
  try {
    config = await loadConfig(flags.config)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.problems.map((problem) => ({
      id: 'config-invalid',
      level: 'error',
      what: problem,
      why: 'The plugin does not start with it.',
      todo: '"trousseau config schema" says what each key may be.',
    }))
  }
  const resolvConf = await readFile('/etc/resolv.conf', 'utf8').catch(() => '')
  const { findings: asked, keyId } = await askedFindings(config, flags, io)
  return [
    ...(await configFindings(config, resolvConf)),
    ...(await policyFindings(config)),
    ...asked,
    ...(await apiServer(config, flags)),
    ...(await pluginManifest(flags)),
    ...(await selinux(config, flags, io)),
    ...(await cluster(config, keyId, flags, io)),
  ]
}

async function askedFindings(
  config: Config,
  { offline }: DoctorFlags,
  io: Io,
): Promise<{ findings: Finding[]; keyId: string | undefined }> {
  if (offline) {
    return {
      findings: [skipped('provider', 'Sockets and key services were not asked (--offline)')],
      keyId: undefined,
    }
  }
  const sights = await Promise.all(
    endpointsOf(config).map(({ socket }) => socketFindings(socket.path)),
  )
  const providers = await providerFindings(config, io.environment)
  const answers = sights.some(({ keyId }) => keyId !== undefined)
  const { admin, stateDir, signer } = config
  const ofAdmin = admin === undefined ? [] : await adminFindings(admin.listen, answers)
  const ofState = stateDir === undefined ? [] : await stateFindings(stateDir, answers, io)
  return {
    findings: [
      ...sights.flatMap(({ findings }) => findings),
      ...(signer === undefined ? [] : await (await signerChecks()).signerFindings(signer)),
      ...ofAdmin,
      ...ofState,
      ...providers,
    ],
    keyId: sights[0]?.keyId,
  }
}

async function apiServer(config: Config, flags: DoctorFlags): Promise<Finding[]> {
  const manifest = await manifestPath(flags)
  const { encryptionConfig } = flags
  const pod = await readIfNamed('manifest-unreadable', manifest, readStaticPod)
  const file = await readIfNamed('encryption-unreadable', encryptionConfig, readEncryptionFile)
  const entries = file.content?.config === undefined ? [] : kmsEntries(file.content.config)
  const sockets = endpointsOf(config).map(({ socket }) => socket)
  const paths = sockets.map(({ path }) => path)
  const dialed = await dialedOf(entries, paths, pod.content)
  const served = {
    sockets: paths,
    requestTimeoutMs: config.requestTimeout,
    ours: new Set(dialed.map(({ endpoint }) => endpoint)),
  }
  return [
    ...(encryptionConfig === undefined
      ? [skipped('encryption', 'The EncryptionConfiguration: name it with --encryption-config')]
      : file.findings),
    ...(file.content === undefined
      ? []
      : encryptionFindings(file.content, served, factsOf(pod.content))),
    ...(manifest === undefined
      ? [skipped('manifest', "The API server's static pod: name it with --api-server-manifest")]
      : pod.findings),
    ...(await podFindings(pod.content, sockets[0], dialed, encryptionConfig)),
    ...(config.signer === undefined
      ? []
      : await (await signerChecks()).signerManifestFindings(pod.content, config.signer)),
  ]
}

/** Loaded where there is a signer. */
const signerChecks = () => import('./signer_checks.ts')

async function manifestPath({ apiServerManifest }: DoctorFlags): Promise<string | undefined> {
  const there = await access(KUBEADM_MANIFEST).then(
    () => KUBEADM_MANIFEST,
    () => undefined,
  )
  return apiServerManifest ?? there
}

async function podFindings(
  pod: StaticPod | undefined,
  socket: Config['socket'] | undefined,
  dialed: readonly Dialed[],
  encryptionFile: string | undefined,
): Promise<Finding[]> {
  if (pod === undefined || socket === undefined) return []
  const paths = dialed.filter((each) => each.socket === socket.path).map(({ path }) => path)
  const checked = { encryptionFile, dialed: paths.length === 0 ? [socket.path] : paths }
  return await manifestFindings(pod, await rightsOf(socket), checked)
}

async function pluginManifest({ pluginManifest: path }: DoctorFlags): Promise<Finding[]> {
  if (path === undefined) return []
  return await readOr('manifest-unreadable', async () => {
    const { spec } = await readStaticPod(path)
    return [
      ...found(
        spec.containers.some(
          ({ imagePullPolicy, image }) =>
            imagePullPolicy === 'Always' ||
            (imagePullPolicy === undefined && /(?::latest|^[^:@]+)$/.test(image)),
        ),
        {
          id: 'boot-image-pull',
          level: 'warning',
          what: "The kubelet asks a registry for the plugin's image at every start",
          why: 'A node that boots while the registry is away has no plugin, and so no API server.',
          todo: 'Set imagePullPolicy: IfNotPresent with a version or digest, and load the image on every node.',
        },
      ),
      ...found(!spec.hostNetwork, {
        id: 'boot-pod-network',
        level: 'warning',
        what: "The plugin's pod does not use the node's network",
        why: 'The pod network needs an API server, which needs the plugin.',
        todo: 'Set hostNetwork: true and dnsPolicy: Default.',
      }),
    ]
  })
}

async function selinux(
  config: Config,
  { pluginManifest: path }: DoctorFlags,
  { environment }: Io,
): Promise<Finding[]> {
  const { selinuxFindings } = await import('./selinux_checks.ts')
  // A manifest that cannot be read was reported above.
  const pluginPod =
    path === undefined ? undefined : await readStaticPod(path).catch(() => undefined)
  return await selinuxFindings(config, { searchPath: environment['PATH'] ?? '', pluginPod })
}

async function cluster(
  config: Config,
  keyId: string | undefined,
  flags: DoctorFlags,
  io: Io,
): Promise<Finding[]> {
  if (flags.kubeconfig === undefined || flags.offline) {
    return [skipped('api-server', 'The API server was not asked: name a --kubeconfig')]
  }
  return await readOr('api-server-unreachable', async () => {
    const access = await findKubeAccess(flags, io.environment)
    await using kube = connectKube(access, {
      clock: systemClock,
      events: { emit: () => undefined },
    })
    return await clusterFindings(kube, keyId, config.statusVersion)
  })
}

interface FileContent<T> {
  readonly content?: T
  readonly findings: readonly Finding[]
}

/** The content of a file; undefined where no file is named. */
async function readIfNamed<T>(
  id: string,
  path: string | undefined,
  read: (path: string) => Promise<T>,
): Promise<FileContent<T>> {
  if (path === undefined) return { findings: [] }
  try {
    return { content: await read(path), findings: [] }
  } catch (error) {
    return { findings: [unreadable(id, error)] }
  }
}

/** A file that cannot be read is reported as a finding. */
async function readOr(id: string, read: () => Promise<Finding[]>): Promise<Finding[]> {
  try {
    return await read()
  } catch (error) {
    return [unreadable(id, error)]
  }
}

function unreadable(id: string, error: unknown): Finding {
  return {
    id,
    level: 'error',
    what: printable(toKmsError(error).message),
    why: 'It was asked for, and could not be checked.',
    todo: 'Correct the path or the access, and run doctor again.',
  }
}
