/** The binaries: they answer, they are hardened, and they name nothing of this machine. @module */

import { readFile } from 'node:fs/promises'
import process from 'node:process'
import * as assert from 'uvu/assert'
import { debianTool } from '../_lib/debian.ts'
import { probe } from '../_lib/package/probe.ts'
import { binary, localConfig, ROOT, run, unpackImage } from '../_lib/package/shipped.ts'
import { NODE, startPluginProcess } from '../_lib/plugin/process.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const OWN = binary(process.arch === 'arm64' ? 'arm64' : 'x64')
const PLAINTEXT = new TextEncoder().encode('0123456789abcdef0123456789abcdef')

const test = suite('package/binary', () => ({}), 300_000)

test('serve makes its key and state, keeps the contract, and stops', async () => {
  await using folder = await tempFolder()
  const keyFile = folder.at('keys')
  await run(OWN, ['keygen', keyFile])
  await using plugin = await startPluginProcess({
    folder: folder.path,
    command: [OWN],
    config: {
      providers: [{ name: 'keys', type: 'local', keyFile }],
      stateDir: folder.at('state'),
    },
  })

  await run(OWN, ['check', '--socket', plugin.socketPath])
  const { keyId } = await plugin.client.v2.status()
  assert.ok((await readFile(folder.at('state/state.json'), 'utf8')).includes(keyId))
  assert.is(await plugin.stop(), 0, plugin.output())
  assert.not.match(plugin.output(), /ERR_ACCESS_DENIED|Warning/)
})

test('SIGUSR1 opens no inspector, and NODE_OPTIONS adds no flag', async () => {
  await using folder = await tempFolder()
  const command = ['env', 'NODE_OPTIONS=--inspect=127.0.0.1:0', OWN]
  const config = await localConfig(folder)
  await using plugin = await startPluginProcess({ folder: folder.path, command, config })

  process.kill(plugin.pid, 'SIGUSR1')
  await plugin.client.v2.status()
  await plugin.stop()
  assert.not.match(plugin.output(), /Debugger|inspector/i)
})

test('code from strings, child processes, threads, native code, WASI and the inspector are denied', async () => {
  await using folder = await tempFolder()
  const { binary: program } = await probe('probe.mjs', folder.path)

  const { stdout, stderr } = await run(program)
  assert.equal(JSON.parse(stdout), {
    code: 'EvalError',
    child: 'ERR_ACCESS_DENIED',
    thread: 'ERR_ACCESS_DENIED',
    inspector: 'ERR_ACCESS_DENIED',
    native: 'ERR_DLOPEN_DISABLED',
    wasi: 'ERR_ACCESS_DENIED',
  })
  assert.is(stderr, '')
})

test('a stack trace of the binary has the lines and columns of the bundle', async () => {
  await using folder = await tempFolder()
  const { bundle, binary: program } = await probe('trace_probe.mjs', folder.path)

  const [shipped, bundled] = [await run(program), await run(NODE, [bundle])]

  const placeIn = ({ stdout }: { stdout: string }) =>
    /at here \(.*?(probe\.mjs:\d+:\d+)\)/.exec(stdout)
  assert.type(placeIn(bundled)?.[1], 'string', bundled.stdout)
  assert.is(placeIn(shipped)?.[1], placeIn(bundled)?.[1])
})

test('neither binary names a path of this machine', async () => {
  for (const architecture of ['x64', 'arm64'] as const) {
    assert.not.ok((await readFile(binary(architecture))).includes(ROOT), architecture)
  }
})

test('the binary for arm64 answers Status and a round trip on the libraries of its image', async () => {
  const qemu = await debianTool('qemu-user-static')
  await using folder = await tempFolder()
  const root = await unpackImage(folder, 'arm64')
  await using plugin = await startPluginProcess({
    folder: folder.path,
    command: [qemu, '-L', root, `${root}/usr/bin/trousseau`],
    config: await localConfig(folder),
  })

  const { v2 } = plugin.client
  const { keyId, healthz } = await until('Status is ok', () => v2.status().catch(() => undefined))
  assert.is(healthz, 'ok')
  const { ciphertext, annotations } = await v2.encrypt({ plaintext: PLAINTEXT, uid: 'one' })
  const { plaintext } = await v2.decrypt({ ciphertext, annotations, keyId, uid: 'two' })
  assert.equal(plaintext, PLAINTEXT)
  assert.is(await plugin.stop(), 0, plugin.output())
})

test.run()
