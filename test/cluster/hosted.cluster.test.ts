/**
 * `manifests sidecar` and `manifests cluster-api` as their users take them: kustomize puts the plugin beside an
 * API server that is a Deployment or a StatefulSet, Cluster API's own definition takes its object, and a real API
 * server takes all of it.
 *
 * @module
 */

import { execFile } from 'node:child_process'
import { mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import * as assert from 'uvu/assert'
import { parse, parseAllDocuments, stringify } from 'yaml'
import { startApiServer } from '../_lib/cluster/api_server.ts'
import { kubernetesBinaries } from '../_lib/cluster/binaries.ts'
import { controlPlaneDefinition } from '../_lib/cluster/cluster_api.ts'
import { startEtcd } from '../_lib/cluster/etcd.ts'
import { runCommand } from '../_lib/plugin/process.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { MANIFEST_CONFIG, SIGNED_CONFIG } from '../_lib/tools/manifest_config.ts'
import { rejection, suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const run = promisify(execFile)
const test = suite('cluster/hosted', () => ({}), 300_000)

/** The folder that `--out` fills. */
async function printed(
  folder: TempFolder,
  kind: string,
  config: object = MANIFEST_CONFIG,
): Promise<string> {
  const out = await mkdtemp(folder.at(`${kind}-`))
  await writeFile(folder.at('config.json'), JSON.stringify(config))
  const flags = ['--config', folder.at('config.json'), '--namespace', 'hosted', '--out', out]
  const { code, err } = await runCommand(['manifests', kind, ...flags])
  assert.is(code, 0, err)
  return out
}

/** An API server as hosted control planes have it: its own init container, files from Secrets, flags in args. */
function hosted(kind: string) {
  const labels = { app: 'kube-apiserver' }
  return {
    apiVersion: 'apps/v1',
    kind,
    metadata: { name: 'kube-apiserver' },
    spec: {
      ...(kind === 'StatefulSet' ? { serviceName: 'kube-apiserver' } : {}),
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          initContainers: [{ name: 'wait-for-etcd', image: 'example.org/wait:1' }],
          containers: [
            {
              name: 'kube-apiserver',
              image: 'registry.k8s.io/kube-apiserver:v1.37.2',
              command: ['kube-apiserver'],
              args: ['--etcd-servers=https://etcd:2379', '--secure-port=6443'],
              volumeMounts: [{ name: 'pki', mountPath: '/etc/kubernetes/pki' }],
            },
            { name: 'konnectivity-server', image: 'example.org/konnectivity:1' },
          ],
          volumes: [{ name: 'pki', secret: { secretName: 'pki' } }],
        },
      },
    },
  }
}

test('kustomize adds the plugin to a Deployment or StatefulSet and takes nothing away, and an API server takes the result', async () => {
  await using folder = await tempFolder()
  await using etcd = await startEtcd(folder.path)
  await using server = await startApiServer({ folder: folder.path, etcd })
  await server.kubectl('create', 'namespace', 'hosted')

  for (const kind of ['Deployment', 'StatefulSet']) {
    const out = await printed(folder, 'sidecar')
    const plain = hosted(kind)
    await writeFile(`${out}/kube-apiserver.yaml`, stringify(plain))
    const kustomization = await readFile(`${out}/kustomization.yaml`, 'utf8')
    await writeFile(
      `${out}/kustomization.yaml`,
      kustomization.replaceAll('kind: Deployment, name', `kind: ${kind}, name`),
    )

    const apply = ['apply', '--dry-run=server', '--validate=strict', '-k', out]
    assert.match(await server.kubectl(...apply), /kube-apiserver created \(server dry run\)/)
    const text = await server.kubectl(...apply, '--output=yaml')
    const { items } = parse(text)
    const find = (wanted: string) => items.find((item: { kind: string }) => item.kind === wanted)
    const { spec } = find(kind).spec.template
    const [plugin, ...others] = spec.initContainers
    assert.is(plugin.name, 'trousseau')
    assert.is(plugin.restartPolicy, 'Always')
    assert.equal(
      others.map(({ name }: { name: string }) => name),
      ['wait-for-etcd'],
    )
    const [apiServer, konnectivity] = spec.containers
    const before = plain.spec.template.spec
    assert.is(konnectivity.name, 'konnectivity-server')
    assert.equal(apiServer.args, [
      ...(before.containers[0]?.args ?? []),
      '--encryption-provider-config=/etc/kubernetes/enc/enc.yaml',
      '--encryption-provider-config-automatic-reload=true',
    ])
    const folders = ({ volumeMounts }: { volumeMounts: { mountPath: string }[] }) =>
      volumeMounts.map(({ mountPath }) => mountPath)
    assert.equal(folders(apiServer), [
      '/etc/kubernetes/enc',
      '/run/trousseau',
      '/etc/kubernetes/pki',
    ])
    assert.equal(folders(plugin), [
      '/run/trousseau',
      '/var/lib/trousseau/state',
      '/etc/trousseau',
      '/srv/pki',
    ])
    // One folder for both, and each volume is there.
    const socketOf = ({ volumeMounts }: { volumeMounts: { mountPath: string; name: string }[] }) =>
      volumeMounts.find(({ mountPath }) => mountPath === '/run/trousseau')?.name
    assert.is(socketOf(apiServer), socketOf(plugin))
    const read = spec.volumes.find(({ name }: { name: string }) => name === 'trousseau-read-0')
    assert.is(read.projected.defaultMode, 0o444)
    assert.is(find('ConfigMap').data['trousseau.yaml'], `${JSON.stringify(MANIFEST_CONFIG)}\n`)
    assert.is(
      atob(find('Secret').data['enc.yaml']),
      await readFile(`${out}/encryption.yaml`, 'utf8'),
    )
  }
})

