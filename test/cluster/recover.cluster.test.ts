/**
 * The disaster that recovery keys are for: a real cluster writes through the plugin with
 * two key services, then all that is left is a snapshot of etcd and a recovery key.
 */

import { Buffer } from 'node:buffer'
import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { readFile, rm, stat, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import process from 'node:process'
import { promisify } from 'node:util'
import * as assert from 'uvu/assert'
import { createKeyFile } from '../../src/services/local/key_file.ts'
import {
  type ApiServer,
  encryptionBy,
  encryptionOf,
  startApiServer,
} from '../_lib/cluster/api_server.ts'
import { kubernetesBinaries } from '../_lib/cluster/binaries.ts'
import { type Etcd, startEtcd } from '../_lib/cluster/etcd.ts'
import type { KubeApi } from '../_lib/cluster/kube_api.ts'
import { defineWidgets } from '../_lib/cluster/widgets.ts'
import { figure } from '../_lib/figure.ts'
import { bundleCommand, startPluginProcess } from '../_lib/plugin/process.ts'
import { startOpenBao } from '../_lib/services/vault/openbao.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'

const PLANTED = 'planted-9c3e77aa-plaintext'
const PASSPHRASE = 'correct horse battery staple'
const MANY = 40

const test = suite('cluster/recover', () => ({}), 400_000)

interface Ran {
  readonly code: number
  readonly out: string
  readonly err: string
}

/** On Deno the bundle, whatever the other tests run, without any permission for the network. */
function trousseau(folder: TempFolder, args: readonly string[], runtime: 'node' | 'deno' = 'node') {
  const [command, all] = bundleCommand({ runtime, folder: folder.path }, args)
  const offline = all.filter((each) => !each.startsWith('--allow-net'))
  return new Promise<Ran>((resolve) => {
    const env = { PATH: process.env['PATH'], HOME: process.env['HOME'] }
    execFile(command, offline, { env, maxBuffer: 2 ** 26 }, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), out, err })
    })
  })
}

async function makeRecoveryKeys(folder: TempFolder) {
  await writeFile(folder.at('passphrase'), PASSPHRASE, { mode: 0o600 })
  for (const args of [
    [folder.at('one'), '--passphrase-file', folder.at('passphrase')],
    [folder.at('two'), '--no-passphrase', '--curve', 'X25519'],
    [folder.at('stranger'), '--no-passphrase'],
  ]) {
    assert.is((await trousseau(folder, ['recovery-key', 'create', ...args])).code, 0)
  }
}

const WIDGETS = '/apis/example.org/v1/namespaces/shop/widgets'

async function fill(api: KubeApi): Promise<void> {
  await api.must('POST', '/api/v1/namespaces', namespace('shop'))
  await defineWidgets(api, WIDGETS)
  for (let at = 0; at < MANY; at += 1) {
    await api.createSecret(`secret-${at}`, { password: `${PLANTED}-${at}` }, 'shop')
  }
  for (const object of [TLS, LOCKED]) {
    await api.must('POST', '/api/v1/namespaces/shop/secrets', object)
  }
  await api.must('POST', '/api/v1/namespaces/shop/configmaps', CONFIG_MAP)
  await api.must('POST', WIDGETS, WIDGET)
}

/** Everything of an object that a manifest holds. */
function kept({ metadata, ...rest }: KubeObject): object {
  const { name, namespace: inside, labels, annotations = {} } = metadata
  const { [LAST_APPLIED]: _, ...own } = annotations
  const shown = Object.keys(own).length === 0 ? undefined : own
  return { ...rest, metadata: { name, namespace: inside, labels, annotations: shown } }
}

/** What kubectl notes when it applies. */
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration'

interface KubeObject {
  readonly metadata: {
    readonly name: string
    readonly namespace: string
    readonly labels?: Record<string, string>
    readonly annotations?: Record<string, string>
  }
}

const LISTS = [
  '/api/v1/namespaces/shop/secrets',
  '/api/v1/namespaces/shop/configmaps?fieldSelector=metadata.name!=kube-root-ca.crt',
  WIDGETS,
]

async function contents(api: KubeApi): Promise<string> {
  const all: object[] = []
  for (const path of LISTS) {
    const { items } = await api.must('GET', path)
    for (const item of items) all.push(kept(item))
  }
  return JSON.stringify(all, null, 1)
}

