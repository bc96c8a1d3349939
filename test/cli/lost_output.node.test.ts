/**
 * Output that cannot be written is an error, whatever the command: a full disk must never look like
 * success. Tested with the bundle, on a device that is always full.
 *
 * @module
 */

import { execFile } from 'node:child_process'
import { readdir, writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { createKeyFile } from '../../src/services/local/key_file.ts'
import { BUNDLE, NODE } from '../_lib/plugin/process.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { storedByPlugin } from '../_lib/tools/stored_by_plugin.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('cli/lost output', () => ({}))

interface Ran {
  readonly code: number
  readonly err: string
}

/** @param script of a shell, with the program's arguments in `"$@"` */
function run(script: string, args: readonly string[], folder: TempFolder): Promise<Ran> {
  const all = ['-c', script, 'sh', NODE, BUNDLE, ...args]
  return new Promise((resolve) => {
    execFile('sh', all, { cwd: folder.path }, (error, _out, err) =>
      resolve({ code: error === null ? 0 : Number(error.code), err }),
    )
  })
}

/** A running plugin with a local key, and one Secret in etcd under it. */
async function setup() {
  const folder = await tempFolder()
  await createKeyFile(folder.at('keys'), () => Date.now())
  const config = {
    apiVersion: 'trousseau.io/v1',
    kind: 'TrousseauConfig',
    socket: { path: folder.at('kms.sock') },
    providers: [
      { name: 'local', type: 'local', keyFile: folder.at('keys') },
      {
        name: 'vault',
        type: 'vault',
        decryptOnly: true,
        address: 'https://127.0.0.1:1',
        key: 'k8s-etcd',
        auth: { method: 'token', tokenFile: folder.at('token') },
      },
    ],
  }
  await writeFile(folder.at('config.json'), JSON.stringify(config), { mode: 0o600 })
  const stored = await storedByPlugin(config, ['one'], 'x')
  return {
    folder,
    etcd: stored.etcd,
    async [Symbol.asyncDispose]() {
      await stored[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

test('every command that cannot write its output says so in one line and fails', async () => {
  await using one = await setup()
  const { folder, etcd } = one
  const config = ['--config', folder.at('config.json')]
  const stored = ['--endpoints', etcd.endpoint]
  const socket = ['--socket', folder.at('kms.sock')]
  for (const args of [
    ['help'],
    ['version'],
    ['version', '--json'],
    ['config', 'schema'],
    ['config', 'validate', folder.at('config.json')],
    ['completion', 'bash'],
    ['keygen', folder.at('more-keys')],
    ['login-key', 'create', folder.at('login-key')],
    ['login-key', 'public', folder.at('login-key')],
    ['recovery-key', 'create', '--no-passphrase', folder.at('recovery-key')],
    ['vault', 'policy', ...config],
    ['manifests', 'static-pod', ...config],
    ['doctor', '--offline', '--json', ...config],
    ['status', ...socket],
    ['status', '--json', ...socket],
    ['check', ...socket],
    ['scan', ...stored],
    ['scan', '--json', ...stored],
    ['recover', 'list', ...stored],
    ['recover', 'export', '--out', '-', ...stored, ...config],
  ]) {
    const { code, err } = await run('"$@" > /dev/full', args, folder)

    const what = args.join(' ')
    assert.is(code, 1, what)
    assert.match(err, /^trousseau: Cannot write standard output: no space left$/m, what)
    assert.not.match(err, /Internal fault|Exported|at .*:\d+/, what)
  }
})

test('whoever reads the output may leave early', async () => {
  await using folder = await tempFolder()

  const { code, err } = await run(
    '{ "$@"; echo "code $?" >&2; } | head -n 1',
    ['config', 'schema'],
    folder,
  )

  assert.is(code, 0)
  assert.is(err, 'code 0\n')
})

test('a key file that cannot be written whole leaves nothing behind', async () => {
  await using folder = await tempFolder()
  for (const args of [
    ['keygen', 'keys'],
    ['login-key', 'create', 'login'],
    ['recovery-key', 'create', '--no-passphrase', 'recovery'],
  ]) {
    // Not even one block: a limit of the shell stands in for a disk that is full.
    const script = `trap '' XFSZ; ulimit -f 0; "$@" | cat`
    const { err } = await run(script, args, folder)

    assert.match(err, /cannot be made|Cannot write/, args.join(' '))
    assert.equal(await readdir(folder.path), [], args.join(' '))
  }
})

test.run()
