/** Differences between a terminal and a pipe, and a config that comes through a pipe. @module */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { createKeyFile } from '../../src/services/local/key_file.ts'
import { startFakePlugin } from '../_lib/grpc/fake_plugin.ts'
import { BUNDLE, NODE } from '../_lib/plugin/process.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'
import { atTerminal } from './pseudo_terminal.ts'

const test = suite('console/terminal', () => ({}))

/** In pipes, with this on standard input. */
function piped(args: readonly string[], input: string) {
  const child = spawn(NODE, [BUNDLE, ...args], { stdio: 'pipe' })
  let [out, err] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text
  })
  child.stdin.end(input)
  const ended = once(child, 'close').then(() => child.exitCode)
  return {
    child,
    ended,
    out: () => out,
    err: () => err,
    async [Symbol.asyncDispose]() {
      child.kill()
      await ended
    },
  }
}

async function localConfig(more: object = {}) {
  const folder = await tempFolder()
  await createKeyFile(folder.at('keys'), () => Date.now())
  const config = JSON.stringify({
    apiVersion: 'trousseau.io/v1',
    kind: 'TrousseauConfig',
    socket: { path: folder.at('kms.sock') },
    providers: [{ name: 'here', type: 'local', keyFile: folder.at('keys') }],
    ...more,
  })
  await writeFile(folder.at('config.json'), config)
  return { folder, config, path: folder.at('config.json') }
}

test('a terminal shows colours and the next step, a dumb one no codes, and a pipe neither', async () => {
  await using plugin = await startFakePlugin()
  const args = ['status', '--socket', plugin.path]
  const next = `next: trousseau check --socket ${plugin.path}\n`

  await using able = atTerminal(args)
  assert.is(await able.ended, 0)
  assert.match(able.shown(), '\u001b[32mok')
  assert.ok(able.shown().endsWith(next), able.shown())

  await using dumb = atTerminal(args, { term: 'dumb' })
  assert.is(await dumb.ended, 0)
  assert.not.match(dumb.shown(), '\u001b')
  assert.ok(dumb.shown().endsWith(next), dumb.shown())

  await using pipe = piped(args, '')
  assert.is(await pipe.ended, 0)
  assert.not.match(pipe.out(), '\u001b')
  assert.is(pipe.err(), '')
})

test('help is as wide as the terminal', async () => {
  await using narrow = atTerminal(['help', 'migrate'], { columns: 50 })
  assert.is(await narrow.ended, 0)
  const widths = narrow
    .shown()
    .split('\n')
    .map((line) => line.length)
  assert.ok(Math.max(...widths) <= 50 && Math.max(...widths) > 40, `${Math.max(...widths)}`)
})

test('serve logs text at a terminal, JSON elsewhere, and always what the config says', async () => {
  const free = await localConfig()
  const fixed = await localConfig({ log: { format: 'json' } })
  await using _one = free.folder
  await using _two = fixed.folder

  await using text = atTerminal(['serve', '--config', free.path])
  await until('it serves', () => text.shown().includes(' started  Trousseau '))
  assert.match(text.shown(), /^\d\d:\d\d:\d\d\.\d{3} INFO {2}started {2}Trousseau /m)
  text.signal('SIGTERM')
  assert.is(await text.ended, 0)

  await using json = atTerminal(['serve', '--config', fixed.path])
  await until('it serves', () => json.shown().includes('"event":"started"'))
  json.signal('SIGTERM')
  assert.is(await json.ended, 0)
})

test('serve takes its config from standard input, and says that it cannot be read again', async () => {
  const { folder, config } = await localConfig()
  await using _folder = folder
  await using plugin = piped(['serve', '--config', '-'], config)
  const { child, ended, err } = plugin
  await until('it serves', () => err().includes('"event":"started"'))

  child.kill('SIGHUP')
  await until('it is told', () => err().includes('"event":"config_not_followed"'))
  assert.match(err(), 'cannot be read again: restart the plugin with another one, or name a file')

  child.kill('SIGTERM')
  assert.is(await ended, 0)
})

test('a config on standard input is checked as one in a file is', async () => {
  const { folder, config } = await localConfig()
  await using _folder = folder
  await using good = piped(['config', 'validate', '-'], config)
  assert.is(await good.ended, 0)
  assert.is(good.out(), `standard input is valid: here (local) on ${folder.at('kms.sock')}\n`)

  await using bad = piped(['config', 'validate', '-'], '{"kind": 1')
  assert.is(await bad.ended, 2)
  assert.match(bad.err(), /^trousseau: standard input:1:\d+: not valid YAML/)
})

test.run()
