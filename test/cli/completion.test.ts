import { execFileSync } from 'node:child_process'
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { runProgram } from '../../src/cli/program.ts'
import { memoryIo } from '../_lib/console/memory_io.ts'
import { startFakePlugin } from '../_lib/grpc/fake_plugin.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('cli/completion', () => ({}))

async function scriptFor(shell: string): Promise<string> {
  const io = memoryIo()
  assert.is(await runProgram(['completion', shell], io), 0)
  return io.printed()
}

/** What bash offers after these words, of which the last is unfinished. */
async function bashOffers(words: readonly string[], cwd = '/'): Promise<string[]> {
  const ask = `
COMP_WORDS=(trousseau "$@"); COMP_CWORD=$#
_trousseau
printf '%s\\n' "\${COMPREPLY[@]}"`
  const script = `${await scriptFor('bash')}${ask}`
  const output = execFileSync('bash', ['--norc', '-c', script, 'bash', ...words], {
    cwd,
    encoding: 'utf8',
  })
  return output.split('\n').filter((line) => line !== '')
}

for (const [words, offers] of [
  [['st'], ['status']],
  [['co'], ['config', 'completion']],
  [['--v'], ['--version']],
  [
    ['config', ''],
    ['init', 'validate', 'schema'],
  ],
  [
    ['status', '--'],
    ['--socket', '--config', '--timeout', '--watch', '--live', '--json'],
  ],
  [['status', '--socket', '/k', '--j'], ['--json']],
  [
    ['completion', ''],
    ['bash', 'zsh', 'fish'],
  ],
  [['help', 'ke'], ['keygen']],
  [
    ['help', 'config', ''],
    ['init', 'validate', 'schema'],
  ],
  [
    ['migrate', '--method', ''],
    ['auto', 'controller', 'rewrite'],
  ],
  [['migrate', '--dry-run', '--method', '=', 'con'], ['controller']],
  [
    ['recovery-key', 'create', 'key', '--curve', ''],
    ['P-256', 'X25519'],
  ],
  [['manifests', 'rk'], ['rke2']],
  [['bench', '--rate', ''], []],
  [['scan', '--key-id', '--'], []],
  [['serve', '--config', '/et'], ['/etc']],
] as const) {
  test(`the bash script offers ${offers.join(', ')} after "${words.join(' ')}"`, async () => {
    assert.equal(await bashOffers(words), [...offers])
  })
}

test('the bash script offers files that fit', async () => {
  await using folder = await tempFolder()
  for (const name of ['one.yaml', 'two.json', 'three.pem']) await writeFile(folder.at(name), '')
  await mkdir(folder.at('folder'))
  await using plugin = await startFakePlugin()
  await symlink(plugin.path, folder.at('kms.sock'))
  const offers = async (...words: string[]) => {
    const offered = await bashOffers(words, folder.path)
    return offered.toSorted((a, b) => (a < b ? -1 : 1))
  }

  const configs = ['folder', 'one.yaml', 'two.json']
  assert.equal(await offers('serve', '--config', ''), configs)
  assert.equal(await offers('config', 'validate', ''), ['--json', ...configs])
  assert.equal(await offers('doctor', '--encryption-config', ''), configs)
  assert.equal(await offers('manifests', 'talos', '--out', ''), ['folder'])
  assert.equal(await offers('status', '--socket', ''), ['folder', 'kms.sock'])
  assert.equal(await offers('scan', '--cacert', 't'), ['three.pem', 'two.json'])
  assert.equal(await offers('verify-bundle', 'th'), ['three.pem'])
})

test('every script names every command and option', async () => {
  for (const shell of ['bash', 'zsh', 'fish']) {
    const script = await scriptFor(shell)
    for (const word of ['serve', 'demo', 'status', 'check', 'keygen', 'validate', 'completion']) {
      assert.match(script, new RegExp(`\\b${word}\\b`))
    }
    for (const option of ['config', 'socket', 'timeout', 'json', 'add-version', 'dir']) {
      assert.match(script, new RegExp(`(?:--|-l )${option}\\b`))
    }
  }
})

test.run()