test('where the flags stand in "command", kustomize says so and makes nothing', async () => {
  await using folder = await tempFolder()
  const { kubectl } = await kubernetesBinaries()
  const kustomized = async () => (await run(kubectl, ['kustomize', out])).stdout
  const out = await printed(folder, 'sidecar')
  const plain = hosted('Deployment')
  const [apiServer] = plain.spec.template.spec.containers
  Reflect.deleteProperty(apiServer ?? {}, 'args')
  await writeFile(`${out}/kube-apiserver.yaml`, stringify(plain))

  assert.match(String(await rejection(kustomized())), /args/)

  const flags = await readFile(`${out}/flags.yaml`, 'utf8')
  await writeFile(`${out}/flags.yaml`, flags.replaceAll('/args/-', '/command/-'))
  assert.match(await kustomized(), /- kube-apiserver\n +- --encryption-provider-config=/)
})

/** What a KubeadmControlPlane must have besides. */
const REST = {
  v1beta2: {
    version: 'v1.37.2',
    machineTemplate: {
      spec: {
        infrastructureRef: {
          apiGroup: 'infrastructure.cluster.x-k8s.io',
          kind: 'ExampleMachineTemplate',
          name: 'control-plane',
        },
      },
    },
  },
  v1beta1: {
    version: 'v1.37.2',
    machineTemplate: {
      infrastructureRef: {
        apiVersion: 'infrastructure.cluster.x-k8s.io/v1beta1',
        kind: 'ExampleMachineTemplate',
        name: 'control-plane',
      },
    },
  },
} as const

test("Cluster API's own definition takes what is printed for it, in both versions, with a signer and without", async () => {
  await using folder = await tempFolder()
  await using etcd = await startEtcd(folder.path)
  await using server = await startApiServer({ folder: folder.path, etcd })
  // Conversion needs Cluster API's own webhook, and each version is checked by itself here.
  const definition = parse(await controlPlaneDefinition())
  definition.spec.conversion = { strategy: 'None' }
  await writeFile(folder.at('definition.json'), JSON.stringify(definition))
  await server.kubectl('create', '-f', folder.at('definition.json'))
  const plain = await printed(folder, 'cluster-api')
  const signed = await printed(folder, 'cluster-api', SIGNED_CONFIG)

  for (const [version, file, out] of [
    ['v1beta2', 'cluster-api.yaml', plain],
    ['v1beta1', 'cluster-api-v1beta1.yaml', plain],
    ['v1beta2', 'cluster-api.yaml', signed],
    ['v1beta1', 'cluster-api-v1beta1.yaml', signed],
  ] as const) {
    const object = parseAllDocuments(await readFile(`${out}/${file}`, 'utf8'))[0]?.toJS()
    assert.is(object.apiVersion, `controlplane.cluster.x-k8s.io/${version}`)
    Object.assign(object.spec, REST[version])
    const apply = async (what: object) => {
      await writeFile(folder.at('object.json'), JSON.stringify(what))
      const file = folder.at('object.json')
      return await server.kubectl('apply', '--dry-run=server', '--validate=strict', '-f', file)
    }
    const taken = await until('the definition is served', () =>
      apply(object).catch((error: unknown) => {
        if (/no matches for kind|not found/.test(String(error))) return undefined
        throw error
      }),
    )
    assert.match(taken, /control-plane created \(server dry run\)/)
    // The other form of the flags is none of this version.
    const other = structuredClone(object)
    const { apiServer } = other.spec.kubeadmConfigSpec.clusterConfiguration
    apiServer.extraArgs = Array.isArray(apiServer.extraArgs) ? { a: 'b' } : [{ name: 'a' }]
    assert.match(String(await rejection(apply(other))), /extraArgs/)
  }
})

test.run()
