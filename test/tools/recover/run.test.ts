/** `trousseau recover …` on what the plugin itself wrapped and a fake etcd holds. */

import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import { statSync } from 'node:fs'
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { request } from 'undici'
import * as assert from 'uvu/assert'
import { runProgram } from '../../../src/cli/program.ts'
import { parseConfig } from '../../../src/config/load.ts'
import { connectKms, type KmsClient } from '../../../src/grpc/client.ts'
import { startPlugin } from '../../../src/plugin/plugin.ts'
import { generateRecoveryKey } from '../../../src/recovery/jwk.ts'
import { writeKeyPair } from '../../../src/recovery/key_file.ts'
import { createKeyFile } from '../../../src/services/local/key_file.ts'
import { memoryIo } from '../../_lib/console/memory_io.ts'
import { startFakeVault } from '../../_lib/services/vault/fake.ts'
import { type TempFolder, tempFolder } from '../../_lib/temp_folder.ts'
import { startFakeEtcd } from '../../_lib/tools/fake_etcd.ts'
import {
  concat,
  field,
  objectMeta,
  secretBytes,
  unknown,
  v1Value,
  v2Value,
} from '../../_lib/tools/stored_objects.ts'
import { suite } from '../../_lib/uvu.ts'

const PLANTED = 'planted-77ab'
const PASSPHRASE = 'correct horse battery staple'

const test = suite('tools/recover/run', () => ({}))

interface World extends AsyncDisposable {
  readonly folder: TempFolder
  readonly objects: Map<string, Uint8Array>
  /** Runs `trousseau recover …` on the objects. */
  run(args: readonly string[], answers?: readonly string[]): Promise<Ran>
}

interface Ran {
  readonly code: number
  readonly out: string
  readonly err: string
}

async function world(): Promise<World> {
  const folder = await tempFolder()
  const objects = new Map<string, Uint8Array>()
  return {
    folder,
    objects,
    async run([command = '', ...args], answers = []) {
      await using etcd = await startFakeEtcd(objects)
      const io = memoryIo({ answers: [...answers] })
      const argv = ['recover', command, '--endpoints', etcd.endpoint, ...args]
      const code = await runProgram(argv, io)
      const ran = { code, out: io.printed(), err: io.complained() }
      if (command !== 'export') assert.not.match(ran.out, PLANTED)
      assert.not.match(ran.err, PLANTED)
      return ran
    },
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  }
}

async function recoveryKey(folder: TempFolder, name: string, passphrase?: string): Promise<void> {
  await writeKeyPair(folder.at(name), await generateRecoveryKey('X25519'), passphrase)
}

function configOf(folder: TempFolder, change: Record<string, unknown>) {
  return {
    apiVersion: 'trousseau.io/v1',
    kind: 'TrousseauConfig',
    socket: { path: folder.at('kms.sock') },
    ...change,
  }
}

async function localProviders(folder: TempFolder, names: readonly string[]) {
  for (const name of names) await createKeyFile(folder.at(name), () => Date.now())
  return names.map((name) => ({ name, type: 'local', keyFile: folder.at(name) }))
}

async function writeConfig(folder: TempFolder, change: Record<string, unknown>): Promise<string> {
  const path = folder.at('config.json')
  await writeFile(path, JSON.stringify(configOf(folder, change)))
  return path
}

async function withPlugin(
  folder: TempFolder,
  change: Record<string, unknown>,
  work: (client: KmsClient) => Promise<void>,
): Promise<void> {
  const config = parseConfig(configOf(folder, change), 'test')
  const plugin = await startPlugin(config, { emit: () => undefined })
  const client = connectKms(folder.at('kms.sock'), { timeoutMs: 5_000 })
  try {
    await plugin.asked
    await work(client)
  } finally {
    client.close()
    await plugin.close()
  }
}

const pathOf = (name: string) => `/registry/secrets/shop/${name}`

function secret(name: string): Uint8Array {
  return secretBytes({ name, namespace: 'shop' }, [['password', `${PLANTED}-${name}`]])
}

/** As an API server with one seed writes them. */
async function writeV2(
  { objects }: World,
  client: KmsClient,
  names: readonly string[],
  change: Partial<Parameters<typeof v2Value>[0]> = {},
): Promise<void> {
  const seed = randomBytes(32)
  const answer = await client.v2.encrypt({ plaintext: seed, uid: 'test' })
  for (const name of names) {
    const etcdKey = pathOf(name)
    const plaintext = secret(name)
    objects.set(etcdKey, await v2Value({ etcdKey, plaintext, seed, ...answer, ...change }))
  }
}

