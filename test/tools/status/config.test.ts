/** `trousseau status --config` against the plugin itself. */

import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import * as assert from 'uvu/assert'
import { KmsError } from '../../../src/base/errors.ts'
import { runProgram } from '../../../src/cli/program.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { createStatusz } from '../../../src/observe/statusz.ts'
import { startPlugin } from '../../../src/plugin/plugin.ts'
import { createKeyFile } from '../../../src/services/local/key_file.ts'
import { signingKeys } from '../../../src/services/local/signing_key.ts'
import { signerReport } from '../../../src/tools/status/signer.ts'
import { fetchStatusz, readableStatusz } from '../../../src/tools/status/statusz.ts'
import { memoryIo } from '../../_lib/console/memory_io.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { suite } from '../../_lib/uvu.ts'
import { until } from '../../_lib/wait.ts'

const NO_SWITCH = { activeVersion: '1', pendingVersion: undefined, switchAt: undefined }
const test = suite('tools/status/config', () => ({}))

async function withPlugin(
  change: object,
  work: (configPath: string) => Promise<void>,
): Promise<void> {
  await using folder = await tempFolder()
  for (const name of ['one', 'two']) await createKeyFile(folder.at(name), () => Date.now())
  const local = (name: string) => ({ name, type: 'local', keyFile: folder.at(name) })
  const config = {
    apiVersion: 'trousseau.io/v1',
    kind: 'TrousseauConfig',
    socket: { path: folder.at('kms.sock') },
    providers: [local('one'), { ...local('two'), decryptOnly: true }],
    admin: { listen: `unix://${folder.at('admin.sock')}` },
    ...change,
  }
  const path = folder.at('config.json')
  await writeFile(path, JSON.stringify(config))
  const plugin = await startPlugin(await loadConfig(path), { emit: () => undefined })
  try {
    await plugin.asked
    await work(path)
  } finally {
    await plugin.close()
  }
}

test('it shows the socket, the key id with its reason, and each provider', async () => {
  await withPlugin({}, async (path) => {
    const io = memoryIo()

    assert.is(await runProgram(['status', '--config', path], io), 0, io.complained())

    assert.match(io.printed(), /^v2 {11}v2, answered in/m)
    assert.match(io.printed(), /^state {5,}ok$/m)
    assert.match(io.printed(), /^why {5,}any of one \(v1\)$/m)
    assert.match(
      io.printed(),
      /^provider {5,}one \(local\)\nhealth {5,}ok, for \d+ s\npart {5,}writes$/m,
    )
    assert.match(io.printed(), /^part {5,}reads$/m)
    assert.match(io.printed(), /^key versions {2}1 \(encrypts\) \d+ s old$/m)
  })
})

test('with a signer it shows what an API server asks of it, and a signer that is gone is no health', async () => {
  await using folder = await tempFolder()
  const keyFile = folder.at('signer-keys')
  await createKeyFile(keyFile, () => Date.now(), signingKeys())
  const socket = { path: folder.at('signer.sock') }
  const signer = { socket, key: { type: 'local', keyFile }, maxTokenLife: '2h' }
  await withPlugin({ stateDir: folder.at('state'), signer }, async (path) => {
    const [text, asJson] = [memoryIo(), memoryIo()]
    await until('its key is known', async () => {
      const { healthy, ...report } = await signerReport({ socketPath: socket.path, timeoutMs: 500 })
      return healthy && 'keys' in report
    })

    assert.is(await runProgram(['status', '--config', path], text), 0, text.complained())
    assert.match(text.printed(), /^keys +[\w-]{43}$/m)
    assert.match(text.printed(), /^token life +at most 7200 s$/m)
    assert.is(await runProgram(['status', '--config', path, '--json'], asJson), 0)
    const { signer: told } = JSON.parse(asJson.printed())
    assert.equal([told.healthy, told.keys.length, told.refreshSeconds], [true, 1, 60])

    const other = JSON.parse(await readFile(path, 'utf8'))
    other.signer.socket.path = folder.at('nobody.sock')
    await writeFile(path, JSON.stringify(other))
    const gone = memoryIo()
    assert.is(
      await runProgram(['status', '--config', path, '--json', '--timeout', '100ms'], gone),
      1,
    )
    assert.is(JSON.parse(gone.printed()).signer.healthy, false)
  })
})

