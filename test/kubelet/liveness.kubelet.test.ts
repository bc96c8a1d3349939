/** A plugin that hangs is started again by its kubelet, by either form of the printed probe. @module */

import * as assert from 'uvu/assert'
import { figure } from '../_lib/figure.ts'
import { enterNetwork } from '../_lib/kubelet/network.ts'
import { startAlone, startMachine } from '../_lib/kubelet/node.ts'
import { containerOf, installPlugin, PLUGIN, untilWell } from '../_lib/kubelet/plugin.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

/** Three probes that fail, 30 s apart, and ten seconds to end; or six of them, 10 s apart. */
const LIMIT_MS = 240_000

await enterNetwork(import.meta.url)

const test = suite('kubelet/liveness', () => ({}), 400_000)

for (const [probe, config] of [
  ['a process that asks the socket', {}],
  ['a request to the admin server', { admin: { listen: '127.0.0.1:8787' } }],
] as const) {
  test(`a plugin that hangs fails the probe, which is ${probe}, and is started again`, async () => {
    await using folder = await tempFolder()
    await using machine = await startMachine(folder)
    await installPlugin(machine, { config })
    await startAlone(machine)
    await untilWell(machine)
    const old = await machine.pidOf(PLUGIN)

    const start = performance.now()
    await machine.run('kill', '-STOP', old)
    await until(
      'the kubelet has started it again',
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
  })
}

test.run()
