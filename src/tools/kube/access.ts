/**
 * How to reach an API server, and as which user: from a kubeconfig, or from what the kubelet gives
 * a pod. A kubeconfig that would run another program is refused.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { readFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import * as v from 'valibot'
import { KmsError, systemCodeOf, systemReasonOf } from '../../base/errors.ts'
import { parseYaml } from '../../base/yaml/parse.ts'
import type { TlsOptions } from '../../remote/http/tls_files.ts'
import { flag, isThere, list, maybe } from './go_json.ts'

export interface KubeAccess {
  /** `https://host:port`, possibly with a path. */
  readonly server: string
  readonly tls: TlsOptions
  readonly token?: string | undefined
  /** Read again before each request. */
  readonly tokenFile?: string | undefined
}

interface KubeChoice {
  /** The file; where absent, `KUBECONFIG`, `~/.kube/config`, or a pod's own ServiceAccount. */
  readonly kubeconfig?: string | undefined
  readonly context?: string | undefined
}

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount'
const text = maybe(v.string())
const entries = list(v.looseObject({ name: v.string() }))

const clusterSchema = v.looseObject({
  server: v.string(),
  'certificate-authority': text,
  'certificate-authority-data': text,
  'tls-server-name': text,
  'insecure-skip-tls-verify': flag,
  'proxy-url': text,
})
const userSchema = v.looseObject({
  'client-certificate': text,
  'client-certificate-data': text,
  'client-key': text,
  'client-key-data': text,
  token: text,
  tokenFile: text,
})
const contextSchema = v.looseObject({ cluster: v.string(), user: v.string() })
const kubeconfigSchema = v.looseObject({
  'current-context': text,
  clusters: entries,
  users: entries,
  contexts: entries,
})

/** @throws KmsError `request_invalid`, which says what is missing and never quotes the file */
export async function findKubeAccess(
  { kubeconfig, context }: KubeChoice,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<KubeAccess> {
  const path = kubeconfig ?? environment['KUBECONFIG'] ?? homeConfig(environment)
  const content = path === undefined ? undefined : await read(path, kubeconfig !== undefined)
  if (path !== undefined && content !== undefined) return accessOf(content, path, context)
  const host = environment['KUBERNETES_SERVICE_HOST']
  if (host === undefined) {
    throw refused('There is no kubeconfig: name one with --kubeconfig or KUBECONFIG')
  }
  const shown = host.includes(':') ? `[${host}]` : host
  return {
    server: `https://${shown}:${environment['KUBERNETES_SERVICE_PORT'] ?? '443'}`,
    tls: { caFile: join(SERVICE_ACCOUNT, 'ca.crt') },
    tokenFile: join(SERVICE_ACCOUNT, 'token'),
  }
}

function homeConfig({ HOME }: Readonly<Record<string, string | undefined>>): string | undefined {
  return HOME === undefined ? undefined : join(HOME, '.kube', 'config')
}

/** Undefined where the file does not exist, unless it was asked for. */
async function read(path: string, asked: boolean): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    if (systemCodeOf(cause) === 'ENOENT' && !asked) return undefined
    throw refused(`Kubeconfig ${path} cannot be read: ${systemReasonOf(cause)}`, cause)
  }
}

function accessOf(content: string, path: string, wanted: string | undefined): KubeAccess {
  const config = parsed(content, path)
  const name = wanted ?? config['current-context'] ?? ''
  const context = pick(config.contexts, name, 'context', contextSchema, path)
  const cluster = pick(config.clusters, context.cluster, 'cluster', clusterSchema, path)
  const user = pick(config.users, context.user, 'user', userSchema, path)
  refuseUnsupported(cluster, user, path)
  const at = (file: string | undefined) =>
    file === undefined ? undefined : resolve(dirname(path), file)
  return {
    server: serverOf(cluster.server, path),
    tls: {
      caFile: at(cluster['certificate-authority']),
      certFile: at(user['client-certificate']),
      keyFile: at(user['client-key']),
      serverName: cluster['tls-server-name'],
      pem: {
        ...decoded('ca', cluster['certificate-authority-data']),
        ...decoded('cert', user['client-certificate-data']),
        ...decoded('key', user['client-key-data']),
      },
    },
    token: user.token,
    tokenFile: at(user.tokenFile),
  }
}

function parsed(content: string, path: string): v.InferOutput<typeof kubeconfigSchema> {
  let value: unknown
  try {
    value = parseYaml(content)
  } catch (cause) {
    // The parser's message quotes the file, so it must never be shown.
    throw refused(`Kubeconfig ${path} is not YAML`, cause)
  }
  const result = v.safeParse(kubeconfigSchema, value)
  if (result.success) return result.output
  const at = result.issues.map((issue) => v.getDotPath(issue) ?? '(root)').join(', ')
  throw refused(`Kubeconfig ${path} is not as kubectl writes it, at ${at}`)
}

function pick<T extends v.GenericSchema>(
  from: v.InferOutput<typeof entries>,
  name: string,
  kind: string,
  schema: T,
  path: string,
): v.InferOutput<T> {
  const found = v.safeParse(schema, from.find((each) => each.name === name)?.[kind])
  if (found.success) return found.output
  const known = from.map((each) => each.name).join(', ')
  throw refused(
    `Kubeconfig ${path} has no ${kind} "${name}" that can be used; it has ${known === '' ? 'none' : known}`,
  )
}

function refuseUnsupported(
  cluster: v.InferOutput<typeof clusterSchema>,
  user: v.InferOutput<typeof userSchema>,
  path: string,
): void {
  if (isThere(user['exec']) || isThere(user['auth-provider'])) {
    throw refused(
      `Kubeconfig ${path} runs another program to log in, which is not done here: use one with a client certificate or a token ("kubectl create token")`,
    )
  }
  if (isThere(user['username'])) {
    throw refused(`Kubeconfig ${path} has a password, which no API server takes any more`)
  }
  if (cluster['insecure-skip-tls-verify']) {
    throw refused(
      `Kubeconfig ${path} has insecure-skip-tls-verify, so that anybody on the way could read along: name certificate-authority instead`,
    )
  }
  if (cluster['proxy-url'] !== undefined) {
    throw refused(`Kubeconfig ${path} has proxy-url, which is not supported: run this on a node`)
  }
}

function serverOf(server: string, path: string): string {
  if (URL.canParse(server) && new URL(server).protocol === 'https:') return server
  throw refused(`Kubeconfig ${path} has a server that is not https://`)
}

function decoded(key: string, data: string | undefined): Record<string, string> {
  return data === undefined ? {} : { [key]: Buffer.from(data, 'base64').toString() }
}

function refused(message: string, cause?: unknown): KmsError {
  return new KmsError(message, { code: 'request_invalid', cause })
}
