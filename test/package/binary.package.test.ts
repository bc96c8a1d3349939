/** The binaries: they answer, they are hardened, and they name nothing of this machine. @module */

import { readFile } from 'node:fs/promises'
import process from 'node:process'
import * as assert from 'uvu/assert'
import { debianTool } from '../_lib/debian.ts'
import { needsOf } from '../_lib/package/elf_needs.ts'
import { probe } from '../_lib/package/probe.ts'
import { binary, localConfig, ROOT, run, unpackImage } from '../_lib/package/shipped.ts'
import { NODE, startPluginProcess } from '../_lib/plugin/process.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const OWN = binary(process.arch === 'arm64' ? 'arm64' : 'x64')
const PLAINTEXT = new TextEncoder().encode('0123456789abcdef0123456789abcdef')

const LIBRARIES = ['libatomic', 'libc', 'libdl', 'libgcc_s', 'libm', 'libpthread', 'libstdc++']
/** What glibc 2.28 and GCC 8 have. */
const OLDEST: Readonly<Record<string, string>> = {
  GLIBC: '2.28',
  GLIBCXX: '3.4.25',
  CXXABI: '1.3.11',
  GCC: '4.3.0',
  LIBATOMIC: '1.2',
}

const test = suite('package/binary', () => ({}), 300_000)

/** @param symbols a version of a library's symbols, such as `GLIBC_2.17` */
function isThere(symbols: string): boolean {
  const [, name = '', version = ''] = /^([A-Z]+)_([\d.]+)$/.exec(symbols) ?? []
  const has = OLDEST[name]
  return has !== undefined && version.localeCompare(has, 'en', { numeric: true }) <= 0
}

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

for (const [architecture, loader] of [
  ['x64', 'ld-linux-x86-64'],
  ['arm64', 'ld-linux-aarch64'],
] as const) {
  test(`the libraries of RHEL 8 and Debian 10 have each symbol that the binary for ${architecture} needs`, async () => {
    const needs = needsOf(await readFile(binary(architecture)))

    const libraries = needs.map(({ library }) => library.replace(/\.so\.\d+$/, ''))
    assert.equal(new Set(libraries), new Set([loader, ...LIBRARIES]))
    const versions = needs.flatMap(({ versions: all }) => all)
    assert.ok(versions.includes('GLIBC_2.28'), 'docs/packaging.md asks for more than it needs')
    assert.equal(
      versions.filter((version) => !isThere(version)),
      [],
    )
  })
}

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