test('as JSON it holds both what the API server sees and what the plugin says', async () => {
  await withPlugin({}, async (path) => {
    const io = memoryIo()

    assert.is(await runProgram(['status', '--config', path, '--json'], io), 0)

    const { sockets, statusz } = JSON.parse(io.printed())
    assert.is(sockets[0].healthy, true)
    assert.is(statusz.endpoints[0].keyId, sockets[0].v2.keyId)
    assert.equal(statusz.endpoints[0].providers.two, { role: 'reads' })
  })
})

test('what answers is shown also where something else does not, and the exit code says so', async () => {
  await using folder = await tempFolder()
  const nobody = folder.at('nobody.sock')
  for (const [what, change] of [
    ['an admin server', { admin: { listen: `unix://${nobody}` } }],
    ['a socket', { socket: { path: nobody } }],
  ] as const) {
    await withPlugin({}, async (path) => {
      const config = JSON.parse(await readFile(path, 'utf8'))
      // The running plugin has neither.
      await writeFile(path, JSON.stringify({ ...config, ...change }))
      const [text, asJson] = [memoryIo(), memoryIo()]

      assert.is(await runProgram(['status', '--config', path], text), 1, what)
      assert.is(await runProgram(['status', '--config', path, '--json'], asJson), 1, what)

      const { sockets, statusz, error } = JSON.parse(asJson.printed())
      assert.match(error.message, nobody)
      assert.match(text.complained(), nobody)
      if (what === 'a socket') {
        assert.equal([sockets[0].healthy, sockets[0].error], [false, error])
        assert.is(statusz.endpoints[0].state, 'ok')
        assert.match(text.printed(), /^socket .*\nhealth +Cannot connect to [\s\S]*^state +ok$/m)
      } else {
        assert.is(sockets[0].healthy, true)
        assert.match(text.printed(), /^health +ok$/m)
        assert.not.match(text.printed(), 'has no admin.listen')
      }
    })
  }
})

test('it shows logins, tokens, certificates and nodes as /statusz has them', async () => {
  await using folder = await tempFolder()
  const now = Date.now()
  const { sink, document: stated } = createStatusz({
    version: '1',
    runtime: 'node',
    now: () => now,
  })
  const provider = 'bao'
  const login = { type: 'token', provider, action: 'login', method: 'approle' } as const
  const well = { name: provider, id: 'vault:transit/k', type: 'vault', ok: true, versions: 1 }
  sink.emit({
    type: 'health',
    state: 'ok',
    previous: 'starting',
    keyId: 'k',
    providers: [{ ...well, ...NO_SWITCH, role: 'writes', since: now }],
  })
  sink.emit({
    ...login,
    code: 'denied',
    error: new KmsError('The role is gone', { code: 'denied' }),
  })
  sink.emit({ ...login, code: 'ok', ttlSeconds: 3_600 })
  sink.emit({ ...login, action: 'renew', code: 'ok', ttlSeconds: 7_201 })
  const certificate = { type: 'certificate', provider, near: false } as const
  sink.emit({ ...certificate, kind: 'server', notAfter: now + 10 * 86_400_000 })
  sink.emit({ ...certificate, kind: 'client', notAfter: now - 60_000 })
  const fields = { provider, address: 'https://a:8200', role: 'standby', previous: 'unknown' }
  sink.emit({ type: 'notice', level: 'info', what: 'vault_node', message: '', fields })
  const server = createServer((_, answer) => answer.end(JSON.stringify(stated())))
  server.listen(folder.at('admin.sock'))
  await once(server, 'listening')
  try {
    const document = await fetchStatusz({ path: folder.at('admin.sock') }, 5_000)
    const text = readableStatusz(document, now, memoryIo())
    assert.match(text, /^login {5,}approle: logins 1, renewals 1, failed 1$/m)
    assert.match(text, /^token {5,}ends in 2 h$/m)
    assert.match(text, /^last failure {2}denied: The role is gone, 0 s ago$/m)
    assert.match(text, /^certificates {2}server ends in 10 d, client ended 1 m ago$/m)
    assert.match(text, /^nodes {5,}https:\/\/a:8200 standby$/m)
  } finally {
    server.close()
  }
})

test('without an admin server it says that nobody can be asked', async () => {
  await withPlugin({ admin: undefined }, async (path) => {
    const io = memoryIo()

    assert.is(await runProgram(['status', '--config', path], io), 0)

    assert.match(io.printed(), /The config has no admin.listen/)
  })
})

test('it takes a socket or a config, and not both', async () => {
  for (const args of [[], ['--socket', '/s', '--config', '/c']]) {
    const io = memoryIo()
    assert.is(await runProgram(['status', ...args], io), 2)
    assert.match(io.complained(), /--socket or --config is needed, and not both/)
  }
})

test.run()