/** As an API server under KMS v1 does, with a key for each. */
async function writeV1(
  { objects }: World,
  client: KmsClient,
  names: readonly string[],
  cbc: boolean,
): Promise<void> {
  for (const name of names) {
    const key = randomBytes(32)
    const { cipher: wrappedKey } = await client.v1.encrypt(key)
    const etcdKey = pathOf(name)
    objects.set(etcdKey, await v1Value({ etcdKey, plaintext: secret(name), key, wrappedKey, cbc }))
  }
}

function verdictOf({ out }: Ran): string | undefined {
  const lines = out.trimEnd().split('\n')
  return lines.filter((line) => !line.startsWith('hint: ')).at(-1)
}

test('a recovery key opens all that was written while it was a recipient, each wrapped key once', async () => {
  await using here = await world()
  const { folder } = here
  await recoveryKey(folder, 'key', PASSPHRASE)
  await recoveryKey(folder, 'other')
  const recovery = { recipients: [folder.at('key.pub.json'), folder.at('other.pub.json')] }
  await withPlugin(
    folder,
    { providers: await localProviders(folder, ['a', 'b']), recovery },
    async (client) => {
      await writeV2(here, client, ['one', 'two', 'three'])
      await writeV2(here, client, ['four'])
      await writeV2(here, client, ['five'], { derived: false })
    },
  )
  await rm(folder.at('a'))
  await rm(folder.at('b'))
  const key = ['--recovery-key', folder.at('key')]

  const verified = await here.run(['verify', ...key], [PASSPHRASE])

  assert.is(verified.code, 0, verified.out + verified.err)
  assert.match(verified.out, /Revision 1234 of http:.*, 3 wrapped keys\n/)
  assert.match(verified.out, /secrets {2}5 of 5 open\n/)
  assert.match(verified.out, /\nOpened by\n {2}5: recovery key [\w-]{43}\n/)
  assert.is(verdictOf(verified), 'All 5 encrypted objects open')
  assert.match(verified.err, /^Passphrase of .*key: $/)
  const wrong = await here.run(['verify', ...key], ['another passphrase'])
  assert.is(wrong.code, 1)
  assert.match(wrong.err, /does not open: the passphrase is another one, or the file is damaged\n$/)
  const json = await here.run(['verify', '--json', '--recovery-key', folder.at('other')])
  assert.is(json.code, 0)
  const { opened, failed, wrappedKeys, revision, problems } = JSON.parse(json.out)
  assert.equal([opened, failed, wrappedKeys, revision, problems], [5, 0, 3, '1234', []])
})

test('a key that is no recipient opens nothing, says who could, and helps beside the right one', async () => {
  await using here = await world()
  const { folder } = here
  for (const name of ['key', 'stranger']) await recoveryKey(folder, name)
  const { kid } = JSON.parse(await readFile(folder.at('key.pub.json'), 'utf8'))
  const recovery = { recipients: [folder.at('key.pub.json')] }
  await withPlugin(folder, { providers: await localProviders(folder, ['a']), recovery }, (client) =>
    writeV2(here, client, ['one', 'two']),
  )
  const stranger = ['--recovery-key', folder.at('stranger')]

  const failed = await here.run(['verify', ...stranger])

  assert.is(failed.code, 3)
  const reason = `is not one of the recipients of this annotation, which are ${kid}`
  for (const name of ['one', 'two']) {
    assert.match(failed.out, new RegExp(`^secrets/shop/${name}: Key [\\w-]{43} ${reason}$`, 'm'))
  }
  assert.match(failed.out, new RegExp(`What is wrong\n {2}2: Key [\\w-]{43} ${reason}\n`))
  assert.is(verdictOf(failed), 'Of 2 encrypted objects 2 do not open')
  const both = await here.run(['verify', ...stranger, '--recovery-key', folder.at('key')])
  assert.is(both.code, 0, both.out)
})

