/** The client in Go, against the whole plugin in this process and against a server that is no plugin. @module */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { access } from 'node:fs/promises'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import * as assert from 'uvu/assert'
import { type Authority, runGoClient } from '../_lib/go/client.ts'
import { startPluginHere } from '../_lib/plugin/in_process.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const FLOOR = fileURLToPath(new URL('../bench/floor_server.ts', import.meta.url))
const runtimeArgs = 'deno' in process.versions ? ['run', '--allow-all'] : []

const test = suite('e2e/go_client', () => ({}))

const AUTHORITIES: readonly Authority[] = ['localhost', 'default']
for (const authority of AUTHORITIES) {
  test(`grpc-go with authority ${authority} runs v2 and v1beta1 round trips with a local key [T1 T3 V1 V2]`, async () => {
    await using plugin = await startPluginHere()

    const report = await runGoClient(plugin.socketPath, authority)

    assert.is(report.error, undefined)
    assert.is(report.ok, true)
    assert.is(report.version, 'v2')
    assert.is(report.healthz, 'ok')
    assert.is(report.v1Version, 'v1beta1')
    assert.match(report.v1Runtime, /^trousseau \d/)
    assert.is(report.foreignKeyIdCode, 'NotFound')
    assert.is(report.v1TamperedCode, 'InvalidArgument')
  })
}

test('the client in Go fails at a server without v1beta1', async () => {
  await using folder = await tempFolder()
  const socketPath = folder.at('floor.sock')
  const server = spawn(process.execPath, [...runtimeArgs, FLOOR, socketPath], { stdio: 'inherit' })
  const closed = once(server, 'close')
  try {
    await until('the server listens', () =>
      access(socketPath).then(
        () => true,
        () => false,
      ),
    )

    const report = await runGoClient(socketPath, 'localhost')

    assert.is(report.ok, false)
    assert.match(report.error ?? '', /^v1beta1: Version: .*Unimplemented/)
    assert.is(report.foreignKeyIdCode, 'OK')
  } finally {
    server.kill('SIGKILL')
    await closed
  }
})

test.run()