interface Written {
  readonly before: string
  /** As the API server left it, and with objects that somebody changed. */
  readonly snapshot: string
  readonly tampered: string
}

/** Everything that ran is stopped when this settles, and the keys are gone. */
async function clusterThatWasLost(folder: TempFolder): Promise<Written> {
  await using etcd = await startEtcd(folder.path)
  let before = ''
  {
    await using bao = await startOpenBao()
    const transit = await bao.setupTransit({ folder: folder.path })
    await createKeyFile(folder.at('keys'), () => Date.now())
    await using plugin = await startPluginProcess({
      folder: folder.path,
      config: {
        providers: [
          { name: 'bao', type: 'vault', allowInsecureHttp: true, ...transit.provider },
          { name: 'here', type: 'local', keyFile: folder.at('keys') },
        ],
        recovery: { recipients: [folder.at('one.pub.json'), folder.at('two.pub.json')] },
        rotation: { activationDelay: '0s' },
      },
    })
    const resources = ['secrets', 'configmaps', 'widgets.example.org']
    const encryption = encryptionOf(plugin.socketPath, { resources })
    await using server = await startApiServer({ folder: folder.path, etcd, encryption })
    await fill(server.api)
    before = await contents(server.api)
    assert.not.ok(plugin.output().includes(PLANTED))
  }
  await rm(folder.at('keys'))
  const snapshot = folder.at('snapshot.db')
  await etcd.snapshot(snapshot)
  await tamper(etcd)
  const tampered = folder.at('tampered.db')
  await etcd.snapshot(tampered)
  return { before, snapshot, tampered }
}

async function tamper(etcd: Etcd): Promise<void> {
  const stored = await etcd.read('/registry/secrets/shop/')
  const valueAt = (name: string) => {
    const value = stored.get(`/registry/secrets/shop/${name}`)
    assert.ok(value, name)
    return value
  }
  await etcd.put('/registry/secrets/shop/moved', valueAt('secret-0'))
  const flipped = Buffer.from(valueAt('secret-1'))
  flipped[60] = (flipped[60] ?? 0) ^ 1
  await etcd.put('/registry/secrets/shop/secret-1', flipped)
  const renamed = Buffer.from(
    valueAt('secret-2').toString('latin1').replace('tr1-any-', 'tr1-ANY-'),
    'latin1',
  )
  await etcd.put('/registry/secrets/shop/secret-2', renamed)
}

test('a snapshot and a recovery key bring everything back into another cluster, offline', async () => {
  await using folder = await tempFolder()
  await makeRecoveryKeys(folder)
  const { before, snapshot, tampered } = await clusterThatWasLost(folder)
  const one = ['--recovery-key', folder.at('one'), '--passphrase-file', folder.at('passphrase')]
  const two = ['--recovery-key', folder.at('two')]
  const ran: Ran[] = []
  const run = async (args: readonly string[], runtime: 'node' | 'deno' = 'node') => {
    const result = await trousseau(folder, ['recover', ...args], runtime)
    ran.push(result)
    return result
  }

  const listed = await run(['list', '--snapshot', snapshot])
  assert.is(listed.code, 0, listed.err)
  assert.match(listed.out, /^1 {2}secrets\/shop\/secret-0$/m)
  assert.match(listed.out, /^1 {2}widgets\.example\.org\/shop\/one$/m)
  assert.match(
    listed.out,
    / KMS v2 "trousseau": local:.* or vault:.*, or recovery key [\w-]{43}, or recovery key [\w-]{43}\n/,
  )

  const start = performance.now()
  for (const [key, runtime] of [
    [one, 'node'],
    [two, 'node'],
    [two, 'deno'],
  ] as const) {
    const verified = await run(['verify', '--snapshot', snapshot, ...key], runtime)
    assert.is(verified.code, 0, verified.out + verified.err)
    assert.match(verified.out, new RegExp(`secrets +${MANY + 2} of ${MANY + 2} open`))
    assert.match(verified.out, /\nAll \d+ encrypted objects open\n$/)
  }
  figure(`recover drill of ${MANY + 4} objects: ${Math.round((performance.now() - start) / 3)} ms`)

  const wrong = await run([
    'verify',
    '--snapshot',
    snapshot,
    '--recovery-key',
    folder.at('stranger'),
  ])
  assert.is(wrong.code, 3)
  assert.match(
    wrong.out,
    /Key [\w-]{43} is not one of the recipients of this annotation, which are/,
  )

  const found = await run(['verify', '--snapshot', tampered, '--json', ...two])
  assert.is(found.code, 3)
  const { problems, failed, differing } = JSON.parse(found.out)
  assert.equal([failed, differing], [2, 1])
  assert.equal(
    problems.map(({ name, code }: { name: string; code: string }) => `${name} ${code}`).sort(),
    [
      'secrets/shop/moved ciphertext_invalid',
      'secrets/shop/secret-1 ciphertext_invalid',
      'secrets/shop/secret-2 differs',
    ],
  )
  for (const { out, err } of ran) assert.not.ok(`${out}${err}`.includes(PLANTED))
  for (const { out, err } of ran) assert.not.ok(`${out}${err}`.includes(btoa(PLANTED).slice(0, -3)))

  await restored(folder, before, (out, json) =>
    run([
      'export',
      '--snapshot',
      snapshot,
      ...one,
      '--resource',
      'secrets,configmaps,widgets.example.org',
      '--namespace',
      'shop',
      '--out',
      out,
      ...(json ? ['--json'] : []),
    ]),
  )

  const partly = await run(['export', '--snapshot', tampered, ...two, '--out', folder.at('partly')])
  assert.is(partly.code, 3)
  assert.match(partly.err, /secrets\/shop\/moved: Object does not open/)
  assert.match(
    partly.err,
    /secrets\/shop\/secret-2: It opens here, but no API server could read it/,
  )
  assert.match(partly.err, /\n?trousseau: Not exported, and named above: 2 objects\n$/)
  const leases = await run([
    'export',
    '--snapshot',
    snapshot,
    ...two,
    '--resource',
    'namespaces',
    '--out',
    folder.at('no'),
  ])
  assert.is(leases.code, 3)
  assert.match(
    leases.err,
    /Only Secrets, ConfigMaps and custom resources can be exported, not objects of kind Namespace in v1/,
  )
  await assertAbsent(folder.at('no'))
})

