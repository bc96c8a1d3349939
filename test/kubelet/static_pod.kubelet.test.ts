/** A kubelet runs what `manifests static-pod` and `manifests tmpfiles` print, as it is. @module */

import * as assert from 'uvu/assert'
import { figure, since } from '../_lib/figure.ts'
import { enterNetwork } from '../_lib/kubelet/network.ts'
import { startAlone, startMachine } from '../_lib/kubelet/node.ts'
import { containerOf, installPlugin, PLUGIN, SOCKET, untilWell } from '../_lib/kubelet/plugin.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

await enterNetwork(import.meta.url)

const test = suite('kubelet/static_pod', () => ({}))

for (const user of ['65532', '0']) {
  test(`with --user ${user} the pod is well, comes back after a crash and a power cut, and outlives its kubelet`, async () => {
    await using folder = await tempFolder()
    await using machine = await startMachine(folder)
    await installPlugin(machine, { flags: ['--user', user] })

    const start = performance.now()
    await startAlone(machine)
    await untilWell(machine)
    figure(`static pod of user ${user}: well ${since(start)} after its kubelet was started`)

    const before = await machine.pidOf(PLUGIN)
    assert.match(
      await machine.run('cat', `/proc/${before}/status`),
      new RegExp(`^Uid:(\t${user}){4}$`, 'm'),
    )
    assert.match(await machine.run('cat', `/proc/${before}/status`), /^CapEff:\t0{16}$/m)
    assert.is(await machine.run('stat', '-c', '%a %u:%g', SOCKET), `600 ${user}:${user}\n`)

    // The kubelet is restarted, and a process is known by its pid.
    await machine.run('systemctl', 'restart', 'kubelet')
    await until('the kubelet knows the pod again', () =>
      containerOf(machine).then(
        (container) => container?.ready === true,
        () => false,
      ),
    )
    assert.is(await machine.pidOf(PLUGIN), before)

    const crash = performance.now()
    await machine.run('kill', '-KILL', before)
    await untilWell(machine)
    figure(`static pod of user ${user}: well again ${since(crash)} after kill -9`)
    assert.is.not(await machine.pidOf(PLUGIN), before)

    await machine.powerOff()
    const boot = performance.now()
    await machine.powerOn()
    await untilWell(machine)
    figure(`static pod of user ${user}: well ${since(boot)} after the power came back`)
  })
}

test.run()
