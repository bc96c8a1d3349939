/**
 * Another version of the plugin, really built, on a node with a kubelet: by its manifest and by the
 * bundle for the air gap, and back.
 *
 * @module
 */

import { basename } from 'node:path'
import * as assert from 'uvu/assert'
import manifest from '../../package.json' with { type: 'json' }
import { figure, since } from '../_lib/figure.ts'
import type { Machine } from '../_lib/kubelet/machine.ts'
import { enterNetwork } from '../_lib/kubelet/network.ts'
import { buildNextVersion, NEXT_IMAGE, NEXT_VERSION } from '../_lib/kubelet/next_version.ts'
import { IMAGE, importImage, startAlone, startMachine } from '../_lib/kubelet/node.ts'
import {
  containerOf,
  installPlugin,
  KEY_FILE,
  PLUGIN,
  POD,
  printed,
  SOCKET,
  untilWell,
} from '../_lib/kubelet/plugin.ts'
import { newerContainerd } from '../_lib/kubelet/programs.ts'
import { CONFIG, makeBundle } from '../_lib/package/airgap.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const GIVEN = '/var/lib/root/trousseau.yaml'

await enterNetwork(import.meta.url)

const test = suite('kubelet/upgrade', () => ({}), 900_000)
const next = await buildNextVersion()

test('another image in the manifest is an upgrade, and the one of before is the way back', async () => {
  await using folder = await tempFolder()
  await using machine = await startMachine(folder)
  await installPlugin(machine)
  await startAlone(machine)
  await untilWell(machine)
  await importImage(machine, next.image)
  const before = await machine.read(POD)

  for (const [version, text] of [
    [NEXT_VERSION, await printed(machine, 'static-pod', '--image', NEXT_IMAGE)],
    [manifest.version, before],
  ] as const) {
    const start = performance.now()
    await machine.write(POD, text)
    await untilServes(machine, version)
    await untilWell(machine)
    figure(`upgrade by the manifest: ${version} is well ${since(start)} after it was written`)
    await keepsTheContract(machine)
  }
})

test('the installer of the bundle for the air gap ends when the kubelet runs what is in the bundle, after an upgrade too, and takes each step back', async () => {
  await using folder = await tempFolder()
  const first = await makeBundle()
  const { signedWith } = first
  const second = await makeBundle({ root: next.root, version: NEXT_VERSION, signedWith })
  await using machine = await startMachine(folder, 1, await newerContainerd())
  const install = async (from: typeof first, ...flags: string[]) => {
    const start = performance.now()
    const said = await machine.run(`${from.unpacked}/install.sh`, ...flags)
    figure(`install.sh ${flags.slice(2).join(' ')} in ${basename(from.unpacked)}: ${since(start)}`)
    return said
  }
  // A node has nothing of Trousseau yet, but for what its operator brings.
  await machine.run('ctr', '--namespace', 'k8s.io', 'images', 'rm', IMAGE)
  await machine.run('rm', '/usr/local/bin/trousseau')
  await machine.run(`${first.unpacked}/bin/trousseau-linux-x64`, 'keygen', KEY_FILE)
  await machine.write(GIVEN, CONFIG)
  await startAlone(machine)

  await install(first, '--key', first.key, '--config', GIVEN)
  assert.is(await versionOf(machine), manifest.version)
  assert.match(await imagesOf(machine), new RegExp(`^${IMAGE} .*pinned=pinned`, 'm'))
  await keepsTheContract(machine)

  await install(second, '--key', second.key)
  assert.is(await versionOf(machine), NEXT_VERSION)
  assert.is((await containerOf(machine))?.asked, NEXT_IMAGE)
  assert.match(await imagesOf(machine), new RegExp(`^${NEXT_IMAGE} .*pinned=pinned`, 'm'))
  await keepsTheContract(machine)

  await install(second, '--undo')
  await untilServes(machine, manifest.version)
  await untilWell(machine)
  assert.not.match(await imagesOf(machine), NEXT_IMAGE)

  // A cold boot has all that it needs.
  await machine.powerOff()
  await machine.powerOn()
  await untilWell(machine)

  await install(first, '--undo')
  await until('the pod is gone', async () => {
    return (await machine.pidOf(PLUGIN).catch(() => '')) === ''
  })
  assert.is(await machine.shell(`ls ${POD} /usr/local/bin/trousseau 2>/dev/null || true`), '')
  assert.not.match(await imagesOf(machine), IMAGE)
})

async function keepsTheContract(machine: Machine): Promise<void> {
  // A failure is told by its output.
  const said = await machine.shell(`trousseau check --socket ${SOCKET} || true`)
  assert.match(said, / 0 failed/)
}

async function untilServes(machine: Machine, version: string): Promise<void> {
  await until(`${version} serves`, async () => {
    return (await versionOf(machine).catch(() => '')) === version
  })
}

/** What the process that serves says of itself. */
async function versionOf(machine: Machine): Promise<string> {
  const said = await machine.run(`/proc/${await machine.pidOf(PLUGIN)}/exe`, 'version')
  return said.split(' ')[1] ?? ''
}

function imagesOf(machine: Machine): Promise<string> {
  return machine.run('ctr', '--namespace', 'k8s.io', 'images', 'ls')
}

test.run()
