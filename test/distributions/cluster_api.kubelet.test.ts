/**
 * A machine as Cluster API makes it of what `manifests cluster-api` prints: its own packages make the user data, the
 * files and commands of which are put onto a node as cloud-init would, and then `kubeadm init` runs there.
 *
 * @module
 */

import * as assert from 'uvu/assert'
import { parse, stringify } from 'yaml'
import { firstMachine } from '../_lib/cluster/cluster_api.ts'
import { buildGoProgram } from '../_lib/go/program.ts'
import {
  createSecret,
  init,
  startControlPlaneMachine,
  stored,
  untilReady,
  wordOf,
} from '../_lib/kubelet/control_plane.ts'
import type { Machine } from '../_lib/kubelet/machine.ts'
import { enterNetwork } from '../_lib/kubelet/network.ts'
import { CONFIG, KEY_FILE, POD, printed, SOCKET, untilWell } from '../_lib/kubelet/plugin.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'

// Inside there is no way out to where modules come from.
await buildGoProgram('cluster_api')
await enterNetwork(import.meta.url)

const test = suite('distributions/cluster_api', () => ({}))

const MADE = '/var/lib/made'

/** What cloud-init does with user data, as far as there is something of it. */
async function takeUserData(
  machine: Machine,
  { write_files, runcmd }: Awaited<ReturnType<typeof firstMachine>>,
): Promise<void> {
  for (const { path, owner, permissions, content } of write_files) {
    // What kubeadm itself is told is made for this node, and what is below /run has no part in it.
    if (path.startsWith('/run/')) continue
    await machine.write(path, content, Number.parseInt(permissions, 8))
    await machine.run('chown', owner, path)
  }
  for (const command of runcmd.filter((each) => !each.startsWith('kubeadm '))) {
    await machine.shell(command)
  }
}

test('a machine that Cluster API makes has an API server that encrypts, from both versions of its object', async () => {
  await using folder = await tempFolder()
  await using machine = await startControlPlaneMachine(folder)
  const config = stringify({
    apiVersion: 'trousseau.io/v1',
    kind: 'TrousseauConfig',
    socket: { path: SOCKET },
    providers: [{ name: 'keys', type: 'local', keyFile: KEY_FILE }],
  })
  await machine.write(`${MADE}/trousseau.yaml`, config)
  await machine.run('trousseau', 'keygen', `${MADE}/keys`)
  const flags = ['--config', `${MADE}/trousseau.yaml`, '--out']
  for (const kind of ['cluster-api', 'kubeadm']) {
    await machine.run('trousseau', 'manifests', kind, ...flags, `${MADE}/${kind}`)
  }
  const keys = await machine.read(`${MADE}/keys`)
  const secrets = {
    'trousseau-credentials': { 'trousseau.yaml': config, 'etc.trousseau.keys': keys },
  }
  const kubernetes = (await machine.run('kubeadm', 'version', '--output=short')).trim()
  const [newer, older] = [
    await firstMachine(
      folder,
      await machine.read(`${MADE}/cluster-api/cluster-api.yaml`),
      secrets,
      kubernetes,
    ),
    await firstMachine(
      folder,
      await machine.read(`${MADE}/cluster-api/cluster-api-v1beta1.yaml`),
      secrets,
      kubernetes,
    ),
  ]
  assert.equal([newer.write_files, newer.runcmd], [older.write_files, older.runcmd])
  const { apiServer } = parse(newer.clusterConfiguration)
  const kubeadm = parse(await machine.read(`${MADE}/kubeadm/kubeadm-config.yaml`))
  // What is the default anyway, Cluster API leaves out.
  for (const volume of kubeadm.apiServer.extraVolumes) {
    if (volume.readOnly === false) Reflect.deleteProperty(volume, 'readOnly')
  }
  assert.equal(apiServer, kubeadm.apiServer)

  await takeUserData(machine, newer)
  assert.equal(parse(await machine.read(POD)), parse(await printed(machine, 'static-pod')))
  assert.is(await machine.read(CONFIG), config)
  await init(machine, stringify({ apiServer }))
  await untilReady(machine)
  await untilWell(machine)

  await createSecret(machine, 'word', 'open-sesame')
  assert.match(await stored(machine, 'word'), /^k8s:enc:kms:v2:trousseau:/)
  assert.is(await wordOf(machine, 'word'), 'open-sesame')
})

test.run()