test('a running etcd and the key service that is left open what KMS v1 and v2 wrote', async () => {
  await using folder = await tempFolder()
  await using etcd = await startEtcd(folder.path)
  const providers = ['a', 'b', 'c'].map((name) => ({
    name,
    type: 'local',
    keyFile: folder.at(name),
  }))
  for (const { keyFile } of providers) await createKeyFile(keyFile, () => Date.now())
  {
    const protection = { mode: 'threshold', k: 2 }
    const config = { providers, protection, rotation: { activationDelay: '0s' } }
    await using plugin = await startPluginProcess({ folder: folder.path, config })
    const kms = (apiVersion: string) => {
      const endpoint = `unix://${plugin.socketPath}`
      return { kms: { apiVersion, name: `trousseau-${apiVersion}`, endpoint, timeout: '3s' } }
    }
    for (const [apiVersion, others] of [
      ['v1', []],
      ['v2', [kms('v1')]],
    ] as const) {
      const encryption = encryptionBy([kms(apiVersion), ...others, { identity: {} }])
      await using server = await startApiServer({
        folder: folder.path,
        name: apiVersion,
        etcd,
        encryption,
        flags: ['--feature-gates=KMSv1=true'],
      })
      for (let at = 0; at < MANY; at += 1) {
        await server.api.createSecret(`${apiVersion}-${at}`, { password: `${PLANTED}-${at}` })
      }
    }
  }
  await rm(folder.at('b'))
  const left = { socket: { path: folder.at('kms.sock') }, providers: [providers[0], providers[2]] }
  const head = { apiVersion: 'trousseau.io/v1', kind: 'TrousseauConfig' }
  await writeFile(folder.at('left.json'), JSON.stringify({ ...head, ...left }))
  const from = ['--endpoints', etcd.endpoint, '--config', folder.at('left.json')]

  const verified = await trousseau(folder, ['recover', 'drill', ...from])
  const exported = await trousseau(folder, ['recover', 'export', '--json', '--out', '-', ...from])

  assert.is(verified.code, 0, verified.out + verified.err)
  assert.match(verified.out, new RegExp(`secrets +${2 * MANY} of ${2 * MANY} open`))
  assert.is(exported.code, 0, exported.err)
  const passwords = JSON.parse(exported.out).items.map(
    ({ metadata, data }: { metadata: { name: string }; data: { password: string } }) => [
      metadata.name,
      atob(data.password),
    ],
  )
  const wanted = ['v1', 'v2'].flatMap((api) =>
    Array.from({ length: MANY }, (_, at) => [`${api}-${at}`, `${PLANTED}-${at}`]),
  )
  assert.equal(new Map(passwords), new Map(wanted as [string, string][]))
})

