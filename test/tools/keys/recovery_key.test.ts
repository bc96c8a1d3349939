/** `trousseau recovery …` against the plugin itself. */

import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { runProgram } from '../../../src/cli/program.ts'
import { parseConfig } from '../../../src/config/load.ts'
import { startPlugin } from '../../../src/plugin/plugin.ts'
import { createKeyFile } from '../../../src/services/local/key_file.ts'
import { memoryIo } from '../../_lib/console/memory_io.ts'
import { Refusal, startFakePlugin } from '../../_lib/grpc/fake_plugin.ts'
import { type TempFolder, tempFolder } from '../../_lib/temp_folder.ts'
import { suite } from '../../_lib/uvu.ts'

const PASSPHRASE = 'correct horse battery staple'

const test = suite('tools/keys/recovery_key', () => ({}))

async function keygen(folder: TempFolder, name: string, ...flags: string[]) {
  const io = memoryIo({ answers: [PASSPHRASE, PASSPHRASE] })
  const code = await runProgram(['recovery-key', 'create', folder.at(name), ...flags], io)
  return { code, io, path: folder.at(name), publicPath: folder.at(`${name}.pub.json`) }
}

async function withPlugin(
  folder: TempFolder,
  recipients: readonly string[],
  work: (socket: string) => Promise<void>,
): Promise<void> {
  const keyFile = folder.at('keys')
  await createKeyFile(keyFile, () => Date.now())
  const config = {
    apiVersion: 'trousseau.io/v1',
    kind: 'TrousseauConfig',
    socket: { path: folder.at('kms.sock') },
    providers: [{ name: 'here', type: 'local', keyFile }],
    ...(recipients.length === 0 ? {} : { recovery: { recipients } }),
  }
  const plugin = await startPlugin(parseConfig(config, 'test'), { emit: () => undefined })
  try {
    await plugin.asked
    await work(folder.at('kms.sock'))
  } finally {
    await plugin.close()
  }
}

test('a key with a passphrase and one without open what the plugin encrypts', async () => {
  await using folder = await tempFolder()
  const one = await keygen(folder, 'one')
  const two = await keygen(folder, 'two', '--no-passphrase', '--curve', 'X25519')
  await writeFile(folder.at('passphrase'), `${PASSPHRASE}\n`)
  assert.equal([one.code, two.code], [0, 0])
  assert.is((await stat(one.path)).mode & 0o777, 0o600)
  const secret = JSON.parse(await readFile(two.path, 'utf8')).d
  assert.not.match(two.io.printed(), secret)
  assert.not.match(await readFile(two.publicPath, 'utf8'), secret)
  assert.match(one.io.printed(), one.publicPath)

  await withPlugin(folder, [one.publicPath, two.publicPath], async (socket) => {
    for (const [{ path }, flags, answers] of [
      [one, [], [PASSPHRASE]],
      [one, ['--passphrase-file', folder.at('passphrase')], []],
      [two, [], []],
    ] as const) {
      const io = memoryIo({ answers: [...answers] })
      const args = ['recovery-key', 'verify', '--socket', socket, '--key', path, ...flags]

      assert.is(await runProgram(args, io), 0, io.complained())

      assert.match(io.printed(), /^[\w-]{43} opens what this plugin encrypts\n/)
      assert.match(io.printed(), /recipients {2}2\n/)
    }
  })
})

test('verify says why a key does not open', async () => {
  await using folder = await tempFolder()
  const one = await keygen(folder, 'one', '--no-passphrase')
  const other = await keygen(folder, 'other', '--no-passphrase')
  const verify = async (socket: string, path: string) => {
    const io = memoryIo()
    const code = await runProgram(['recovery-key', 'verify', '--socket', socket, '--key', path], io)
    return [code, io.complained()] as const
  }

  await withPlugin(folder, [one.publicPath], async (socket) => {
    const [code, said] = await verify(socket, other.path)
    assert.is(code, 1)
    assert.match(said, /is not one of the recipients of this annotation/)
  })
  await withPlugin(await tempFolder(), [], async (socket) => {
    const [code, said] = await verify(socket, one.path)
    assert.is(code, 1)
    assert.match(said, /The plugin seals to nobody: its config has no recovery.recipients/)
  })
})

test('verify says what the plugin said when it refuses to encrypt', async () => {
  await using folder = await tempFolder()
  const { path } = await keygen(folder, 'key', '--no-passphrase')
  await using plugin = await startFakePlugin({
    encrypt() {
      throw new Refusal('Key "k8s"\u001b[31m is disabled', { code: 9 })
    },
  })
  const io = memoryIo()
  const args = ['recovery-key', 'verify', '--socket', plugin.path, '--key', path]

  assert.is(await runProgram(args, io), 1)

  assert.is(
    io.complained(),
    'trousseau: The plugin answered FAILED_PRECONDITION: Key "k8s"?[31m is disabled\n',
  )
})

test('keygen asks nothing and leaves nothing where one of its files is there', async () => {
  for (const present of ['key', 'key.pub.json']) {
    await using folder = await tempFolder()
    await writeFile(folder.at(present), 'kept')
    // No answers: a question would fail.
    const io = memoryIo()

    assert.is(await runProgram(['recovery-key', 'create', folder.at('key')], io), 1)

    assert.match(io.complained(), /is there already, and nothing is overwritten\n$/)
    assert.equal(await readdir(folder.path), [present])
    assert.is(await readFile(folder.at(present), 'utf8'), 'kept')
  }
})

test('keygen refuses passphrases that differ or are short, and leaves no file', async () => {
  for (const answers of [
    [PASSPHRASE, `${PASSPHRASE}r`],
    ['short', 'short'],
  ]) {
    await using folder = await tempFolder()
    const io = memoryIo({ answers })

    assert.is(await runProgram(['recovery-key', 'create', folder.at('key')], io), 1)

    assert.match(io.complained(), /passphrases differ|wanted at least 12 characters/)
    assert.not.match(io.complained(), answers[0] ?? '-')
    assert.ok(
      await stat(folder.at('key')).then(
        () => false,
        () => true,
      ),
    )
  }
})

test.run()
