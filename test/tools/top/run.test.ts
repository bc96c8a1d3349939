/** `trousseau top` on a running plugin: once, live with keys, and while the plugin is away. @module */

import { writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { runProgram } from '../../../src/cli/program.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { startPlugin } from '../../../src/plugin/plugin.ts'
import { createKeyFile } from '../../../src/services/local/key_file.ts'
import { memoryIo } from '../../_lib/console/memory_io.ts'
import { type TempFolder, tempFolder } from '../../_lib/temp_folder.ts'
import { suite } from '../../_lib/uvu.ts'
import { until } from '../../_lib/wait.ts'

const test = suite('tools/top/run', () => ({}))

async function configured(folder: TempFolder, change: object = {}): Promise<string> {
  const provider = { type: 'local', keyFile: folder.at('keys') }
  const config = {
    apiVersion: 'trousseau.io/v1',
    kind: 'TrousseauConfig',
    socket: { path: folder.at('kms.sock') },
    providers: [{ name: 'one', ...provider }],
    admin: { listen: `unix://${folder.at('admin.sock')}` },
    ...change,
  }
  await writeFile(folder.at('config.json'), JSON.stringify(config))
  return folder.at('config.json')
}

async function started(folder: TempFolder) {
  const path = await configured(folder)
  await createKeyFile(folder.at('keys'), Date.now)
  const plugin = await startPlugin(await loadConfig(path), { emit: () => undefined })
  await plugin.asked
  return { path, close: () => plugin.close(), [Symbol.asyncDispose]: () => plugin.close() }
}

test('in a pipe it prints once, without a sequence for terminals, and 0 says that all is well', async () => {
  await using folder = await tempFolder()
  await using plugin = await started(folder)
  const io = memoryIo()

  assert.is(await runProgram(['top', '--config', plugin.path], io), 0, io.complained())

  assert.match(io.printed(), /^Well for \d+ s$/m)
  assert.match(io.printed(), /^ {2}one {7}local {2}ok /m)
  assert.not.match(io.printed(), /(?!\n)\p{Cc}/u)
})

test('at a terminal --once prints once too, and nothing waits for keys', async () => {
  await using folder = await tempFolder()
  await using plugin = await started(folder)
  const io = memoryIo({ redraws: true, columns: 80 })

  assert.is(await runProgram(['top', '--config', plugin.path, '--once'], io), 0)

  assert.not.match(io.printed(), /(?!\n)\p{Cc}/u)
})

test('live it follows keys, goes on without the plugin, and gives the terminal back', async () => {
  await using folder = await tempFolder()
  const plugin = await started(folder)
  const io = memoryIo({ redraws: true, columns: 100, rows: 30 })
  const ended = runProgram(['top', '--config', plugin.path, '--every', '200ms'], io)
  const [enter, leave] = ['\u001b[?1049h\u001b[?25l', '\u001b[?25h\u001b[?1049l']
  const last = () => io.printed().split('\u001b[H').at(-1) ?? ''

  await until('the endpoint is chosen', () => /^> default /m.test(last()))
  io.press('\t')
  assert.match(last(), /^> one /m)
  io.press('\u001b[A')
  assert.match(last(), /^> default /m)
  io.press('j')
  assert.match(last(), /^provider {5,}one \(local\)/m)
  await plugin.close()
  await until('it says that nobody answers', () => /^No answer for \d+ s/m.test(last()))
  assert.match(last(), /^> one /m)
  io.press('q')

  assert.is(await ended, 1)
  assert.ok(io.printed().startsWith(enter))
  assert.ok(io.printed().endsWith(leave))
})

test('a page is never longer than the terminal, and its last line has the keys', async () => {
  await using folder = await tempFolder()
  await using plugin = await started(folder)
  const io = memoryIo({ redraws: true, columns: 80, rows: 10 })
  const ended = runProgram(['top', '--config', plugin.path], io)

  await until('it has drawn', () => io.printed().includes('q: quit'))
  io.press('\u0003')

  assert.is(await ended, 0)
  const lines = (io.printed().split('\u001b[H').at(1) ?? '').split('\r\n')
  assert.is(lines.length, 10)
  assert.match(lines.at(-2) ?? '', 'q: quit')
})

test('without an admin server it says what to set', async () => {
  await using folder = await tempFolder()
  const path = await configured(folder, { admin: undefined })
  const io = memoryIo()

  assert.is(await runProgram(['top', '--config', path], io), 1)

  assert.match(io.complained(), 'no admin.listen, so nobody can be asked: set admin')
})

test('where nobody answers it fails and says whom it asked', async () => {
  await using folder = await tempFolder()
  const path = await configured(folder)
  const io = memoryIo()

  assert.is(await runProgram(['top', '--config', path], io), 1)

  assert.match(io.complained(), `Admin server at ${folder.at('admin.sock')} does not answer`)
})

test.run()
