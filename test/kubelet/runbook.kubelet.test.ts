/** docs/runbooks/install.md on a node of kubeadm: its API server in the clear, then encrypting, and back. @module */

import { copyFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { figure } from '../_lib/figure.ts'
import {
  createSecret,
  init,
  startControlPlaneMachine,
  stored,
  untilReady,
  wordOf,
} from '../_lib/kubelet/control_plane.ts'
import { ENVIRONMENT } from '../_lib/kubelet/machine.ts'
import { enterNetwork, OUTSIDE } from '../_lib/kubelet/network.ts'
import { runPage } from '../_lib/runbook/run_page.ts'
import { keyServerBinary } from '../_lib/services/vault/key_server.ts'
import { startOpenBao } from '../_lib/services/vault/openbao.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'

await enterNetwork(import.meta.url)

const test = suite('kubelet/runbook', () => ({}), 900_000)

test('install.md on a node of kubeadm, whose kubelet stops and starts the API server, and all the way back', async () => {
  await using folder = await tempFolder()
  await using bao = await startOpenBao({ host: OUTSIDE, tls: true })
  const programs = { bao: await keyServerBinary() }
  await using machine = await startControlPlaneMachine(folder, { programs })
  await copyFile(bao.caFile, machine.at('/etc/trousseau/ca.pem'))
  await init(machine)
  await untilReady(machine)
  await createSecret(machine, 'word', 'open-sesame')
  const start = performance.now()

  const workplace = {
    within: machine.within,
    home: folder.path,
    environment: { ...ENVIRONMENT, BAO_ADDR: bao.address, BAO_TOKEN: bao.rootToken },
    output: () => '',
  }
  await runPage(workplace, 'install', {
    'it is installed': async () => {
      assert.match(await stored(machine, 'word'), /^k8s:enc:kms:v2:trousseau:/)
      assert.is(await wordOf(machine, 'word'), 'open-sesame')
    },
  })

  assert.match(await stored(machine, 'word'), /open-sesame/)
  figure(`install.md and back on a node: ${Math.round((performance.now() - start) / 1_000)} s`)
})

test.run()
