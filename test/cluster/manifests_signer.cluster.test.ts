/**
 * What `trousseau manifests kubeadm` prints for a signer, taken by the real kubeadm, and the flags that
 * it writes then by a real kube-apiserver.
 *
 * @module
 */

import { execFile } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import * as assert from 'uvu/assert'
import { parse, stringify } from 'yaml'
import { startApiServer } from '../_lib/cluster/api_server.ts'
import { nodeBinaries } from '../_lib/cluster/binaries.ts'
import { startEtcd } from '../_lib/cluster/etcd.ts'
import { isTaken, makeAccount, newToken } from '../_lib/cluster/service_accounts.ts'
import { runCommand, startWellPlugin } from '../_lib/plugin/process.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('cluster/manifests_signer', () => ({}), 300_000)
const run = promisify(execFile)
/** For documentation: nothing is sent there. */
const ADDRESS = '192.0.2.1'
const PATCHES = [
  'kube-apiserver-signer+strategic.yaml',
  'kube-controller-manager-signer+strategic.yaml',
]

/** Keys of both kinds and a config that names them, on which a plugin of this test's user can run. */
async function signedConfig(folder: TempFolder): Promise<Readonly<Record<string, unknown>>> {
  for (const [file, ...flags] of [['keys'], ['signer-keys', '--signer']]) {
    const { code, err } = await runCommand(['keygen', folder.at(file ?? ''), ...flags])
    assert.is(code, 0, err)
  }
  return {
    providers: [{ name: 'here', type: 'local', keyFile: folder.at('keys') }],
    stateDir: folder.at('state'),
    signer: {
      socket: { path: folder.at('signer.sock') },
      key: { type: 'local', keyFile: folder.at('signer-keys') },
    },
  }
}

/** The commands of the pods that kubeadm writes, without a node: its own dry run. */
async function commandsOf(folder: TempFolder, printed: string, patches?: string) {
  const { kubeadm } = await nodeBinaries()
  const cluster = parse(await readFile(`${printed}/kubeadm-config.yaml`, 'utf8'))
  const init = {
    apiVersion: 'kubeadm.k8s.io/v1beta4',
    kind: 'InitConfiguration',
    localAPIEndpoint: { advertiseAddress: ADDRESS },
    nodeRegistration: { name: 'node-1', criSocket: `unix://${folder.at('none.sock')}` },
    ...(patches === undefined ? {} : { patches: { directory: patches } }),
  }
  const documents = [{ ...cluster, kubernetesVersion: 'v1.37.2' }, init]
  await writeFile(folder.at('init.yaml'), documents.map((each) => stringify(each)).join('---\n'))
  const out = folder.at('dry')
  const env = { KUBEADM_INIT_DRYRUN_DIR: out }
  const commandOf = async (name: string, program: string) => {
    const phase = ['init', 'phase', 'control-plane', name]
    await run(kubeadm, [...phase, '--dry-run', '--config', folder.at('init.yaml')], { env })
    const { spec } = parse(await readFile(`${out}/${program}.yaml`, 'utf8'))
    return spec.containers[0].command as string[]
  }
  return {
    apiServer: await commandOf('apiserver', 'kube-apiserver'),
    controllerManager: await commandOf('controller-manager', 'kube-controller-manager'),
  }
}

const ofServiceAccounts = (command: readonly string[]) =>
  command.filter((flag) => /^--service-account-(?!issuer)/.test(flag))

test('kubeadm takes the key files away with the printed patches, and a real API server signs with what is left [J4]', async () => {
  await using folder = await tempFolder()
  const config = await signedConfig(folder)
  await using _plugin = await startWellPlugin({ folder: folder.path, config })
  const file = folder.at('manifests.json')
  const whole = { apiVersion: 'trousseau.io/v1', kind: 'TrousseauConfig', ...config }
  await writeFile(file, JSON.stringify({ ...whole, socket: { path: folder.at('kms.sock') } }))
  const printed = folder.at('printed')
  const { code, err } = await runCommand([
    ...['manifests', 'kubeadm', '--config', file, '--out', printed],
  ])
  assert.is(code, 0, err)
  const patches = folder.at('patches')
  await mkdir(patches)
  for (const name of PATCHES) {
    await writeFile(`${patches}/${name}`, await readFile(`${printed}/${name}`, 'utf8'))
  }

  const without = await commandsOf(folder, printed)
  assert.is(ofServiceAccounts(without.apiServer).length, 3, 'kubeadm writes the key files itself')
  assert.is(ofServiceAccounts(without.controllerManager).length, 1)
  const { apiServer, controllerManager } = await commandsOf(folder, printed, patches)
  assert.equal(ofServiceAccounts(controllerManager), [])
  const tokenFlags = ofServiceAccounts(apiServer)
  assert.equal(tokenFlags, [`--service-account-signing-endpoint=${folder.at('signer.sock')}`])
  // Nothing else is taken away.
  assert.is(apiServer.length, without.apiServer.length - 2)

  await using etcd = await startEtcd(folder.path)
  await using server = await startApiServer({
    folder: folder.path,
    etcd,
    tokenFlags: () => tokenFlags,
  })
  await makeAccount(server)
  assert.ok(await isTaken(server, await newToken(server)))
})

test.run()
