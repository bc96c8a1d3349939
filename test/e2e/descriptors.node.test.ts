/** A plugin that for a while gets no file descriptors: what it lost then it takes back. @module */

import { execFile } from 'node:child_process'
import { readFile, rm } from 'node:fs/promises'
import { promisify } from 'node:util'
import * as assert from 'uvu/assert'
import { connectKms } from '../../src/grpc/client.ts'
import { startLocalPlugin } from '../_lib/plugin/local_plugin.ts'
import type { PluginProcess } from '../_lib/plugin/process.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const TRIES = 2

const test = suite('e2e/descriptors', () => ({}))
const run = promisify(execFile)

/** Sets how many it may have, and returns how many it could before; what is open stays open. */
async function limit({ pid }: PluginProcess, descriptors: string): Promise<string> {
  const limits = await readFile(`/proc/${pid}/limits`, 'utf8')
  await run('prlimit', [`--pid=${pid}`, `--nofile=${descriptors}:`])
  return /^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? ''
}

test('a socket that vanishes while nothing can be bound is there again once it can, and open connections are served all the time', async () => {
  await using folder = await tempFolder()
  await using plugin = await startLocalPlugin(folder, { config: {} })
  await until('it is healthy', () => plugin.client.v2.status().catch(() => undefined))
  const { keyId } = await plugin.client.v2.status()

  const before = await limit(plugin, '0')
  await rm(plugin.socketPath)
  await until('it tried in vain', () => plugin.events('socket_lost').length >= TRIES)
  assert.is((await plugin.client.v2.status()).keyId, keyId)
  await limit(plugin, before)

  await plugin.told('socket_rebound')
  const other = connectKms(plugin.socketPath, { timeoutMs: 10_000 })
  assert.is((await other.v2.status()).keyId, keyId)
  assert.is((await plugin.client.v2.status()).keyId, keyId)
  other.close()
  assert.is(await plugin.stop(), 0)
})

test.run()
