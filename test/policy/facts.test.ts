/** Facts on a made-up root, and on the one of this machine. @module */

import { createHash } from 'node:crypto'
import { chmod, readFile, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import process from 'node:process'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { systemClock } from '../../src/base/clock.ts'
import { policyConfig } from '../../src/policy/config.ts'
import { FactKeeper } from '../../src/policy/facts/keeper.ts'
import { type Fact, type Facts, factOf, shownFact, Unknown } from '../../src/policy/facts/value.ts'
import { nodeSpecs } from '../../src/policy/facts/vocabulary.ts'
import { lookAtNode } from '../../src/policy/look.ts'
import { FakeClock } from '../_lib/fake_clock.ts'
import { madeUpRoot, PCR_7, SECURE_BOOT } from '../_lib/policy/made_up_root.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('policy/facts', () => ({}))

const ENCRYPTION = `kind: EncryptionConfiguration
resources:
  - resources: [secrets]
    providers: [{ kms: { name: a } }, { identity: {} }]
  - resources: [configmaps]
    providers:
      - aescbc: { keys: [{ name: k, secret: planted-key-material }] }
`

async function scene() {
  const folder = await tempFolder()
  const root = await madeUpRoot(folder.at('root'))
  const file = folder.at('manifest.yaml')
  await writeFile(file, 'text')
  await chmod(file, 0o640)
  await writeFile(folder.at('encryption.yaml'), ENCRYPTION)
  const config = v.parse(policyConfig, {
    roots: root.roots,
    node: 'cp-1',
    files: { manifest: file, absent: folder.at('absent') },
    encryptionConfig: folder.at('encryption.yaml'),
  })
  return {
    ...root,
    config,
    file,
    folder,
    look: () =>
      lookAtNode(config, {
        clock: systemClock,
        version: '1.2.3',
        sockets: [folder.at('kms.sock')],
      }),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  }
}

function of(facts: Facts, path: string): Fact | undefined {
  return facts.get(path)
}

test('every fact is read from the root, and has the type that rules are checked against', async () => {
  await using one = await scene()

  const facts = await one.look()

  const sha256 = createHash('sha256').update('text').digest('hex')
  const wanted: Readonly<Record<string, unknown>> = {
    'kernel.release': '6.12.8-amd64',
    'kernel.cmdline': 'root=/dev/vda ro lockdown=integrity',
    'kernel.lockdown': 'integrity',
    'kernel.fips': true,
    'boot.id': '7c1e29ab-5a8b-4d4e-9c1f-1d6d3c0a8a11',
    'boot.age': 3601,
    'boot.secure': true,
    'tpm.present': true,
    'tpm.pcrs': { 0: 'a'.repeat(64), 7: PCR_7 },
    'ima.measurements': 1242,
    'ima.violations': 0,
    'lsm.active': ['lockdown', 'capability', 'selinux'],
    'lsm.selinux': 'enforcing',
    'lsm.apparmor': false,
    'time.synchronized': true,
    'time.stepped': 0,
    'node.name': 'cp-1',
    'trousseau.version': '1.2.3',
    'socket.folderOwners': [process.getuid?.()],
    'files.manifest.present': true,
    'files.manifest.sha256': sha256,
    'files.manifest.owner': process.getuid?.(),
    'files.manifest.group': process.getgid?.(),
    'files.manifest.mode': '0640',
    'files.absent.present': false,
    'encryption.providers': ['kms', 'identity', 'aescbc'],
    'encryption.writers': ['kms', 'aescbc'],
  }
  for (const [path, value] of Object.entries(wanted)) assert.equal(of(facts, path), value, path)
  assert.match(String(of(facts, 'node.machine')), /^[0-9a-f]{64}$/)
  assert.match(String(of(facts, 'trousseau.sha256')), /^[0-9a-f]{64}$/)
  assert.ok(Math.abs(Number(of(facts, 'time.now')) - Date.now()) < 600_000)
  assert.instance(of(facts, 'files.absent.sha256'), Unknown)
  assert.not.match(JSON.stringify([...facts]), 'planted-key-material')
  const specs = nodeSpecs(one.config)
  assert.equal(new Set(facts.keys()), new Set(specs.map(({ path }) => path)))
  for (const { path, type } of specs) {
    const fact = of(facts, path)
    if (fact === undefined || fact instanceof Unknown) continue
    assert.equal(factOf(shownFact(fact, type), type, ''), fact, `${path} is ${type}`)
  }
})

const GONE: readonly (readonly [file: string, path: string])[] = [
  ['sys/kernel/security/lockdown', 'kernel.lockdown'],
  ['proc/sys/crypto', 'kernel.fips'],
  [SECURE_BOOT, 'boot.secure'],
  ['sys/class', 'tpm.present'],
  ['sys/class/tpm/tpm0/pcr-sha256', 'tpm.pcrs'],
  ['sys/kernel/security/ima', 'ima.violations'],
  ['sys/fs/selinux', 'lsm.selinux'],
  ['etc/machine-id', 'node.machine'],
  ['run/systemd', 'time.synchronized'],
]

for (const [file, path] of GONE) {
  test(`${path} is unknown, and never false, where ${file} is not there`, async () => {
    await using one = await scene()
    await one.take(file)

    const fact = of(await one.look(), path)

    assert.instance(fact, Unknown)
    assert.match((fact as Unknown).why, /no such file|not there|no PCR/)
  })
}

const STRANGE: readonly (readonly [file: string, content: string | Uint8Array, path: string])[] = [
  ['sys/kernel/security/lockdown', 'nothing chosen', 'kernel.lockdown'],
  ['proc/sys/crypto/fips_enabled', '2', 'kernel.fips'],
  ['proc/uptime', 'soon', 'boot.age'],
  [SECURE_BOOT, new Uint8Array([6, 0, 0, 0]), 'boot.secure'],
  [SECURE_BOOT, new Uint8Array([6, 0, 0, 0, 2]), 'boot.secure'],
  ['sys/class/tpm/tpm0/pcr-sha256/7', 'not hex', 'tpm.pcrs'],
  ['etc/machine-id', 'uninitialized', 'node.machine'],
  ['proc/cmdline', 'x'.repeat(5_000), 'kernel.cmdline'],
  ['proc/sys/kernel/osrelease', 'x'.repeat(129), 'kernel.release'],
  ['sys/kernel/security/lsm', 'x,'.repeat(65), 'lsm.active'],
  ['sys/kernel/security/lsm', 'x'.repeat(129), 'lsm.active'],
]

for (const [file, content, path] of STRANGE) {
  test(`${path} is unknown where ${file} says ${content.length} strange bytes`, async () => {
    await using one = await scene()
    if (path === 'tpm.pcrs') await one.take('sys/class/tpm/tpm0/pcr-sha256')
    await one.put(file, content)

    assert.instance(of(await one.look(), path), Unknown)
  })
}

test('without a TPM the kernel says that there is none, and a TPM of version 1.2 is none', async () => {
  await using one = await scene()
  await one.put('sys/class/tpm/tpm0/tpm_version_major', '1\n')
  assert.is(of(await one.look(), 'tpm.present'), false)

  await one.take('sys/class/tpm/tpm0')
  assert.is(of(await one.look(), 'tpm.present'), false)
})

for (const content of ['resources: []', 'planted: [', 'resources: [{ providers: planted }]']) {
  test(`the providers of what is no EncryptionConfiguration are unknown: ${content}`, async () => {
    await using one = await scene()
    await writeFile(one.folder.at('encryption.yaml'), content)

    const fact = of(await one.look(), 'encryption.providers')

    assert.instance(fact, Unknown)
    assert.not.match((fact as Unknown).why, 'planted')
  })
}

test('on this machine, facts are what its own files say, and what it has not is unknown', async () => {
  const config = v.parse(policyConfig, {})

  const facts = await lookAtNode(config, { clock: systemClock, version: '1', sockets: [] })

  const release = (await readFile('/proc/sys/kernel/osrelease', 'utf8')).trim()
  assert.is(of(facts, 'kernel.release'), release)
  assert.is(of(facts, 'node.name'), hostname())
  assert.ok(Number(of(facts, 'boot.age')) > 0)
  const lockdown = await readFile('/sys/kernel/security/lockdown', 'utf8').catch(() => undefined)
  if (lockdown === undefined) assert.instance(of(facts, 'kernel.lockdown'), Unknown)
  else assert.match(lockdown, `[${of(facts, 'kernel.lockdown')}]`)
})

test('the keeper tells of what changed alone, reads what is used alone, and what is slow seldom', async () => {
  const clock = new FakeClock()
  const reads: string[] = []
  let value = 1
  const source = (path: string, pace: 'often' | 'seldom' | 'once') => ({
    paths: [path],
    pace,
    read: () => {
      reads.push(path)
      return Promise.resolve({ [path]: path === 'a' ? value : 0 })
    },
  })
  const sources = [
    source('a', 'often'),
    source('b', 'seldom'),
    source('c', 'once'),
    source('d', 'often'),
  ]
  const keeper = new FactKeeper(sources, new Set(['a', 'b', 'c']), {
    clock,
    intervalMs: 100,
    seldomMs: 1_000,
  })
  const heard: string[][] = []
  keeper.onChange((changed) => heard.push([...changed]))

  await keeper.start()
  await clock.advance(1_000)
  value = 2
  await clock.advance(100)
  keeper.stop()
  await clock.advance(1_000)

  assert.equal(heard, [['a', 'b', 'c'], ['a']])
  const count = (path: string) => reads.filter((each) => each === path).length
  assert.equal([count('a'), count('b'), count('c'), count('d')], [12, 2, 1, 0])
})

test('a source that hangs makes its own facts unknown and holds up no others', async () => {
  const clock = new FakeClock()
  let hangs = true
  const hanging = {
    paths: ['a'],
    pace: 'often' as const,
    read: () => (hangs ? new Promise<never>(() => undefined) : Promise.resolve({ a: 1 })),
  }
  const well = { paths: ['b'], pace: 'often' as const, read: () => Promise.resolve({ b: 1 }) }
  const keeper = new FactKeeper([hanging, well], undefined, {
    clock,
    intervalMs: 100,
    seldomMs: 100,
  })

  const started = keeper.start()
  await clock.advance(2_000)
  await started
  hangs = false
  await clock.advance(1_000)
  keeper.stop()

  const fact = keeper.facts.get('a')
  assert.instance(fact, Unknown)
  assert.is((fact as Unknown).why, 'no answer in time')
  assert.is(keeper.facts.get('b'), 1)
})

test('what is read once, and takes longer than a reading may, is known as soon as it ends', async () => {
  const clock = new FakeClock()
  const { promise, resolve } = Promise.withResolvers<Readonly<Record<string, number>>>()
  const slow = { paths: ['a'], pace: 'once' as const, read: () => promise }
  const keeper = new FactKeeper([slow], undefined, { clock, intervalMs: 100, seldomMs: 100 })

  const started = keeper.start()
  await clock.advance(2_000)
  await started
  assert.instance(keeper.facts.get('a'), Unknown)
  resolve({ a: 1 })
  await clock.advance(1_000)
  keeper.stop()

  assert.is(keeper.facts.get('a'), 1)
})

test.run()
