/** What kubeadm puts on a control-plane node: certificates, the administrator's kubeconfig and manifests. @module */

import { execFile } from 'node:child_process'
import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { makeAuthority, makeCertificate } from '../remote/certificates.ts'

export const ENCRYPTION = '/etc/kubernetes/enc/enc.yaml'
export const TOKEN = 'trousseau-test-admin'
const PKI = '/etc/kubernetes/pki'
/** Of the API server; it makes it itself. */
export const API_CERTIFICATE = `${PKI}/apiserver.crt`
const ETCD_PKI = `${PKI}/etcd`
export const ETCD_CLIENT = {
  ca: `${ETCD_PKI}/ca.crt`,
  cert: `${ETCD_PKI}/healthcheck-client.crt`,
  key: `${ETCD_PKI}/healthcheck-client.key`,
}

export async function writePki(port: number): Promise<void> {
  await mkdir(PKI, { recursive: true })
  await writeEtcdPki()
  const key = ['-name', 'prime256v1', '-genkey', '-noout', '-out', `${PKI}/sa.key`]
  const openssl = (...args: string[]) => promisify(execFile)('openssl', args)
  await openssl('ecparam', ...key)
  await openssl('pkey', '-in', `${PKI}/sa.key`, '-pubout', '-out', `${PKI}/sa.pub`)
  await writeFile(`${PKI}/tokens.csv`, `${TOKEN},admin,1,system:masters\n`, { mode: 0o600 })
  const server = `https://127.0.0.1:${port}`
  await writeFile(
    '/etc/kubernetes/admin.conf',
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'it',
      clusters: [{ name: 'it', cluster: { server, 'certificate-authority': API_CERTIFICATE } }],
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

export function etcdManifest(url: string, peer: string): string {
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

export function apiServerManifest(
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
      `--service-account-key-file=${PKI}/sa.pub`,
      `--service-account-signing-key-file=${PKI}/sa.key`,
      `--token-auth-file=${PKI}/tokens.csv`,
      '--authorization-mode=RBAC',
      '--endpoint-reconciler-type=none',
      ...(sockets.length > 0 ? [`--encryption-provider-config=${ENCRYPTION}`] : []),
      ...flags,
    ],
    {
      'k8s-certs': PKI,
      ...(sockets.length > 0 ? { encryption: dirname(ENCRYPTION) } : {}),
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
