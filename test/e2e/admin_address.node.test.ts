/**
 * An admin server that cannot get its address: the KMS socket is served all the time, and the admin
 * server starts as soon as it can.
 *
 * @module
 */

import { once } from 'node:events'
import { mkdir, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import * as assert from 'uvu/assert'
import { serves, startLocalPlugin } from '../_lib/plugin/local_plugin.ts'
import { type PluginProcess, RUNTIMES, type Runtime, runCommand } from '../_lib/plugin/process.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const test = suite('e2e/admin_address', () => ({}))

function start(folder: TempFolder, listen: string, runtime: Runtime = 'node') {
  const hosts = [listen.replace('unix://', 'unix:')]
  return startLocalPlugin(folder, { runtime, hosts, config: { admin: { listen } } })
}

/** Another program at a port: it takes connections and says nothing of ours. */
async function other(): Promise<{ server: Server; listen: string }> {
  const server = createServer((socket) => socket.end('HTTP/1.1 404 Not Found\r\n\r\n'))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  assert.ok(address !== null && typeof address === 'object')
  return { server, listen: `127.0.0.1:${address.port}` }
}

for (const runtime of RUNTIMES) {
  test(`a taken admin port leaves the socket served, is told once, and is had as soon as it is free (${runtime})`, async () => {
    await using folder = await tempFolder()
    const { server, listen } = await other()
    try {
      await using plugin = await start(folder, listen, runtime)
      await serves(plugin)
      const [waits] = await plugin.told('admin_waits')
      assert.is(waits?.['level'], 'warn')
      assert.match(
        String(waits?.['message']),
        new RegExp(`${listen}.*another process listens there`),
      )

      server.close()
      await until(
        'the admin server has its port',
        () => plugin.events('admin_listening').length === 1,
      )
      assert.match(await (await fetch(`http://${listen}/livez`)).text(), /^ok/)
      await serves(plugin)
      assert.is(plugin.events('admin_waits').length, 1)
      assert.is(await plugin.stop(), 0)
    } finally {
      server.close()
    }
  })
}

for (const [what, listen, why] of [
  ['that no node has', '192.0.2.1:8787', /this node does not have that address/],
  ['that nobody resolves', 'no-such-host.invalid:8787', /the name cannot be resolved/],
] as const) {
  test(`an admin address ${what} leaves the socket served, is told once, and does not hold up the end`, async () => {
    await using folder = await tempFolder()
    await using plugin = await start(folder, listen)

    await serves(plugin)
    const [waits] = await until('it is told', () => {
      const lines = plugin.events('admin_waits')
      return lines.length > 0 && lines
    })
    assert.match(String(waits?.['message']), why)
    assert.is(await plugin.stop(), 0)
    assert.is(plugin.events('admin_waits').length, 1)
  })
}

test('an admin socket whose folder is not there leaves the KMS socket served, and is made with the folder', async () => {
  await using folder = await tempFolder()
  await using plugin = await start(folder, `unix://${folder.at('later/admin.sock')}`)
  await serves(plugin)
  await plugin.told('admin_waits')

  await mkdir(folder.at('later'))

  await until(
    'the admin server has its socket',
    () => plugin.events('admin_listening').length === 1,
  )
  assert.is(await plugin.stop(), 0)
})

/** Ids that doctor finds of the admin server, beside those of a healthy setup. */
async function adminFindings(plugin: PluginProcess): Promise<string[]> {
  const { out } = await runCommand(['doctor', '--config', plugin.configPath, '--json'])
  const { findings } = JSON.parse(out) as { findings: { id: string; level: string }[] }
  return findings
    .filter(({ id }) => id.startsWith('admin'))
    .map(({ id, level }) => `${id} ${level}`)
}

test('doctor finds an admin address that somebody else has, and that the plugin has none', async () => {
  await using folder = await tempFolder()
  const { server, listen } = await other()
  try {
    await using plugin = await start(folder, listen)
    await serves(plugin)
    await plugin.told('admin_waits')

    assert.equal(await adminFindings(plugin), ['admin-taken warning'])
    server.close()
    await plugin.told('admin_listening')
    assert.equal(await adminFindings(plugin), ['admin ok'])
  } finally {
    server.close()
  }
})

for (const listen of ['192.0.2.1:8787', 'no-such-host.invalid:8787']) {
  test(`doctor finds that the admin server cannot have ${listen}`, async () => {
    await using folder = await tempFolder()
    await using plugin = await start(folder, listen)
    await serves(plugin)

    assert.equal(await adminFindings(plugin), ['admin-address warning'])
  })
}

test('doctor finds an admin socket that is not there while the plugin answers', async () => {
  await using folder = await tempFolder()
  await using plugin = await start(folder, `unix://${folder.at('admin.sock')}`)
  await serves(plugin)
  await plugin.told('admin_listening')
  assert.equal(await adminFindings(plugin), ['admin ok'])

  await rm(folder.at('admin.sock'))

  assert.equal(await adminFindings(plugin), ['admin-down warning'])
})

test.run()
