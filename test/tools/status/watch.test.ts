/** `trousseau status --watch` while the plugin comes, changes and goes. @module */

import { writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { runProgram } from '../../../src/cli/program.ts'
import { memoryIo } from '../../_lib/console/memory_io.ts'
import { FAKE_KEY_ID, startFakePlugin } from '../../_lib/grpc/fake_plugin.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { suite } from '../../_lib/uvu.ts'
import { until } from '../../_lib/wait.ts'

const test = suite('tools/status/watch', () => ({}))

test('without a terminal there is a line for each change, and the last one decides the exit code', async () => {
  await using folder = await tempFolder()
  const path = folder.at('kms.sock')
  let [keyId, healthz, asked] = ['key-1', 'ok', 0]
  const start = () =>
    startFakePlugin({
      path,
      status(good) {
        asked += 1
        return { ...good, keyId, healthz }
      },
    })
  const io = memoryIo()
  const ended = runProgram(['status', '--socket', path, '--watch', '100ms'], io)
  const seen = (count: number) =>
    until(`${count} lines`, () => io.printed().split('\n').length > count)

  await seen(1)
  {
    await using _plugin = await start()
    await seen(2)
    // Each look asks twice: what does not change is not told again.
    const before = asked
    await until('it looked again', () => asked >= before + 4)
    keyId = 'key-2'
    await seen(3)
    healthz = 'no\u001b[2J'
    await seen(4)
  }
  await seen(5)
  {
    await using _plugin = await start()
    await seen(6)
    io.halt()
    assert.is(await ended, 3)
  }

  const lines = io.printed().trimEnd().split('\n')
  const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z {2}/
  assert.ok(lines.every((line) => time.test(line)))
  const texts = lines.map((line) => line.replace(time, ''))
  const down = new RegExp(`^${path} {2}Cannot connect to ${path}: there is no such file`)
  assert.match(texts[0] ?? '', down)
  assert.is(texts[1], `${path}  ok, key id key-1`)
  assert.is(texts[2], `${path}  ok, key id key-2`)
  assert.is(texts[3], `${path}  healthz is not "ok": no?[2J, key id key-2`)
  assert.match(texts[4] ?? '', `${path}  Cannot connect`)
  assert.is(texts[5], texts[3])
  assert.is(texts.length, 6)
})

test('at a terminal it is a page that is written anew, also of a config, and goes on over an outage', async () => {
  await using folder = await tempFolder()
  const path = folder.at('kms.sock')
  const config = {
    apiVersion: 'trousseau.io/v1',
    kind: 'TrousseauConfig',
    socket: { path },
    providers: [{ name: 'here', type: 'local', keyFile: '/keys' }],
  }
  await writeFile(folder.at('config.json'), JSON.stringify(config))
  const io = memoryIo({ redraws: true, atTerminal: true })
  const args = ['status', '--config', folder.at('config.json'), '--watch', '100ms']
  const ended = runProgram(args, io)

  await until('it is down', () => io.printed().includes('trousseau: Cannot connect'))
  await using _plugin = await startFakePlugin({ path })
  await until('it is well', () => io.printed().includes(`key id       ${FAKE_KEY_ID}`))
  io.halt()

  assert.is(await ended, 0)
  const [before, ...pages] = io.printed().split('\u001b[H\u001b[2J')
  assert.is(before, '')
  assert.ok(
    pages.every((page) =>
      /^Asked at \d\d:\d\d:\d\d UTC, and each 0\.1 s until Ctrl-C\.\n\n/.test(page),
    ),
  )
  assert.is(io.complained(), '')
})

test('a config that cannot be used ends it at once', async () => {
  const io = memoryIo()
  assert.is(await runProgram(['status', '--config', '/none.yaml', '--watch'], io), 2)
  assert.match(io.complained(), '/none.yaml')
})

test.run()
