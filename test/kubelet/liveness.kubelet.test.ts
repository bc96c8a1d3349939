/** A plugin that hangs is started again by its kubelet, by either form of the printed probe. @module */

import * as assert from 'uvu/assert'
import { figure } from '../_lib/figure.ts'
import { enterNetwork } from '../_lib/kubelet/network.ts'
import { startAlone, startMachine } from '../_lib/kubelet/node.ts'
import { containerOf, installPlugin, PLUGIN, untilWell } from '../_lib/kubelet/plugin.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

/** Three probes that fail, 30 s apart, and ten seconds to end; or six of them, 10 s apart. */
const LIMIT_MS = 240_000
/** By what asks, the config that makes it so. */
const PROBES = {
  'a process that asks the socket': {},
  'a request to the admin server': { admin: { listen: '127.0.0.1:8787' } },
} as const

await enterNetwork(import.meta.url)

const test = suite('kubelet/liveness', () => ({}), 400_000)

test('a plugin that hangs fails the probe, in either form, and is started again', async () => {
  await using folder = await tempFolder()
  // They do nothing but wait, each on a node of its own.
  await Promise.all(
    Object.entries(PROBES).map(([probe, config], at) => hangs(folder, at + 1, probe, config)),
  )
})

async function hangs(
  folder: TempFolder,
  number: number,
  probe: string,
  config: object,
): Promise<void> {
  await using machine = await startMachine(folder, number)
  await installPlugin(machine, { config })
  await startAlone(machine)
  await untilWell(machine)
  const old = await machine.pidOf(PLUGIN)

  const start = performance.now()
  await machine.run('kill', '-STOP', old)
  await until(
    `the kubelet has started it again, by ${probe}`,
    async () => {
      const container = await containerOf(machine)
      return container?.restartCount === 1 && container.ready
    },
    { limitMs: LIMIT_MS, everyMs: 500 },
  )
  await untilWell(machine)
  assert.is.not(await machine.pidOf(PLUGIN), old)
  figure(
    `liveness by ${probe}: well again ${((performance.now() - start) / 1_000).toFixed(0)} s after it hung`,
  )
}

test.run()
