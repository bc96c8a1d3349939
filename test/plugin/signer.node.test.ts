import { Buffer } from 'node:buffer'
import { generateKeyPairSync } from 'node:crypto'
import { chmod, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { addKeyVersion, createKeyFile } from '../../src/services/local/key_file.ts'
import { signingKeys } from '../../src/services/local/signing_key.ts'
import { connectSigner, headerOf, verifiedBy } from '../_lib/grpc/signer_client.ts'
import {
  configText,
  type PluginProcess,
  runCommand,
  startWellPlugin,
} from '../_lib/plugin/process.ts'
import { replaceFile } from '../_lib/replace_file.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { rejection, suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const CLAIMS = Buffer.from('{"sub":"planted-in-claims"}').toString('base64url')
const now = () => Date.now()

const test = suite('plugin/signer', async () => {
  const folder = await tempFolder()
  await createKeyFile(folder.at('keys'), now)
  await createKeyFile(folder.at('signer-keys'), now, signingKeys())
  return { folder, socket: folder.at('signer.sock') }
})

type Scene = { readonly folder: Awaited<ReturnType<typeof tempFolder>>; readonly socket: string }

function configOf({ folder, socket }: Scene, signer: Readonly<Record<string, unknown>> = {}) {
  return {
    providers: [{ name: 'here', type: 'local', keyFile: folder.at('keys') }],
    health: { interval: '100ms', staleAfter: '5s' },
    stateDir: folder.at('state'),
    log: { level: 'debug', format: 'json' },
    signer: {
      socket: { path: socket, mode: '0640' },
      key: { type: 'local', keyFile: folder.at('signer-keys') },
      refreshHint: '1s',
      activationDelay: '2s',
      ...signer,
    },
  }
}

test('tokens are signed on a socket of its own, with the header and keys that the contract wants [J1 J6 J8 J10]', async (scene) => {
  await using folder = scene.folder
  await using plugin = await startWellPlugin({ folder: folder.path, config: configOf(scene) })
  using client = connectSigner(scene.socket)

  const token = await client.sign(CLAIMS)
  const fetched = await client.fetchKeys()

  assert.equal(Object.keys(headerOf(token)), ['alg', 'kid', 'typ'])
  assert.equal(headerOf(token), { alg: 'ES256', kid: fetched.kids[0], typ: 'JWT' })
  assert.ok(verifiedBy(fetched.keys, CLAIMS, token))
  assert.is(fetched.refreshSeconds, 1)
  assert.ok(Math.abs(fetched.readAt - Date.now() / 1000) < 60)
  assert.is(await client.maxTokenSeconds(), 8760 * 3600)
  assert.is((await stat(scene.socket)).mode & 0o777, 0o640)
  assert.is((await plugin.client.v2.status()).healthz, 'ok')
  await plugin.stop()
  const said = plugin.output()
  for (const secret of ['planted-in-claims', CLAIMS, token.signature]) {
    assert.not.ok(said.includes(secret), 'neither claims nor tokens are in the log')
  }
})

test('a new version is published at once, and signs after its delay; the old one stays published [J12]', async (scene) => {
  await using folder = scene.folder
  await using _plugin = await startWellPlugin({ folder: folder.path, config: configOf(scene) })
  using client = connectSigner(scene.socket)
  const old = await client.sign(CLAIMS)

  await addKeyVersion(folder.at('signer-keys'), now, signingKeys())
  const both = await until('both are published', async () => {
    const fetched = await client.fetchKeys()
    return fetched.keys.length === 2 && fetched
  })
  assert.is(headerOf(await client.sign(CLAIMS))['kid'], headerOf(old)['kid'])
  const young = await until('the new one signs', async () => {
    const token = await client.sign(CLAIMS)
    return headerOf(token)['kid'] !== headerOf(old)['kid'] && token
  })

  assert.ok(verifiedBy(both.keys, CLAIMS, young), 'it was published before')
  const later = await client.fetchKeys()
  assert.ok(verifiedBy(later.keys, CLAIMS, old), 'the old token is good')
})

test('a start without the key answers what API servers need to start, and Secrets [J2 J3]', async (scene) => {
  await using folder = scene.folder
  const config = configOf(scene)
  const first = await startWellPlugin({ folder: folder.path, config })
  using before = connectSigner(scene.socket)
  const { kids, readAt } = await before.fetchKeys()
  await until('it is saved', () => readFile(folder.at('state/signer.json')).catch(() => false))
  await first[Symbol.asyncDispose]()
  await rename(folder.at('signer-keys'), folder.at('away'))
  await using plugin = await startWellPlugin({ folder: folder.path, config })
  using client = connectSigner(scene.socket)

  const fetched = await client.fetchKeys()
  assert.equal(fetched.kids, kids)
  assert.ok(fetched.readAt >= readAt, 'of when they were read')
  assert.is(await client.maxTokenSeconds(), 8760 * 3600)
  assert.match(String(await rejection(client.sign(CLAIMS))), /FAILED_PRECONDITION.*signer-keys/)
  assert.is((await plugin.client.v2.status()).healthz, 'ok')

  await rename(folder.at('away'), folder.at('signer-keys'))
  await until('it signs again', () => client.sign(CLAIMS).catch(() => false))
})

test('a state that is damaged, or that others may write, is refused and told [J9]', async (scene) => {
  await using folder = scene.folder
  const config = configOf(scene)
  const state = folder.at('state/signer.json')
  const first = await startWellPlugin({ folder: folder.path, config })
  await until('it is saved', () => readFile(state).catch(() => false))
  await first[Symbol.asyncDispose]()
  const text = await readFile(state, 'utf8')
  await rename(folder.at('signer-keys'), folder.at('away'))
  const spoil = [
    () => writeFile(state, text.replace('"label":"1"', '"label":"2"')),
    () => writeFile(state, text.slice(0, 100)),
    () => writeFile(state, text).then(() => chmod(state, 0o620)),
  ]
  for (const each of spoil) {
    await each()
    await using plugin = await startWellPlugin({ folder: folder.path, config })
    using client = connectSigner(scene.socket, 1_000)
    await plugin.told('signer_state_refused')
    assert.match(String(await rejection(client.fetchKeys())), /DEADLINE_EXCEEDED/)
    assert.is((await plugin.client.v2.status()).healthz, 'ok')
  }
})

test('a socket that vanishes is made again, and one more process takes over without a failed request', async (scene) => {
  await using folder = scene.folder
  const config = configOf(scene)
  const start = (takeOver = false) =>
    startWellPlugin({ folder: folder.path, config, takeOver }).then((each) => each)
  await using first: PluginProcess = await start()
  using client = connectSigner(scene.socket)
  await client.sign(CLAIMS)
  await rm(scene.socket)
  await until('it is made again', async () => {
    using again = connectSigner(scene.socket, 1_000)
    return await again.sign(CLAIMS).catch(() => undefined)
  })
  let [signed, failed, over] = [0, 0, false]
  const load = (async () => {
    while (!over) {
      using each = connectSigner(scene.socket, 5_000)
      await each.sign(CLAIMS).then(
        () => (signed += 1),
        () => (failed += 1),
      )
    }
  })()

  await using _second = await start(true)
  await first.stop()
  const at = signed
  await until('the second one signs', () => signed > at + 20)
  over = true
  await load

  assert.is(failed, 0)
})

test('a reload changes the keys of before without a restart; one that cannot be read changes nothing [J13]', async (scene) => {
  await using folder = scene.folder
  await using plugin = await startWellPlugin({ folder: folder.path, config: configOf(scene) })
  using client = connectSigner(scene.socket)
  const { kids } = await client.fetchKeys()
  const pair = generateKeyPairSync('rsa', { modulusLength: 2048 })
  await writeFile(folder.at('sa.pub'), pair.publicKey.export({ type: 'spki', format: 'pem' }))
  await writeFile(folder.at('sa.key'), pair.privateKey.export({ type: 'pkcs8', format: 'pem' }))
  const config = JSON.parse(await readFile(plugin.configPath, 'utf8'))
  const withLegacy = (file: string) => {
    const legacyKeys = [{ file: folder.at(file), discovery: false }]
    return JSON.stringify({ ...config, signer: { ...config.signer, legacyKeys } })
  }

  await replaceFile(plugin.configPath, withLegacy('sa.key'))
  const [refused] = await plugin.told('config_refused')
  assert.match(String(refused?.['message']), /holds a private key/)
  assert.equal((await client.fetchKeys()).kids, kids)

  await replaceFile(plugin.configPath, withLegacy('sa.pub'))
  await plugin.told('config_reloaded')
  const { keys } = await client.fetchKeys()
  assert.equal(
    keys.map(({ excluded }) => excluded),
    [false, true],
  )
  await client.sign(CLAIMS)
})

test('the policy for its key is printed beside that of the KMS', async ({ folder: made }) => {
  await using folder = made
  const vault = {
    type: 'vault',
    address: 'https://vault.example.org:8200',
    auth: { method: 'token', tokenFile: '/etc/trousseau/token' },
  }
  const signer = { socket: { path: folder.at('signer.sock') }, key: { ...vault, key: 'k8s-sa' } }
  const providers = [{ ...vault, name: 'kms', key: 'k8s-etcd' }]
  const config = { providers, stateDir: folder.at('state'), signer }
  await writeFile(folder.at('config.json'), configText(folder.at('kms.sock'), config))

  const { code, out } = await runCommand(['vault', 'policy', '--config', folder.at('config.json')])

  assert.is(code, 0)
  const paths = [...out.matchAll(/^path "(transit\/.*)" \{\n {2}capabilities = \["(\w+)"\]/gm)]
  assert.equal(
    paths.map(([, path, right]) => `${right} ${path}`),
    [
      'update transit/encrypt/k8s-etcd',
      'update transit/decrypt/k8s-etcd',
      'read transit/keys/k8s-etcd',
      'update transit/sign/k8s-sa',
      'read transit/keys/k8s-sa',
    ],
  )
})

test('what is no request is refused, and the next one is answered', async (scene) => {
  await using folder = scene.folder
  await using _plugin = await startWellPlugin({ folder: folder.path, config: configOf(scene) })
  using client = connectSigner(scene.socket)

  for (const claims of ['', 'with.dot', 'with space', 'padded=', '{"sub":"x"}']) {
    assert.match(String(await rejection(client.sign(claims))), /INVALID_ARGUMENT/, claims)
  }
  const noise = Buffer.from([0xff, 0xff, 0xff])
  for (const method of ['Sign', 'FetchKeys', 'Metadata']) {
    assert.match(String(await rejection(client.raw(method, noise))), /INVALID_ARGUMENT/, method)
  }
  assert.match(String(await rejection(client.raw('Nothing', noise))), /UNIMPLEMENTED/)
  assert.match(String(await rejection(client.sign('A'.repeat(300_000)))), /RESOURCE_EXHAUSTED/)
  await client.sign(CLAIMS)
})

test.run()