test('the providers of a config open it: any, threshold with one gone, under a former id, KMS v1', async () => {
  await using here = await world()
  const { folder } = here
  const [a, b, c] = await localProviders(folder, ['a', 'b', 'c'])
  const idA = JSON.parse(await readFile(folder.at('a'), 'utf8')).id
  await withPlugin(folder, { providers: [a, b] }, async (client) => {
    await writeV2(here, client, ['any'])
    await writeV1(here, client, ['v1-gcm'], false)
    await writeV1(here, client, ['v1-cbc'], true)
  })
  const protection = { mode: 'threshold', k: 2 }
  await withPlugin(folder, { providers: [a, b, c], protection }, (client) =>
    writeV2(here, client, ['threshold']),
  )
  const renamed = { ...a, id: 'another-id', formerIds: [`local:${idA}`] }

  for (const providers of [
    [a, b, c],
    [a, b],
    [renamed, b],
  ]) {
    const config = await writeConfig(folder, { providers })
    const ran = await here.run(['verify', '--config', config])
    assert.is(ran.code, 0, ran.out + ran.err)
    assert.match(ran.out, /\n {2}4: the config's providers\n/)
  }
  const one = await here.run(['verify', '--config', await writeConfig(folder, { providers: [a] })])
  assert.is(one.code, 3)
  assert.match(
    one.out,
    /^secrets\/shop\/threshold: Only 1 configured providers, of 2 that are needed/m,
  )
  const none = await here.run(['verify', '--config', await writeConfig(folder, { providers: [c] })])
  assert.match(none.out, /^secrets\/shop\/any: No configured provider has an id/m)
  const list = await here.run(['list'])
  assert.match(list.out, /^(\d) {2}secrets\/shop\/threshold$/m)
  assert.match(list.out, /\) KMS v2 "trousseau": any 2 of local:.*, local:.*, local:.*\n/)
  assert.match(list.out, /\) KMS v1 "trousseau": local:.* \(version .*\), or local:/)
})

test('a recovery key and a config together open what neither opens alone', async () => {
  await using here = await world()
  const { folder } = here
  await recoveryKey(folder, 'key')
  const [a, b] = await localProviders(folder, ['a', 'b'])
  const recovery = { recipients: [folder.at('key.pub.json')] }
  await withPlugin(folder, { providers: [a], recovery }, (client) =>
    writeV2(here, client, ['sealed']),
  )
  await withPlugin(folder, { providers: [b] }, async (client) => {
    await writeV2(here, client, ['unsealed'])
    await writeV1(here, client, ['v1'], false)
  })
  const config = await writeConfig(folder, { providers: [b] })
  const key = ['--recovery-key', folder.at('key')]

  const alone = await here.run(['verify', ...key])
  assert.is(alone.code, 3)
  assert.match(
    alone.out,
    /shop\/unsealed: It was written without recovery recipients: only the key service/,
  )
  assert.match(
    alone.out,
    /shop\/v1: It was written with KMS v1, which has no place for recovery recipients/,
  )
  assert.is((await here.run(['verify', '--config', config])).code, 3)

  const both = await here.run(['verify', ...key, '--config', config])

  assert.is(both.code, 0, both.out)
  assert.match(
    both.out,
    /\n {2}1: recovery key .*\n {2}2: the config's providers\n|\n {2}2: the config's.*\n {2}1: recovery/,
  )
})

test('a key service opens what another plugin stored with it, where the config reads that form', async () => {
  await using here = await world()
  const { folder, objects } = here
  await using vault = await startFakeVault()
  const { provider } = await vault.setupApprole(folder.path)
  const key = randomBytes(32)
  const { body } = await request(`${vault.addresses[0]}/v1/transit/encrypt/k8s-etcd`, {
    method: 'POST',
    headers: { 'x-vault-token': vault.rootToken, 'x-vault-request': 'true' },
    body: JSON.stringify({ plaintext: key.toString('base64') }),
  })
  const { data } = (await body.json()) as { data: { ciphertext: string } }
  const wrappedKey = Buffer.from(data.ciphertext)
  const etcdKey = pathOf('old')
  objects.set(etcdKey, await v1Value({ etcdKey, plaintext: secret('old'), key, wrappedKey }))
  const config = (change: object) =>
    writeConfig(folder, {
      providers: [{ name: 'v', type: 'vault', allowInsecureHttp: true, ...provider, ...change }],
    })

  const unread = await here.run(['verify', '--config', await config({})])
  const read = await here.run(['verify', '--config', await config({ reads: ['trousseau-1'] })])

  assert.is(unread.code, 3)
  assert.match(unread.out, /it looks like one of trousseau-1/)
  assert.is(read.code, 0, read.out + read.err)
})