async function assertAbsent(path: string): Promise<void> {
  const there = await stat(path).then(
    () => true,
    () => false,
  )
  assert.is(there, false, path)
}

/** Exports, applies with the real kubectl to a new cluster, and compares what is there then. */
async function restored(
  folder: TempFolder,
  before: string,
  exported: (out: string, json: boolean) => Promise<Ran>,
): Promise<void> {
  const files = [folder.at('all.yaml'), folder.at('all.json')]
  for (const file of files) {
    const json = file.endsWith('json')
    const { code, out, err } = await exported(file, json)
    assert.is(code, 0, err)
    if (json) {
      const told = JSON.parse(out)
      assert.equal([told.file, told.notExported, told.problems], [file, 0, []])
      assert.ok(told.exported > 0)
    } else {
      assert.match(
        out,
        /^Exported \d+ objects? of revision \d+ of etcd to .* \(mode 0600\), in the clear\n$/,
      )
    }
    assert.is(err, '')
    assert.is((await stat(file)).mode & 0o777, 0o600)
    const digest = await digestOf(file)
    const again = await exported(file, json)
    assert.is(again.code, 1)
    assert.match(again.err, /is there already, and nothing is overwritten\n$/)
    assert.is(await digestOf(file), digest)
  }
  const piped = await exported('-', false)
  assert.is(piped.out, await readFile(files[0] ?? '', 'utf8'))
  await using fresh = await tempFolder()
  await using etcd = await startEtcd(fresh.path)
  await using server = await startApiServer({ folder: fresh.path, etcd })
  await createNamespaces(server, files[0] ?? '')
  await defineWidgets(server.api)
  for (const file of files) {
    await appliedFrom(server, file)
    assert.is(await contents(server.api), before)
    if (file === files[0]) await server.kubectl('delete', '-f', file)
  }
}

/** By the command of docs/recovery.md. */
async function createNamespaces(server: ApiServer, file: string): Promise<void> {
  const page = await readFile(new URL('../../docs/recovery.md', import.meta.url), 'utf8')
  const [, command] = /^ {4}(grep .*kubectl create namespace)$/m.exec(page) ?? []
  assert.ok(command, 'the page has the command')
  const { kubectl } = await kubernetesBinaries()
  const env = { PATH: `${dirname(kubectl)}:${process.env['PATH']}`, KUBECONFIG: server.kubeconfig }
  const line = command.replace('recovered.yaml', file)
  const { stdout } = await promisify(execFile)('sh', ['-c', line], { env })
  assert.is(stdout, 'namespace/shop created\n')
}

async function appliedFrom(server: ApiServer, file: string): Promise<void> {
  const said = await server.kubectl('apply', '-f', file)
  assert.is(said.trim().split('\n').length, MANY + 4, said)
}

async function digestOf(file: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(file))
    .digest('hex')
}

function namespace(name: string): object {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name } }
}

const BINARY = randomBytes(600)
const TLS = {
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: {
    name: 'tls',
    namespace: 'shop',
    labels: { app: 'shop', on: 'yes' },
    annotations: { 'example.org/note': 'two\nlines: "quoted" # and \u001b[31m more', empty: '' },
    finalizers: ['example.org/keep'],
  },
  type: 'kubernetes.io/tls',
  data: { 'tls.crt': BINARY.toString('base64'), 'tls.key': btoa(PLANTED), __PROTO__: '' },
}
const LOCKED = {
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name: 'locked', namespace: 'shop' },
  immutable: true,
  data: JSON.parse(`{"__proto__":"${btoa(PLANTED)}"}`),
}
const CONFIG_MAP = {
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'one', namespace: 'shop' },
  data: { 'app.conf': `a = "${PLANTED}"\n\tüñ😀\n`, number: '0123' },
  binaryData: { blob: BINARY.toString('base64') },
}
const WIDGET = {
  apiVersion: 'example.org/v1',
  kind: 'Widget',
  metadata: { name: 'one', namespace: 'shop', labels: { app: 'shop' } },
  spec: {
    text: PLANTED,
    nested: { list: [1, true, null, 'yes', { a: [] }], no: 'off' },
    at: '2026-01-01',
  },
}

test.run()
