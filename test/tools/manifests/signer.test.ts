// deno-lint-ignore-file no-explicit-any
/** What `trousseau manifests` prints where the config has a signer, and that nothing changes where it has none. @module */

import { mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { parse, parseAllDocuments } from 'yaml'
import { runProgram } from '../../../src/cli/program.ts'
import { memoryIo } from '../../_lib/console/memory_io.ts'
import { type TempFolder, tempFolder } from '../../_lib/temp_folder.ts'
import { MANIFEST_CONFIG, SIGNED_CONFIG } from '../../_lib/tools/manifest_config.ts'
import { suite } from '../../_lib/uvu.ts'

const test = suite('tools/manifests/signer', () => ({}))

const SOCKET = SIGNED_CONFIG.signer.socket.path
const FOLDER = '/run/trousseau-signer'
const ENDPOINT = 'service-account-signing-endpoint'

/** The files of a kind by name. */
async function filesOf(folder: TempFolder, kind: string, config: object, ...flags: string[]) {
  await writeFile(folder.at('config.json'), JSON.stringify(config))
  const out = await mkdtemp(folder.at('out-'))
  const io = memoryIo()
  const args = ['manifests', kind, '--config', folder.at('config.json'), '--out', out, ...flags]
  assert.is(await runProgram(args, io), 0, io.complained())
  const names = await readdir(out)
  return new Map(
    await Promise.all(
      names.map(async (name) => [name, await readFile(join(out, name), 'utf8')] as const),
    ),
  )
}

// biome-ignore lint/suspicious/noExplicitAny: tests look into what was made
type Made = any

async function objectOf(kind: string, file: string, ...flags: string[]): Promise<Made> {
  await using folder = await tempFolder()
  return parse((await filesOf(folder, kind, SIGNED_CONFIG, ...flags)).get(file) ?? '')
}

/** Of a strategic patch of a pod. */
function removed({ spec }: Made): [string, string[]] {
  const [container] = spec.containers
  return [container.name, container['$deleteFromPrimitiveList/command']]
}

const REMOVED = (pki: string): [string, string[]][] => [
  [
    'kube-apiserver',
    [
      `--service-account-key-file=${pki}/sa.pub`,
      `--service-account-signing-key-file=${pki}/sa.key`,
    ],
  ],
  ['kube-controller-manager', [`--service-account-private-key-file=${pki}/sa.key`]],
]
const PATCHES = [
  'kube-apiserver-signer+strategic.yaml',
  'kube-controller-manager-signer+strategic.yaml',
]

test('pod, tmpfiles and unit have the folder of the second socket, and the signing keys are the plugin’s alone', async () => {
  await using folder = await tempFolder()
  const pod = await objectOf('static-pod', 'trousseau.yaml')
  const mounts = pod.spec.containers[0].volumeMounts as { mountPath: string; readOnly?: boolean }[]
  assert.is(mounts.find(({ mountPath }) => mountPath === FOLDER)?.readOnly, undefined)
  assert.ok(mounts.some(({ mountPath }) => mountPath === FOLDER))

  const lines =
    (await filesOf(folder, 'tmpfiles', SIGNED_CONFIG)).get('trousseau.tmpfiles.conf') ?? ''
  assert.match(lines, /^d \/run\/trousseau-signer 0700 65532 65532$/m)
  assert.match(lines, /^z \/etc\/trousseau\/signer-keys 0600 65532 65532$/m)
  assert.match(lines, /^z \/etc\/trousseau\/sa\.pub ~0750 root 65532$/m)
  const unit = (await filesOf(folder, 'systemd', SIGNED_CONFIG)).get('trousseau.service') ?? ''
  assert.match(unit, /^RuntimeDirectory=trousseau-signer$/m)
})

test('kubeadm gives the API server the endpoint and its folder, and patches take the key files away [J4]', async () => {
  const { apiServer } = await objectOf('kubeadm', 'kubeadm-config.yaml')
  assert.equal(apiServer.extraArgs.at(-1), { name: ENDPOINT, value: SOCKET })
  assert.ok(apiServer.extraVolumes.some(({ hostPath }: Made) => hostPath === FOLDER))
  const patches = await Promise.all(PATCHES.map((name) => objectOf('kubeadm', name)))
  assert.equal(patches.map(removed), REMOVED('/etc/kubernetes/pki'))
})

test('both sockets in one folder need one mount', async () => {
  await using folder = await tempFolder()
  const signer = { ...SIGNED_CONFIG.signer, socket: { path: '/run/trousseau/signer.sock' } }
  const files = await filesOf(folder, 'kubeadm', { ...SIGNED_CONFIG, signer })
  const { apiServer } = parse(files.get('kubeadm-config.yaml') ?? '')
  const folders = apiServer.extraVolumes.map(({ hostPath }: Made) => hostPath)
  assert.equal(folders, ['/etc/kubernetes/enc', '/run/trousseau'])
})

test('kubespray has the same patches, for the folder where it keeps the keys', async () => {
  const { kube_kubeadm_apiserver_extra_args: flags, ...rest } = await objectOf(
    'kubespray',
    'trousseau.yml',
  )
  assert.is(flags[ENDPOINT], SOCKET)
  assert.equal(
    rest.kubeadm_patches.map(({ target }: Made) => target),
    ['kube-apiserver', 'kube-controller-manager'],
  )
  const patches = rest.kubeadm_patches.map(({ patch }: Made) => removed(patch))
  assert.equal(patches, REMOVED('/etc/kubernetes/ssl'))
  assert.ok(rest.apiserver_extra_volumes.some(({ hostPath }: Made) => hostPath === FOLDER))
})

for (const file of ['cluster-api.yaml', 'cluster-api-v1beta1.yaml']) {
  test(`${file} has the flag, and its machines the patches and the keys`, async () => {
    const { kubeadmConfigSpec } = (await objectOf('cluster-api', file)).spec
    const { initConfiguration, joinConfiguration, clusterConfiguration, files } = kubeadmConfigSpec
    assert.match(JSON.stringify(clusterConfiguration.apiServer.extraArgs), ENDPOINT)
    assert.match(JSON.stringify(clusterConfiguration.apiServer.extraVolumes), FOLDER)
    const { directory } = initConfiguration.patches
    assert.is(joinConfiguration.patches.directory, directory)
    const find = (path: string) => files.find((each: Made) => each.path === path)
    const patches = PATCHES.map((name) => parse(find(`${directory}/${name}`).content))
    assert.equal(patches.map(removed), REMOVED('/etc/kubernetes/pki'))
    assert.ok(find('/etc/trousseau/signer-keys').contentFrom)
  })
}

test('the sidecar shares both sockets with the API server, whose operator is told what else to take away', async () => {
  await using folder = await tempFolder()
  const files = await filesOf(folder, 'sidecar', SIGNED_CONFIG, '--user', '0')
  const { spec } = parse(files.get('sidecar.yaml') ?? '').spec.template
  const nameOf = (container: Made) =>
    container.volumeMounts.find(({ mountPath }: Made) => mountPath === FOLDER)?.name
  assert.ok(nameOf(spec.containers[0]))
  assert.is(nameOf(spec.containers[0]), nameOf(spec.initContainers[0]))
  const flags = files.get('flags.yaml') ?? ''
  assert.is(parse(flags).at(-1).value, `--${ENDPOINT}=${SOCKET}`)
  assert.match(flags, '--service-account-signing-key-file')
})

test('a signing key in a file belongs to root where a Secret brings it', async () => {
  await using folder = await tempFolder()
  await writeFile(folder.at('config.json'), JSON.stringify(SIGNED_CONFIG))
  const io = memoryIo()
  const args = ['manifests', 'sidecar', '--config', folder.at('config.json')]
  assert.is(await runProgram([...args, '--out', folder.at('none')], io), 2)
  assert.match(io.complained(), /signer-keys: files of a Secret belong to root/)
})

for (const kind of ['k3s', 'rke2', 'talos']) {
  test(`manifests ${kind} says that the API server can have no signer there, and gives it none`, async () => {
    await using folder = await tempFolder()
    const text = [...(await filesOf(folder, kind, SIGNED_CONFIG)).values()].join('---\n')
    assert.match(text, /^# The signer of the config is of no use here: /m)
    const said = parseAllDocuments(text).map((document) => document.toJS())
    assert.not.match(JSON.stringify(said), ENDPOINT)
  })
}

test('manifests vault has the policy of the signing key too', async () => {
  await using folder = await tempFolder()
  const { name: _, ...way } = MANIFEST_CONFIG.providers[0]
  const signer = { ...SIGNED_CONFIG.signer, key: { ...way, key: 'k8s-sa' } }
  const policy = (await filesOf(folder, 'vault', { ...SIGNED_CONFIG, signer })).get(
    'signer-policy.hcl',
  )
  assert.match(policy ?? '', 'path "transit/sign/k8s-sa"')
})

test('a signer that logs in with the ServiceAccount gets its token, and OpenShift cannot run one', async () => {
  await using folder = await tempFolder()
  const { name: _, ...way } = MANIFEST_CONFIG.providers[0]
  const auth = { method: 'kubernetes', role: 'signer' }
  const config = { ...SIGNED_CONFIG, signer: { ...SIGNED_CONFIG.signer, key: { ...way, auth } } }
  const [text = ''] = (await filesOf(folder, 'daemonset', config)).values()
  assert.match(text, 'system:auth-delegator')

  await writeFile(folder.at('config.json'), JSON.stringify(SIGNED_CONFIG))
  const io = memoryIo()
  const digest = `registry.example.com/trousseau@sha256:${'0'.repeat(64)}`
  const args = ['manifests', 'openshift', '--config', folder.at('config.json'), '--image', digest]
  assert.is(await runProgram([...args, '--out', folder.at('none')], io), 2)
  assert.match(io.complained(), 'signer: the operators have no argument for it')
})

test.run()