test('what was changed in etcd is named; what still opens is exported, and said to differ [D3]', async () => {
  await using here = await world()
  const { folder, objects } = here
  await recoveryKey(folder, 'key')
  const providers = await localProviders(folder, ['a'])
  const recovery = { recipients: [folder.at('key.pub.json')] }
  await withPlugin(folder, { providers, recovery }, async (client) => {
    await writeV2(here, client, ['good', 'from'])
    await writeV2(here, client, ['renamed'], { keyId: 'tr1-any-of-nobody' })
    const { ciphertext } = await client.v2.encrypt({ plaintext: randomBytes(32), uid: 'x' })
    await writeV2(here, client, ['exchanged'], { ciphertext })
    const foreign = { 'other.example.org': Buffer.from('x') }
    const sealed = await client.v2.encrypt({ plaintext: randomBytes(32), uid: 'x' })
    await writeV2(here, client, ['annotated'], { annotations: foreign })
    await writeV2(here, client, ['sealed-otherwise'], { annotations: sealed.annotations })
  })
  objects.set(pathOf('moved'), objects.get(pathOf('from')) ?? Buffer.alloc(0))
  const config = await writeConfig(folder, { providers })

  const byKey = await here.run(['verify', '--recovery-key', folder.at('key')])
  const byConfig = await here.run(['verify', '--config', config])

  assert.equal([byKey.code, byConfig.code], [3, 3])
  const differing = 'It opens here, but no API server could read it: '
  const lines = (ran: Ran) => ran.out.slice(0, ran.out.indexOf('\n\nRevision')).split('\n').sort()
  const copied = 'it is damaged, or it was copied here from another key of etcd'
  const unfit = `Object does not open with the key that was unwrapped for it: ${copied}`
  const { keyId } = decodedKeyId(lines(byKey))
  assert.equal(lines(byKey), [
    'secrets/shop/annotated: It was written without recovery recipients: only the key service opens it (--config)',
    `secrets/shop/exchanged: ${differing}its recovery annotation belongs to another envelope`,
    `secrets/shop/moved: ${unfit}`,
    `secrets/shop/renamed: ${differing}its key id is stored as tr1-any-of-nobody, and its envelope was made under ${keyId}`,
    `secrets/shop/sealed-otherwise: ${unfit}`,
  ])
  assert.equal(lines(byConfig), [
    `secrets/shop/annotated: ${differing}it has an annotation that Trousseau never makes`,
    `secrets/shop/exchanged: ${unfit}`,
    `secrets/shop/moved: ${unfit}`,
    `secrets/shop/renamed: ${differing}its key id is stored as tr1-any-of-nobody, and its envelope was made under ${keyId}`,
  ])
  const out = folder.at('out.json')
  const exported = await here.run([
    'export',
    '--json',
    '--out',
    out,
    '--recovery-key',
    folder.at('key'),
  ])
  assert.is(exported.code, 3)
  assert.match(exported.err, /shop\/renamed: It opens here, but no API server could read it/)
  assert.match(exported.err, /\ntrousseau: Not exported, and named above: 3 objects\n$/)
  const { items } = JSON.parse(await readFile(out, 'utf8'))
  const names = items.map(({ metadata }: { metadata: { name: string } }) => metadata.name)
  assert.equal(names, ['exchanged', 'from', 'good', 'renamed'])
})

function decodedKeyId(lines: readonly string[]): { keyId: string } {
  const [, keyId = '-'] = /made under (tr1-\S+)/.exec(lines.join('\n')) ?? []
  return { keyId }
}

test('an envelope that is damaged keeps nobody with a recovery key out', async () => {
  await using here = await world()
  const { folder } = here
  await recoveryKey(folder, 'key')
  const providers = await localProviders(folder, ['a'])
  const recovery = { recipients: [folder.at('key.pub.json')] }
  await withPlugin(folder, { providers, recovery }, (client) =>
    writeV2(here, client, ['one'], { ciphertext: Buffer.from([0xf5, 0x01, 0x0a]) }),
  )

  const ran = await here.run(['verify', '--recovery-key', folder.at('key')])

  assert.is(ran.code, 3)
  assert.match(ran.out, /^secrets\/shop\/one: It opens here, but .*: its envelope is damaged\n/)
  assert.is(verdictOf(ran), 'The 1 encrypted object opens, but no API server could read 1')
})

