/**
 * A stateDir that cannot be used, or whose file system never answers: the socket is served, the
 * problem is reported, and SIGTERM ends the plugin.
 *
 * @module
 */

import { execFileSync } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { createKeyFile } from '../../src/services/local/key_file.ts'
import { serves, startLocalPlugin } from '../_lib/plugin/local_plugin.ts'
import { type PluginProcess, RUNTIMES, type Runtime, runCommand } from '../_lib/plugin/process.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const test = suite('e2e/state_dir', () => ({}))
/** A process at rest takes less of a core between two readings. */
const POLL_MS = 500
const RESTS_TICKS = 10

function start(folder: TempFolder, stateDir: string, runtime: Runtime = 'node') {
  return startLocalPlugin(folder, { runtime, config: { stateDir } })
}

/** Hundredths of a second of a core that it has taken so far. */
async function ticksOf({ pid }: PluginProcess): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /, '').split(' ')
  return Number(fields[11]) + Number(fields[12])
}

async function rests(plugin: PluginProcess): Promise<void> {
  let before = await ticksOf(plugin)
  await until(
    'it takes next to nothing of a core',
    async () => {
      const now = await ticksOf(plugin)
      const taken = now - before
      before = now
      return taken < RESTS_TICKS
    },
    { everyMs: POLL_MS },
  )
}

/** A fifo in place of the saved state: who opens it waits for a writer for ever, as at a file system that hangs. */
async function hangingFolder(folder: TempFolder): Promise<string> {
  await mkdir(folder.at('state'))
  execFileSync('mkfifo', [folder.at('state/state.json')])
  return folder.at('state')
}

async function stateFindings({ configPath }: PluginProcess): Promise<string[]> {
  const { out } = await runCommand(['doctor', '--config', configPath, '--json'])
  const { findings } = JSON.parse(out) as { findings: { id: string; level: string }[] }
  return findings
    .filter(({ id }) => id.startsWith('state'))
    .map(({ id, level }) => `${id} ${level}`)
}

test('a stateDir that can never be made is told at the start, takes no core, and SIGTERM ends the plugin', async () => {
  await using folder = await tempFolder()
  await using plugin = await start(folder, '/proc/no-such/state')

  await serves(plugin)
  const [told] = await plugin.told('state_not_saved')
  assert.is(told?.['level'], 'warn')
  assert.match(
    String(told?.['message']),
    /stateDir \/proc\/no-such\/state cannot be made: there is no such file or folder/,
  )
  await rests(plugin)
  assert.equal(await stateFindings(plugin), ['state-unusable warning'])
  assert.is(plugin.events('state_not_saved').length, 1)
  assert.is(await plugin.stop(), 0)
})

for (const runtime of RUNTIMES) {
  test(`a stateDir whose file system never answers holds up neither the start nor the end, and is told (${runtime})`, async () => {
    await using folder = await tempFolder()
    await using plugin = await start(folder, await hangingFolder(folder), runtime)

    await serves(plugin)
    const [told] = await plugin.told('state_not_saved')
    assert.match(
      String(told?.['message']),
      /state cannot be used: the file system has not answered/,
    )
    await rests(plugin)
    // By the signal itself, since the runtime would wait for the file system for ever.
    assert.is(await plugin.stop(), null)
    assert.is(plugin.events('stopped').length, 1)
  })
}

test('a socket folder that can never be made is told at once, and ends the start', async () => {
  await using folder = await tempFolder()
  const file = folder.at('config.json')
  await createKeyFile(folder.at('keys'), Date.now)
  const config = {
    apiVersion: 'trousseau.io/v1',
    kind: 'TrousseauConfig',
    socket: { path: '/proc/no-such/kms.sock' },
    providers: [{ name: 'keys', type: 'local', keyFile: folder.at('keys') }],
  }
  await writeFile(file, JSON.stringify(config))

  const { code, err } = await runCommand(['serve', '--config', file])

  assert.is(code, 1)
  assert.match(err, /\/proc\/no-such\/kms\.sock.*there is no such file or folder/)
})

test('doctor finds a stateDir that is no folder', async () => {
  await using folder = await tempFolder()
  await writeFile(folder.at('file'), '')
  await using plugin = await start(folder, folder.at('file'))
  await serves(plugin)

  await plugin.told('state_not_saved')
  assert.equal(await stateFindings(plugin), ['state-unusable warning'])
})

test('doctor finds nothing of a stateDir that is as it should be', async () => {
  await using folder = await tempFolder()
  await using plugin = await start(folder, folder.at('state'))
  await serves(plugin)

  await until('it is there', async () => (await stateFindings(plugin)).length === 0)
})

test.run()
