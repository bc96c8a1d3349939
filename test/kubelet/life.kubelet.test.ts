/** What befalls the plugin's pod in the life of a node: no memory, no space. @module */

import * as assert from 'uvu/assert'
import { figure } from '../_lib/figure.ts'
import { imageOf } from '../_lib/kubelet/images.ts'
import type { Machine } from '../_lib/kubelet/machine.ts'
import { enterNetwork } from '../_lib/kubelet/network.ts'
import { IMAGE, importImage, startAlone, startMachine } from '../_lib/kubelet/node.ts'
import { containerOf, installPlugin, PLUGIN, SOCKET, untilWell } from '../_lib/kubelet/plugin.ts'
import { imagePrograms, newerContainerd } from '../_lib/kubelet/programs.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const CTR = ['ctr', '--namespace', 'k8s.io']
const MEMORY = '/sys/fs/cgroup/memory/k8s.io'
/** More than the plugin uses now, and less than it uses under load. */
const SPARE_BYTES = 1024 * 1024

await enterNetwork(import.meta.url)

const test = suite('kubelet/life', () => ({}))

test('a plugin that the kernel kills for its memory is started again at once, with its own limit', async () => {
  await using folder = await tempFolder()
  await using machine = await running(folder)
  const id = (await containerOf(machine))?.containerID.replace('containerd://', '')
  const group = `${MEMORY}/${id}`
  assert.is(await machine.run('cat', `${group}/memory.limit_in_bytes`), `${512 * 1024 * 1024}\n`)

  const limit = `echo $(($(cat ${group}/memory.usage_in_bytes) + ${SPARE_BYTES})) >${group}/memory.limit_in_bytes`
  await machine.shell(limit)
  await machine.run('trousseau', 'bench', '--socket', SOCKET).catch(() => {
    // It is killed at its work.
  })

  const after = await until('it was killed and started again', async () => {
    const container = await containerOf(machine)
    return container !== undefined && container.restartCount > 0 && container.ready
      ? container
      : undefined
  })
  assert.is(after.lastState.terminated?.reason, 'OOMKilled')
  await untilWell(machine)
})

for (const [containerd, programs] of [
  ["Debian's containerd", {}],
  ['a newer containerd', await newerContainerd()],
] as const) {
  test(`under disk pressure the pod stays, and of images that nobody uses a pinned one, from containerd 1.7 on: ${containerd}`, async () => {
    await using folder = await tempFolder()
    await using drafts = await tempFolder()
    await using machine = await running(folder, programs)
    const { pause = '' } = await imagePrograms()
    for (const name of ['other', 'pinned']) {
      await importImage(machine, await imageOf(drafts, `localhost/${name}:1`, pause, name))
    }
    await machine.run(
      ...CTR,
      'images',
      'label',
      'localhost/pinned:1',
      'io.cri-containerd.pinned=pinned',
    )
    const pid = await machine.pidOf(PLUGIN)

    const pressure = { evictionHard: { 'nodefs.available': '99%' }, imageMinimumGCAge: '1s' }
    await startAlone(machine, pressure)
    await machine.run('systemctl', 'restart', 'kubelet')

    await until('the kubelet was about to evict the pod', async () =>
      /cannot evict a critical pod.*trousseau/.test(await machine.read('/var/log/kubelet.log')),
    )
    await until('the other image is gone', async () => {
      return !(await imagesOf(machine)).includes('localhost/other:1')
    })
    const left = await imagesOf(machine)
    const pins = await pinsImages(machine)
    assert.is(left.includes('localhost/pinned:1'), pins, left)
    figure(
      `disk pressure: ${containerd} ${pins ? 'keeps' : 'loses'} a pinned image that nobody uses`,
    )
    assert.ok(left.includes(IMAGE), left)
    assert.is(await machine.pidOf(PLUGIN), pid)
    await untilWell(machine)
  })
}

/** A node whose kubelet runs the plugin. */
async function running(
  folder: TempFolder,
  programs: Readonly<Record<string, string>> = {},
): Promise<Machine> {
  const machine = await startMachine(folder, 1, programs)
  await installPlugin(machine)
  await startAlone(machine)
  await untilWell(machine)
  return machine
}

/** What docs/airgap.md says of containerd. */
async function pinsImages(machine: Machine): Promise<boolean> {
  const [, major, minor] =
    /(\d+)\.(\d+)\.\d+/.exec(await machine.run('containerd', '--version')) ?? []
  return Number(major) > 1 || Number(minor) >= 7
}

function imagesOf(machine: Machine): Promise<string> {
  return machine.run(...CTR, 'images', 'ls', '-q')
}

test.run()
