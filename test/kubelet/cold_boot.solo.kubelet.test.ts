/**
 * The power of a control-plane node comes back: how long until its API server is ready, without
 * encryption, with it, and with a key service that is away at first. The cluster is one that ran in
 * the clear, and was changed as `trousseau manifests kubeadm` says.
 *
 * @module
 */

import * as assert from 'uvu/assert'
import { parse } from 'yaml'
import { figure } from '../_lib/figure.ts'
import { installBaoPlugin } from '../_lib/kubelet/bao_plugin.ts'
import {
  createSecret,
  init,
  reconfigure,
  startControlPlaneMachine,
  stored,
  untilReady,
  wordOf,
} from '../_lib/kubelet/control_plane.ts'
import type { Machine } from '../_lib/kubelet/machine.ts'
import { enterNetwork, OUTSIDE } from '../_lib/kubelet/network.ts'
import { ENCRYPTION, kubeadmFiles, PLUGIN, SOCKET, untilWell } from '../_lib/kubelet/plugin.ts'
import { type OpenBao, startOpenBao } from '../_lib/services/vault/openbao.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const BOOTS = 3

await enterNetwork(import.meta.url)

const test = suite('kubelet/cold_boot', () => ({}), 900_000)

test('a cold boot of a kubeadm control plane ends in an API server that is ready, also where the key service comes last', async () => {
  await using folder = await tempFolder()
  await using bao = await startOpenBao({ host: OUTSIDE })
  await using machine = await startControlPlaneMachine(folder)
  await init(machine)
  await createSecret(machine, 'word', 'open-sesame')
  assert.match(await stored(machine, 'word'), /open-sesame/)
  const clear: number[] = []
  for (let boot = 0; boot < BOOTS; boot += 1) clear.push(await bootedAfter(machine))
  figure(`cold boot without encryption: ready after ${told(clear)}`)

  await encrypt(machine, folder, bao)
  const encrypted: number[] = []
  for (let boot = 0; boot < BOOTS; boot += 1) encrypted.push(await bootedAfter(machine))
  figure(`cold boot with the plugin: ready after ${told(encrypted)}`)
  assert.is(await wordOf(machine, 'word'), 'open-sesame')

  await bootWithoutKeyService(machine, bao)

  // And back, as the manifests' page says: identity comes first, then the objects are rewritten.
  await decrypt(machine)
})

/** From the power to an API server that is ready. */
async function bootedAfter(machine: Machine): Promise<number> {
  await machine.powerOff()
  const start = performance.now()
  await machine.powerOn()
  await untilReady(machine)
  return performance.now() - start
}

/** The changes to a cluster that runs, by the printed files. */
async function encrypt(machine: Machine, folder: TempFolder, bao: OpenBao): Promise<void> {
  await installBaoPlugin(machine, await bao.setupTransit({ folder: folder.path }))
  await untilWell(machine)
  const made = await kubeadmFiles(machine)
  const printed = parse(await machine.read(`${made}/kubeadm-config.yaml`))

  // The flags by the config, and the folders by the patch, which the file offers in place of extraVolumes.
  const { extraArgs } = printed.apiServer
  const before = await machine.pidOf('kube-apiserver')
  await reconfigure(machine, (config) => ({ ...config, apiServer: { extraArgs } }), made)
  await until('another API server runs', async () => {
    const now = await machine.pidOf('kube-apiserver').catch(() => before)
    return now !== before
  })
  await untilReady(machine)
  await machine.shell('kubectl get secrets -A -o json | kubectl replace -f - >/dev/null')
  assert.match(await stored(machine, 'word'), /^k8s:enc:kms:v2:trousseau:/)
}

/** Nothing is restarted meanwhile: what waits, waits. */
async function bootWithoutKeyService(machine: Machine, bao: OpenBao): Promise<void> {
  await machine.powerOff()
  await bao.stop()
  const boot = performance.now()
  await machine.powerOn()
  const live = (name: string, ...command: string[]) =>
    until(name, () =>
      machine.run(...command).then(
        () => true,
        () => false,
      ),
    )
  await live('the plugin lives', 'trousseau', 'status', '--socket', SOCKET, '--live')
  const plugin = await machine.pidOf(PLUGIN)
  figure(
    `cold boot with the key service away: the plugin answers after ${told([performance.now() - boot])}`,
  )
  await live('the API server lives', 'kubectl', 'get', '--raw=/livez')
  const server = await machine.pidOf('kube-apiserver')
  figure(
    `cold boot with the key service away: the API server lives after ${told([performance.now() - boot])}`,
  )
  const refused = await machine.run('kubectl', 'get', '--raw=/readyz').catch(String)
  assert.match(refused, /kms-providers failed/)

  const back = performance.now()
  await bao.start()
  await untilReady(machine)
  figure(
    `cold boot with the key service away: ready ${told([performance.now() - back])} after its start`,
  )
  assert.is(await wordOf(machine, 'word'), 'open-sesame')
  assert.equal(
    [await machine.pidOf(PLUGIN), await machine.pidOf('kube-apiserver')],
    [plugin, server],
  )
}

/** Back to the clear. */
async function decrypt(machine: Machine): Promise<void> {
  const text = await machine.read(ENCRYPTION)
  const { resources, ...head } = parse(text)
  const [{ providers, ...first }] = resources
  const turned = { ...head, resources: [{ ...first, providers: providers.toReversed() }] }
  await machine.write(ENCRYPTION, JSON.stringify(turned))
  // The API server follows the file, which it looks at each minute.
  await until(
    'Secrets are written in the clear',
    async () => {
      await machine.shell('kubectl get secret word -o json | kubectl replace -f - >/dev/null')
      return (await stored(machine, 'word')).includes('open-sesame')
    },
    { everyMs: 1_000 },
  )
}

/** The median, in seconds. */
function told(times: readonly number[]): string {
  const median = times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] ?? 0
  return `${(median / 1_000).toFixed(1)} s`
}

test.run()
