/** The commands of the built bundle as a person runs them. @module */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import * as assert from 'uvu/assert'
import { createKeyFile } from '../../src/services/local/key_file.ts'
import { bundleCommand, RUNTIMES, startPluginProcess } from '../_lib/plugin/process.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { rejection, suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const test = suite('e2e/cli', () => ({}))

function start(folder: TempFolder, args: readonly string[]) {
  const [command, all] = bundleCommand({ folder: folder.path }, args)
  const child = spawn(command, all, { cwd: folder.path, stdio: ['ignore', 'pipe', 'pipe'] })
  let out = ''
  let err = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    out += chunk
  })
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    err += chunk
  })
  const closed = once(child, 'close')
  return {
    out: () => out,
    kill: (signal: NodeJS.Signals) => child.kill(signal),
    async ended() {
      await closed
      return { code: child.exitCode, out, err }
    },
  }
}

function run(folder: TempFolder, ...args: string[]) {
  return start(folder, args).ended()
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`demo shows a round trip and what to do with it, serves until ${signal}, and leaves nothing`, async () => {
    await using folder = await tempFolder()
    const demo = start(folder, ['demo'])
    await until('it serves', () => demo.out().includes('Serving until Ctrl-C.'))
    const socket = /socket {4}(\S+)/.exec(demo.out())?.[1] ?? ''

    const status = await run(folder, 'status', '--socket', socket)
    assert.is(status.code, 0, status.err)
    assert.match(status.out, /ok/)
    demo.kill(signal)
    const { code, out, err } = await demo.ended()

    assert.equal([code, err], [0, ''])
    assert.match(out, /Status {4}ok, key id tr1-any-v1-/)
    assert.match(out, /Encrypt {3}32 bytes into \d+ bytes/)
    assert.match(out, /Decrypt {3}\d+ bytes back into the same 32/)
    assert.match(out, /kind: EncryptionConfiguration/)
    assert.match(out, /apiVersion: v2/)
    assert.instance(await rejection(readdir(dirname(socket))), Error)
  })
}

test('demo --dir keeps its key and takes it up again', async () => {
  await using folder = await tempFolder()
  const keyIds: string[] = []
  for (const said of ['new, mode 0600', 'found, 1 version']) {
    const demo = start(folder, ['demo', '--dir', folder.at('kept')])
    await until('it serves', () => demo.out().includes('Serving until Ctrl-C.'))
    demo.kill('SIGTERM')
    const { out } = await demo.ended()
    assert.ok(out.includes(said), out)
    keyIds.push(/key id (\S+)/.exec(out)?.[1] ?? '')
  }
  assert.is(keyIds[0], keyIds[1])
})

for (const runtime of RUNTIMES) {
  test(`check finds no fault in Trousseau on ${runtime}`, async () => {
    await using folder = await tempFolder()
    await createKeyFile(folder.at('keys'), () => Date.now())
    const config = { providers: [{ name: 'here', type: 'local', keyFile: folder.at('keys') }] }
    await using plugin = await startPluginProcess({ runtime, folder: folder.path, config })
    await until('it is healthy', () =>
      plugin.client.v2.status().then(
        () => true,
        () => false,
      ),
    )

    const { code, out, err } = await run(folder, 'check', '--socket', plugin.socketPath, '--json')

    assert.is(err, '')
    const { findings } = JSON.parse(out)
    const rulesWith = (result: string) =>
      findings
        .filter((finding: { result: string }) => finding.result === result)
        .map(({ rule }: { rule: string }) => rule)
    // How fast Status answers is the machine's doing; the bench measures it.
    const warned = rulesWith('warn').filter((rule: string) => rule !== 'S12')
    assert.equal([rulesWith('fail'), warned], [[], []], plugin.output())
    assert.is(code, 0)
    // Trousseau makes no annotations, so their rules have nothing to look at.
    assert.equal(rulesWith('skipped'), ['E5', 'E6', 'D5'])
    assert.ok(findings.length >= 30, `${findings.length} rules`)
  })
}

test('status of a socket that nobody serves fails with a hint', async () => {
  await using folder = await tempFolder()

  const { code, out, err } = await run(folder, 'status', '--socket', folder.at('none.sock'))

  assert.is(code, 1, out)
  assert.match(err, /^trousseau: /)
})

test('serve refuses a bad config with all problems and no values, exit code 2', async () => {
  await using folder = await tempFolder()
  await writeFile(
    folder.at('bad.yaml'),
    'apiVersion: trousseau.io/v1\nkind: TrousseauConfig\nsocket: { path: planted }\nproviders: []\nextra: planted\n',
  )

  const { code, err } = await run(folder, 'serve', '--config', folder.at('bad.yaml'))

  assert.is(code, 2)
  for (const problem of [/socket\.path/, /providers/, /extra/]) assert.match(err, problem)
  assert.not.match(err, /planted/)
})

test('serve refuses a config whose envelopes could not be stored', async () => {
  await using folder = await tempFolder()
  const name = 'n'.repeat(400)
  const provider = {
    name: 'v',
    type: 'vault',
    address: 'https://vault.example.org:8200',
    mount: `${name}/${name}`,
    key: name,
    auth: { method: 'token', tokenFile: '/t' },
  }
  const socket = { path: folder.at('kms.sock') }
  const config = {
    apiVersion: 'trousseau.io/v1',
    kind: 'TrousseauConfig',
    socket,
    providers: [provider],
  }
  await writeFile(folder.at('long.json'), JSON.stringify(config))

  const { code, err } = await run(folder, 'serve', '--config', folder.at('long.json'))

  assert.is(code, 2)
  assert.match(err, /envelopes of endpoint "default" would have up to \d+ bytes/)
})

test('serve without its key file says how to make one, and exits', async () => {
  await using folder = await tempFolder()
  await createKeyFile(folder.at('keys'), () => Date.now())
  await rm(folder.at('keys'))
  const config = {
    apiVersion: 'trousseau.io/v1',
    kind: 'TrousseauConfig',
    socket: { path: folder.at('kms.sock') },
    providers: [{ name: 'here', type: 'local', keyFile: folder.at('keys') }],
  }
  await writeFile(folder.at('config.json'), JSON.stringify(config))

  const { code, err } = await run(folder, 'serve', '--config', folder.at('config.json'))

  assert.is(code, 1)
  assert.match(err, /trousseau keygen/)
})

test.run()