test('what nobody here can open is named with the reason', async () => {
  await using here = await world()
  const { folder, objects } = here
  await recoveryKey(folder, 'key')
  objects.set(pathOf('static'), Buffer.from(`k8s:enc:aescbc:v1:k1:${'x'.repeat(64)}`))
  objects.set(
    pathOf('lost'),
    concat('k8s:enc:kms:v1:trousseau:', Uint8Array.of(0, 0), randomBytes(64)),
  )
  objects.set(pathOf('broken'), Buffer.from('k8s:enc:kms:v2:trousseau:\u0001'))
  objects.set(pathOf('later'), Buffer.from('k8s:enc:kms:v3:trousseau:x'))
  objects.set(pathOf('\u001b[2Jname'), Buffer.from('k8s:enc:kms:v3:trousseau:x'))
  objects.set(pathOf('clear'), secret('clear'))

  const ran = await here.run(['verify', '--recovery-key', folder.at('key')])

  assert.is(ran.code, 3)
  assert.match(
    ran.out,
    /shop\/static: It is encrypted with aescbc under the key "k1" of the API server's own/,
  )
  assert.match(ran.out, /shop\/lost: Its wrapped key is empty/)
  assert.match(
    ran.out,
    /shop\/broken: Its stored value is damaged: it is not an EncryptedObject message/,
  )
  assert.match(
    ran.out,
    /shop\/later: It is encrypted in a form that this version of Trousseau does not know/,
  )
  assert.match(ran.out, /shop\/\?\[2Jname: /)
  assert.is(verdictOf(ran), 'Of 5 encrypted objects 5 do not open')
  const list = await here.run(['list'])
  assert.is(list.code, 0)
  assert.not.match(list.out, 'shop/clear')
  assert.match(list.out, /aescbc key "k1" of the EncryptionConfiguration/)
  const clear = await here.run(['list', '--resources', 'secrets', '--name', 'clear', '--json'])
  assert.equal(JSON.parse(clear.out), {
    revision: '1234',
    objects: [
      {
        resource: 'secrets',
        namespace: 'shop',
        name: 'clear',
        key: pathOf('clear'),
        protection: 1,
      },
    ],
    protections: [{ number: 1, objects: 1, openedBy: 'in the clear' }],
  })
})

test('a drill over nothing that is encrypted proves nothing, and says so', async () => {
  await using here = await world()
  await recoveryKey(here.folder, 'key')
  here.objects.set(pathOf('clear'), secret('clear'))

  const ran = await here.run(['verify', '--recovery-key', here.folder.at('key')])

  assert.is(ran.code, 3)
  assert.is(verdictOf(ran), 'Nothing is encrypted here: nothing was proved')
})

test('export takes what was asked for, to a new file of mode 0600 or to standard output', async () => {
  await using here = await world()
  const { folder, objects } = here
  await recoveryKey(folder, 'key')
  const recovery = { recipients: [folder.at('key.pub.json')] }
  await withPlugin(folder, { providers: await localProviders(folder, ['a']), recovery }, (client) =>
    writeV2(here, client, ['one', 'two']),
  )
  objects.set(
    '/registry/secrets/other/clear',
    secretBytes({ name: 'clear', namespace: 'other' }, []),
  )
  const map = unknown(
    'v1',
    'ConfigMap',
    concat(field(1, objectMeta({ name: 'map', namespace: 'shop' }))),
  )
  objects.set('/registry/configmaps/shop/map', map)
  objects.set(
    '/registry/leases/shop/lease',
    unknown('coordination.k8s.io/v1', 'Lease', field(1, '')),
  )
  const key = ['--recovery-key', folder.at('key')]
  const namesIn = (text: string) =>
    [...text.matchAll(/^ {2}name: "(.*)"$/gm)].map(([, name]) => name)

  const all = await here.run(['export', ...key, '--out', folder.at('all')])
  const piped = await here.run([
    'export',
    ...key,
    '--out',
    '-',
    '--namespace',
    'shop',
    '--name',
    'two',
  ])

  assert.is(all.code, 0, all.err)
  assert.is(all.err, '')
  assert.is(
    all.out,
    `Exported 3 objects of revision 1234 of etcd to ${folder.at('all')} (mode 0600), in the clear\n`,
  )
  assert.is((await stat(folder.at('all'))).mode & 0o777, 0o600)
  assert.equal(namesIn(await readFile(folder.at('all'), 'utf8')), ['clear', 'one', 'two'])
  assert.equal(namesIn(piped.out), ['two'])
  assert.is(piped.err, 'Exported 1 object of revision 1234 of etcd\n')
  assert.match(piped.out, Buffer.from(`${PLANTED}-two`).toString('base64'))
  const several = await here.run([
    'export',
    ...key,
    '--out',
    '-',
    '--resource',
    'configmaps,leases',
  ])
  assert.is(several.code, 3)
  assert.equal(namesIn(several.out), ['map'])
  assert.match(
    several.err,
    /leases\/shop\/lease: Only Secrets, .* not objects of kind Lease in coordination/,
  )
  const absent = await here.run([
    'export',
    ...key,
    '--out',
    '-',
    '--resource',
    'configmaps,widgets.example.org',
  ])
  assert.equal(namesIn(absent.out), ['map'])
  assert.match(absent.err, 'Nothing there is of widgets.example.org')
  const short = await here.run(['list', '--resource', 'configmap'])
  assert.is(short.code, 2)
  assert.match(short.err, 'configmap: the resource is called configmaps')
  const grouped = await here.run(['list', '--resource', 'leases.coordination.k8s.io'])
  assert.match(grouped.out, 'leases/shop/lease')
})

test('export leaves no file behind where it came to nothing, and touches none that is there', async () => {
  await using here = await world()
  const { folder } = here
  for (const name of ['key', 'stranger']) await recoveryKey(folder, name)
  const recovery = { recipients: [folder.at('key.pub.json')] }
  await withPlugin(folder, { providers: await localProviders(folder, ['a']), recovery }, (client) =>
    writeV2(here, client, ['one']),
  )
  await writeFile(folder.at('kept'), 'kept')
  const before = (await readdir(folder.path)).sort()
  const run = (...args: readonly string[]) => here.run(['export', ...args])

  const nothing = await run(
    '--recovery-key',
    folder.at('key'),
    '--out',
    folder.at('out'),
    '--name',
    'x',
  )
  const wrong = await run('--recovery-key', folder.at('stranger'), '--out', folder.at('out'))
  const taken = await run('--recovery-key', folder.at('key'), '--out', folder.at('kept'))
  const nowhere = await run('--recovery-key', folder.at('key'), '--out', folder.at('no/out'))
  const keyless = await run('--out', folder.at('out'))

  assert.equal(
    [nothing, wrong, taken, nowhere, keyless].map(({ code }) => code),
    [1, 3, 1, 1, 2],
  )
  assert.match(nothing.err, /Nothing there is of that resource, namespace and name/)
  assert.match(wrong.err, /is not one of the recipients/)
  assert.match(taken.err, /is there already, and nothing is overwritten\n$/)
  assert.match(nowhere.err, /cannot be written: there is no such file or folder\n$/)
  assert.match(keyless.err, /^trousseau: Option --recovery-key or --config is needed[^\n]*\n$/)
  assert.equal((await readdir(folder.path)).sort(), before)
  assert.is(await readFile(folder.at('kept'), 'utf8'), 'kept')
})

test('a signal in the middle of an export leaves no half of it behind', async () => {
  await using here = await world()
  const { folder, objects } = here
  await recoveryKey(folder, 'key')
  objects.set(pathOf('a'), secret('a'))
  objects.set(pathOf('b'), Buffer.from('k8s:enc:kms:v3:trousseau:x'))
  objects.set(pathOf('c'), secret('c'))
  await using etcd = await startFakeEtcd(objects)
  const io = memoryIo()
  let half = 0
  const interrupted = {
    ...io,
    err() {
      half = statSync(folder.at('out'), { throwIfNoEntry: false })?.mode ?? 0
      io.halt()
    },
  }
  const key = ['--recovery-key', folder.at('key'), '--out', folder.at('out')]

  const args = ['recover', 'export', '--endpoints', etcd.endpoint, ...key]
  const code = await runProgram(args, interrupted)

  assert.is(code, 130)
  assert.is(half & 0o777, 0o600, 'it was there')
  assert.not.ok((await readdir(folder.path)).includes('out'))
})

test('a key service that is gone is named, once for each wrapped key', async () => {
  await using here = await world()
  const { folder } = here
  const vault = await startFakeVault()
  const { provider } = await vault.setupApprole(folder.path)
  const providers = [{ name: 'v', type: 'vault', allowInsecureHttp: true, ...provider }]
  const settled = { providers, rotation: { activationDelay: '0s' } }
  await withPlugin(folder, settled, (client) => writeV2(here, client, ['one', 'two']))
  const config = await writeConfig(folder, settled)
  const well = await here.run(['verify', '--config', config])
  assert.is(well.code, 0, well.out + well.err)
  await vault[Symbol.asyncDispose]()

  const gone = await here.run(['verify', '--config', config])

  assert.is(gone.code, 3)
  assert.match(gone.out, /shop\/one: .* connection refused, so nothing listens there/)
  assert.match(gone.out, /, 1 wrapped key\n/)
})

test.run()
