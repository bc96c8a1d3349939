/**
 * `manifests sidecar` on a cluster that hosts another one: the printed kustomization changes a Deployment with an API
 * server, the kubelet starts the plugin before it, and that API server encrypts.
 *
 * @module
 */

import * as assert from 'uvu/assert'
import { stringify } from 'yaml'
import {
  createSecret,
  init,
  startControlPlaneMachine,
  wordOf,
} from '../_lib/kubelet/control_plane.ts'
import type { Machine } from '../_lib/kubelet/machine.ts'
import { enterNetwork } from '../_lib/kubelet/network.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

await enterNetwork(import.meta.url)

const test = suite('distributions/sidecar', () => ({}))

const MADE = '/var/lib/made'
const PKI = '/etc/kubernetes/pki'
const PORT = 7443
const ETCD = [
  ...['etcdctl', '--endpoints=https://127.0.0.1:2379', `--cacert=${PKI}/etcd/ca.crt`],
  ...[`--cert=${PKI}/etcd/server.crt`, `--key=${PKI}/etcd/server.key`],
]
const READY_MS = 150_000

/** The tenant's API server: of the same version, with keys of its own in the same etcd, and no root. */
function apiServer(kubernetes: string): object {
  const labels = { app: 'kube-apiserver' }
  const args = [
    `--secure-port=${PORT}`,
    '--etcd-servers=https://127.0.0.1:2379',
    '--etcd-prefix=/tenant',
    ...['ca', 'cert', 'key'].map((name) => `--etcd-${name}file=/pki/etcd-${name}`),
    ...['--client-ca-file=/pki/ca', '--authorization-mode=AlwaysAllow'],
    ...['--tls-cert-file=/pki/cert', '--tls-private-key-file=/pki/key'],
    '--service-account-issuer=https://tenant',
    ...['--service-account-key-file=/pki/sa', '--service-account-signing-key-file=/pki/sa'],
    '--endpoint-reconciler-type=none',
  ]
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'kube-apiserver' },
    spec: {
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          // There is no network of pods, nor a node that is ready without one.
          hostNetwork: true,
          tolerations: [{ operator: 'Exists' }],
          containers: [
            {
              name: 'kube-apiserver',
              image: `registry.k8s.io/kube-apiserver:${kubernetes}`,
              command: ['kube-apiserver'],
              args,
              securityContext: { runAsUser: 65_532, runAsGroup: 65_532 },
              volumeMounts: [{ name: 'pki', mountPath: '/pki' }],
            },
          ],
          volumes: [{ name: 'pki', secret: { secretName: 'pki', defaultMode: 0o444 } }],
        },
      },
    },
  }
}

/** The Secret with what the tenant's API server reads. */
async function givePki(machine: Machine): Promise<void> {
  const files = {
    'etcd-ca': 'etcd/ca.crt',
    'etcd-cert': 'etcd/server.crt',
    'etcd-key': 'etcd/server.key',
    ca: 'ca.crt',
    cert: 'apiserver.crt',
    key: 'apiserver.key',
    sa: 'sa.key',
  }
  const from = Object.entries(files).map(([key, file]) => `--from-file=${key}=${PKI}/${file}`)
  await machine.run(
    'kubectl',
    'create',
    'secret',
    'generic',
    'pki',
    '--namespace=tenant-1',
    ...from,
  )
}

test('a hosted API server starts after its plugin and encrypts, and the plugin comes back beside it', async () => {
  await using folder = await tempFolder()
  await using machine = await startControlPlaneMachine(folder)
  await init(machine)
  const kubernetes = (await machine.run('kubeadm', 'version', '--output=short')).trim()
  await machine.run('kubectl', 'create', 'namespace', 'tenant-1')
  await givePki(machine)
  // Files of a Secret belong to root, and so does the key file: the plugin is root without a right, the API server is not.
  await machine.write(
    `${MADE}/trousseau.yaml`,
    stringify({
      apiVersion: 'trousseau.io/v1',
      kind: 'TrousseauConfig',
      socket: { path: '/run/trousseau/kms.sock', group: 65_532, mode: '0660' },
      providers: [{ name: 'keys', type: 'local', keyFile: '/etc/trousseau/keys' }],
    }),
  )
  await machine.run('trousseau', 'keygen', `${MADE}/keys`)
  const flags = ['--config', `${MADE}/trousseau.yaml`, '--namespace', 'tenant-1', '--user', '0']
  await machine.run('trousseau', 'manifests', 'sidecar', ...flags, '--out', `${MADE}/beside`)
  await machine.write(`${MADE}/beside/kube-apiserver.yaml`, stringify(apiServer(kubernetes)))
  const secret = ['create', 'secret', 'generic', 'trousseau-credentials', '--namespace=tenant-1']
  await machine.run('kubectl', ...secret, `--from-file=etc.trousseau.keys=${MADE}/keys`)
  await machine.run('kubectl', 'apply', '-k', `${MADE}/beside`)

  const server = `--server=https://${machine.address}:${PORT}`
  await until(
    'the hosted API server is ready',
    () =>
      machine.run('kubectl', 'get', '--raw=/readyz', server).then(
        (text) => text === 'ok',
        () => false,
      ),
    { everyMs: 500, limitMs: READY_MS },
  ).catch(async (cause: unknown) => {
    const said = await machine.shell(
      'kubectl get events,pods --namespace=tenant-1; kubectl describe nodes | grep -A 3 Taints; tail -n 5 /var/log/pods/tenant-1*/*/*.log || true',
    )
    throw new Error(said, { cause })
  })
  await createSecret(machine, 'word', 'open-sesame', server)
  const key = '/tenant/secrets/default/word'
  assert.match(
    await machine.run(...ETCD, 'get', key, '--print-value-only'),
    /^k8s:enc:kms:v2:trousseau:/,
  )
  const state = async (kind: string) => {
    const path = `{.items[0].status.${kind}[0].state.running.startedAt}`
    return await machine.run(
      ...['kubectl', 'get', 'pods', '--namespace=tenant-1', `--output=jsonpath=${path}`],
    )
  }
  assert.ok((await state('initContainerStatuses')) <= (await state('containerStatuses')))

  const before = await machine.pidOf('/usr/bin/trousseau serve')
  await machine.run('kill', '-KILL', before)
  await until('the plugin is there again', () =>
    machine.pidOf('/usr/bin/trousseau serve').then(
      (pid) => pid !== before,
      () => false,
    ),
  )
  await until('it writes again', () =>
    createSecret(machine, 'back', 'once more', server).then(
      () => true,
      () => false,
    ),
  )
  assert.is(await wordOf(machine, 'word', server), 'open-sesame')
})

test.run()
