/**
 * `kubeadm init` with what `trousseau manifests` prints, as it is: the API server that kubeadm
 * writes encrypts through the plugin beside it.
 *
 * @module
 */

import * as assert from 'uvu/assert'
import { figure, since } from '../_lib/figure.ts'
import {
  ADMIN,
  createSecret,
  init,
  join,
  startControlPlaneMachine,
  stored,
  untilReady,
  wordOf,
} from '../_lib/kubelet/control_plane.ts'
import { enterNetwork } from '../_lib/kubelet/network.ts'
import {
  CONFIG,
  ENCRYPTION,
  installPlugin,
  KEY_FILE,
  kubeadmFiles,
} from '../_lib/kubelet/plugin.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'

await enterNetwork(import.meta.url)

const test = suite('kubelet/kubeadm', () => ({}))

test('kubeadm init with the printed files makes an API server that encrypts Secrets, and sees that its config was replaced', async () => {
  await using folder = await tempFolder()
  await using machine = await startControlPlaneMachine(folder)
  await installPlugin(machine)
  const made = await kubeadmFiles(machine)

  const start = performance.now()
  await init(machine, await machine.read(`${made}/kubeadm-config.yaml`))
  await untilReady(machine)
  figure(`kubeadm init with the plugin: ${since(start)}`)

  await createSecret(machine, 'word', 'open-sesame')
  assert.match(await stored(machine, 'word'), /^k8s:enc:kms:v2:trousseau:/)
  assert.is(await wordOf(machine, 'word'), 'open-sesame')
  assert.match(await machine.run('trousseau', 'scan'), /^Encrypted: /m)
  const about = ['--config', CONFIG, '--encryption-config', ENCRYPTION, '--kubeconfig', ADMIN]
  assert.match(await machine.run('trousseau', 'doctor', ...about), /^Nothing to fix: /m)

  // As an editor saves it: another file under the same name.
  await machine.shell(`sed -i '1i # once more' ${ENCRYPTION}`)
  const inside = `/proc/$(pgrep -f '^kube-apiserver ')/root${ENCRYPTION}`
  assert.is(await machine.shell(`head -n 1 ${inside}`), '# once more\n')
})

test('kubeadm join brings the same to a second node, whose API server reads what the first has written', async () => {
  await using folder = await tempFolder()
  await using first = await startControlPlaneMachine(folder)
  await using second = await startControlPlaneMachine(folder, { number: 2 })
  await installPlugin(first)
  await second.copy(first.at(KEY_FILE), KEY_FILE)
  await installPlugin(second)
  const made = await kubeadmFiles(first)
  await kubeadmFiles(second)
  await init(first, await first.read(`${made}/kubeadm-config.yaml`))
  await createSecret(first, 'word', 'open-sesame')

  const start = performance.now()
  await join(first, second)
  const server = `--server=https://${second.address}:6443`
  await untilReady(second, server)
  figure(`kubeadm join with the plugin: ${since(start)}`)

  assert.is(await wordOf(second, 'word', server), 'open-sesame')
  await createSecret(second, 'back', 'once more', server)
  assert.match(await stored(first, 'back'), /^k8s:enc:kms:v2:trousseau:/)
  assert.is(await wordOf(first, 'back'), 'once more')
})

test.run()
