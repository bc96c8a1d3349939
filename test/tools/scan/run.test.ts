import { Buffer } from 'node:buffer'
import { copyFile, mkdir, readFile, truncate, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { create, toBinary } from '@bufbuild/protobuf'
import * as assert from 'uvu/assert'
import { keyIdHash } from '../../../src/base/key_id_hash.ts'
import { runProgram } from '../../../src/cli/program.ts'
import { progressLine } from '../../../src/console/progress.ts'
import { EncryptedObjectSchema } from '../../../src/tools/etcd/encrypted_object_pb.ts'
import { findEtcd } from '../../../src/tools/etcd/find.ts'
import { proveMigrated } from '../../../src/tools/migrate/proof.ts'
import { scan as scanCommand } from '../../../src/tools/scan/run.ts'
import { memoryIo } from '../../_lib/console/memory_io.ts'
import { FAKE_KEY_ID, startFakePlugin } from '../../_lib/grpc/fake_plugin.ts'
import { makeAuthority, makeCertificate } from '../../_lib/remote/certificates.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { historyOf } from '../../_lib/tools/etcd_history.ts'
import { startFakeEtcd } from '../../_lib/tools/fake_etcd.ts'
import { rejection, suite } from '../../_lib/uvu.ts'

const test = suite('tools/scan/run', () => ({}))

const SECRET = 'hunter2-in-the-clear'
const CIPHERTEXT = 'vault:v3:ciphertext-of-the-plugin'
const PLAIN = Buffer.from(`k8s\0${SECRET}`)

function v2(keyId: string, data = 90): Buffer {
  const object = create(EncryptedObjectSchema, {
    encryptedData: Buffer.alloc(data, 'payload'),
    keyID: keyId,
    encryptedDEKSource: Buffer.from(CIPHERTEXT),
    encryptedDEKSourceType: 1,
  })
  return Buffer.concat([Buffer.from('k8s:enc:kms:v2:tr:'), toBinary(EncryptedObjectSchema, object)])
}

const GOOD = new Map([
  ['/registry/secrets/default/a', v2(FAKE_KEY_ID)],
  ['/registry/secrets/default/b', v2(FAKE_KEY_ID)],
  ['/registry/pods/default/a', PLAIN],
  ['/registry/ranges/serviceips', PLAIN],
])
const BAD = new Map([
  ...GOOD,
  ['/registry/secrets/default/old', v2('before')],
  ['/registry/secrets/default/plain', PLAIN],
  ['/registry/secrets/default/cut\u001b[2J', v2(FAKE_KEY_ID, 20)],
  [
    '/registry/secrets/default/lost',
    Buffer.concat([Buffer.from('k8s:enc:kms:v1:old:\0\0'), Buffer.alloc(40)]),
  ],
])

async function scan(objects: ReadonlyMap<string, Uint8Array>, args: readonly string[] = []) {
  await using etcd = await startFakeEtcd(objects)
  const io = memoryIo()
  const code = await runProgram(['scan', '--endpoints', etcd.endpoint, ...args], io)
  for (const text of [SECRET, CIPHERTEXT, 'payload', '\u001b']) {
    assert.not(io.printed().includes(text), text)
  }
  return { code, printed: io.printed(), complained: io.complained() }
}

test('scan exits with 0 where all is as wanted, and says that old backups need their old keys', async () => {
  const { code, printed } = await scan(GOOD, ['--key-id', FAKE_KEY_ID])
  assert.is(code, 0)
  assert.match(printed, /^http:\/\/127\.0\.0\.1:\d+, revision 1234: 4 objects$/m)
  assert.match(printed, /^ok +secrets +2 +1 +KMS v2, tr, key id 1$/m)
  assert.match(printed, `${FAKE_KEY_ID}  (wanted)`)
  assert.match(printed, keyIdHash(FAKE_KEY_ID))
  assert.match(printed, 'Not encrypted, as all of their kind: pods 1.')
  assert.match(printed, 'Snapshots and backups made before may still need old keys.')
})

test('scan exits with 3 and says of each fault what to do, and at which keys', async () => {
  const { code, printed } = await scan(BAD, ['--key-id', FAKE_KEY_ID])
  assert.is(code, 3)
  for (const line of [
    /^stale +secrets +1 /m,
    /^plaintext +secrets +1 +nothing$/m,
    /^damaged +secrets +1 +tr: its data is shorter than nonce and tag$/m,
    /^empty-key +secrets +1 +KMS v1, old, and no key$/m,
    /^1 object is stale: .* Rewrite with "trousseau migrate"\.$/m,
    /^1 object is in the clear: .*:\n {4}\/registry\/secrets\/default\/plain$/m,
    /^1 object is damaged: .*:\n {4}\/registry\/secrets\/default\/cut\?\[2J$/m,
    /^1 object is lost: .*:\n {4}\/registry\/secrets\/default\/lost$/m,
  ]) {
    assert.match(printed, line)
  }
})

test('scan asks a plugin, or all plugins of a config, which key id is wanted', async () => {
  await using folder = await tempFolder()
  await using plugin = await startFakePlugin({})
  const config = folder.at('config.yaml')
  const { path: socketPath } = plugin
  const provider = { name: 'here', type: 'local', keyFile: folder.at('keys') }
  const content = {
    apiVersion: 'trousseau.io/v1',
    kind: 'TrousseauConfig',
    socket: { path: socketPath },
  }
  await writeFile(config, JSON.stringify({ ...content, providers: [provider] }))
  for (const args of [
    ['--socket', socketPath],
    ['--config', config],
  ]) {
    assert.is((await scan(GOOD, args)).code, 0)
    assert.is((await scan(BAD, args)).code, 3)
  }
  const none = await scan(GOOD, ['--socket', folder.at('none.sock')])
  assert.is(none.code, 1)
  assert.match(none.complained, /there is no such file/)
})

test('scan calls nothing stale that nobody asked about, and says so', async () => {
  const { code, printed } = await scan(new Map([['/registry/secrets/a/b', v2('x')]]))
  assert.is(code, 0)
  assert.match(printed, 'Nothing is called stale')
})

test('scan --resources makes a finding of what is in the clear', async () => {
  for (const resources of ['pods', 'configmaps,pods', '*']) {
    assert.is((await scan(GOOD, ['--resources', resources])).code, 3, resources)
  }
  assert.is((await scan(GOOD, ['--resources', 'configmaps'])).code, 0)
})

test('scan --resources knows a resource by its name with the group, and by a wildcard of groups', async () => {
  const objects = new Map([
    ...GOOD,
    ['/registry/deployments/default/a', PLAIN],
    ['/registry/example.org/widgets/default/a', PLAIN],
  ])
  for (const name of ['deployments.apps', 'deployments', '*.apps', '*.example.org', '*.*', '*.']) {
    assert.is((await scan(objects, ['--resources', name])).code, 3, name)
  }
  assert.is((await scan(objects, ['--resources', '*.batch'])).code, 0)
})

test('scan --resources says what a singular or short name is called', async () => {
  for (const [name, meant] of [
    ['configmap', 'configmaps'],
    ['cm', 'configmaps'],
    ['Secret', 'secrets'],
    ['deploy', 'deployments.apps'],
  ] as const) {
    const { code, complained } = await scan(GOOD, ['--resources', name])
    assert.is(code, 2, name)
    assert.match(complained, `${name}: the resource is called ${meant}`)
  }
})

test('scan --resources with a name that nothing has is a finding, and nothing is called as wanted', async () => {
  for (const name of ['nonsense', 'widgets.example.org', '*.example.org']) {
    const args = ['--key-id', FAKE_KEY_ID, '--resources', `secrets,${name}`]
    const { code, printed } = await scan(GOOD, args)
    assert.is(code, 3, name)
    assert.match(printed, `Nothing here is called ${name}, and no custom resource is defined by`)
    assert.not.match(printed, 'as wanted')
    const { ok, unknown } = JSON.parse((await scan(GOOD, [...args, '--json'])).printed)
    assert.equal([ok, unknown], [false, [name]])
  }
})

test('scan --resources with a resource of which there are no objects says so, and finds nothing wrong', async () => {
  const definition = '/registry/apiextensions.k8s.io/customresourcedefinitions/widgets.example.org'
  const objects = new Map([...GOOD, [definition, PLAIN]])
  const names = 'configmaps,widgets.example.org'
  const { code, printed } = await scan(objects, ['--key-id', FAKE_KEY_ID, '--resources', names])
  assert.is(code, 0)
  assert.match(printed, 'There are no objects of configmaps, widgets.example.org.')
  assert.match(printed, 'Every object that is encrypted is as wanted.')
})

test('the proof of a migration looks at a resource under the name that etcd has for it', async () => {
  await using etcd = await startFakeEtcd(
    new Map([...GOOD, ['/registry/deployments/default/a', PLAIN]]),
  )
  const flags = { endpoints: [etcd.endpoint], prefix: '/registry' }
  const resources = [{ group: 'apps', version: 'v1', name: 'deployments' }]
  const proof = await proveMigrated(flags, resources, undefined, memoryIo())
  assert.is(proof?.clean, false)
  assert.equal(
    proof?.left.map(({ resource, verdict }) => [resource, verdict]),
    [['deployments', 'plaintext']],
  )
})

test('scan begins with the answer to whether the cluster is encrypted', async () => {
  const pods = new Map([['/registry/pods/default/a', PLAIN]])
  const clear = new Map([['/registry/secrets/default/a', PLAIN]])
  const file = Buffer.concat([Buffer.from('k8s:enc:aescbc:v1:key1:'), Buffer.alloc(64, 7)])
  const onNode = new Map([['/registry/secrets/default/a', file]])
  for (const [objects, answer] of [
    [GOOD, 'Encrypted: 2 secrets.'],
    [BAD, 'NOT all encrypted: in the clear is 1 of 6 secrets.'],
    [clear, 'NOT encrypted: in the clear is 1 of 1 secret.'],
    [pods, 'There are no Secrets, so nothing can be said of them.'],
    [onNode, 'Encrypted: 1 secret, 1 secret with a key that lies in a file of the node.'],
  ] as const) {
    const { printed } = await scan(objects)
    assert.is(printed.split('\n')[0], answer)
    assert.is(JSON.parse((await scan(objects, ['--json'])).printed).answer, answer)
  }
  const { printed } = await scan(GOOD, ['--key-id', 'another'])
  assert.match(printed, /^Encrypted: 2 secrets; what is wrong stands below\.\n/)
})

/** What kubeadm, RKE2 and k3s have on a node, with an etcd of ours behind it. */
async function nodeWith(
  files: (pki: string, endpoint: string) => Readonly<Record<string, string>>,
): Promise<{ root: string; endpoint: string; [Symbol.asyncDispose](): Promise<void> }> {
  const folder = await tempFolder()
  const root = await makeAuthority(folder.path, 'Root CA')
  const server = await makeCertificate(folder.path, 'server', root)
  const tls = { cert: await readFile(server.cert), key: await readFile(server.key) }
  const etcd = await startFakeEtcd(GOOD, tls)
  for (const [path, from] of Object.entries(files(folder.path, etcd.endpoint))) {
    const file = folder.at(`node${path}`)
    await mkdir(dirname(file), { recursive: true })
    await (from.includes('\n') ? writeFile(file, from) : copyFile(from, file))
  }
  return {
    root: folder.at('node'),
    endpoint: etcd.endpoint,
    async [Symbol.asyncDispose]() {
      await etcd[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

const manifestOf = (name: string, flags: Readonly<Record<string, string>>, mounted: string) =>
  `${JSON.stringify({
    kind: 'Pod',
    spec: {
      containers: [
        {
          name,
          command: [name, ...Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`)],
          volumeMounts: [{ name: 'pki', mountPath: '/in/pod' }],
        },
      ],
      volumes: [{ name: 'pki', hostPath: { path: mounted } }],
    },
  })}\n`
const certificates = (pki: string, folder: string) => ({
  [`${folder}/ca.crt`]: join(pki, 'Root CA.pem'),
  [`${folder}/client.crt`]: join(pki, 'server.pem'),
  [`${folder}/client.key`]: join(pki, 'server-key.pem'),
})
const FLAGS = {
  'etcd-cafile': 'ca.crt',
  'etcd-certfile': 'client.crt',
  'etcd-keyfile': 'client.key',
}
const inPod = (flags: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.entries(flags).map(([flag, name]) => [flag, `/in/pod/${name}`]))
const KUBEADM = '/etc/kubernetes/manifests'
const RKE2 = '/var/lib/rancher/rke2/agent/pod-manifests'
const MEMBER_FLAGS = {
  'trusted-ca-file': 'ca.crt',
  'cert-file': 'client.crt',
  'key-file': 'client.key',
}

for (const [what, path, name, flags, endpoints] of [
  [
    "kubeadm's API server",
    `${KUBEADM}/kube-apiserver.yaml`,
    'kube-apiserver',
    FLAGS,
    'etcd-servers',
  ],
  ["RKE2's API server", `${RKE2}/kube-apiserver.yaml`, 'kube-apiserver', FLAGS, 'etcd-servers'],
  ["kubeadm's etcd", `${KUBEADM}/etcd.yaml`, 'etcd', MEMBER_FLAGS, 'advertise-client-urls'],
] as const) {
  test(`scan without options finds etcd and its certificates by the manifest of ${what}`, async () => {
    await using node = await nodeWith((pki, endpoint) => ({
      [path]: manifestOf(name, { ...inPod(flags), [endpoints]: endpoint }, '/pki'),
      ...certificates(pki, '/pki'),
    }))
    const io = memoryIo()
    const code = await scanCommand({ prefix: '/registry', json: false }, io, node.root)
    assert.is(code, 0, io.complained())
    assert.match(io.printed(), /^Encrypted: 2 secrets\.\n/)
    assert.match(io.printed(), `${node.endpoint}, as in ${path}, revision`)
  })
}

test('scan without options finds the etcd of k3s, and says what it cannot find or read', async () => {
  const folder = '/var/lib/rancher/k3s/server/tls/etcd'
  await using k3s = await nodeWith((pki) => ({
    [`${folder}/server-ca.crt`]: join(pki, 'Root CA.pem'),
    [`${folder}/client.crt`]: join(pki, 'server.pem'),
    [`${folder}/client.key`]: join(pki, 'server-key.pem'),
  }))
  const { root } = k3s
  assert.equal(await findEtcd(root), {
    from: folder,
    endpoints: ['https://127.0.0.1:2379'],
    cacert: `${root}${folder}/server-ca.crt`,
    cert: `${root}${folder}/client.crt`,
    key: `${root}${folder}/client.key`,
  })
  await using sqlite = await nodeWith(() => ({
    '/var/lib/rancher/k3s/server/db/state.db': 'x\n',
  }))
  assert.match(String(await rejection(findEtcd(sqlite.root))), /SQLite, .* --endpoints names etcd/)
  await using none = await nodeWith(() => ({}))
  const error = await rejection(findEtcd(none.root))
  assert.match(String(error), 'No etcd of kubeadm, RKE2 or k3s was found on this node')
  await using silent = await nodeWith(() => ({
    [`${KUBEADM}/kube-apiserver.yaml`]: manifestOf('kube-apiserver', {}, '/pki'),
  }))
  assert.match(String(await rejection(findEtcd(silent.root))), 'has no --etcd-servers')
  await using kine = await nodeWith(() => ({
    [`${RKE2}/kube-apiserver.yaml`]: manifestOf(
      'kube-apiserver',
      { 'etcd-servers': 'unix:///var/lib/rancher/rke2/server/kine.sock' },
      '/pki',
    ),
  }))
  assert.match(String(await rejection(findEtcd(kine.root))), 'elsewhere than in etcd')
})

test('scan --json prints everything that it knows, and no value', async () => {
  const { code, printed } = await scan(BAD, ['--json', '--key-id', FAKE_KEY_ID])
  assert.is(code, 3)
  const { ok, objects, totals, rows, revision, wanted, decrypts } = JSON.parse(printed)
  assert.equal([ok, objects, revision, wanted, decrypts], [false, 8, '1234', [FAKE_KEY_ID], 2])
  assert.equal(
    [totals.ok, totals.stale, totals.damaged, totals['never-encrypted'], totals.unencrypted],
    [2, 1, 1, 1, 1],
  )
  const row = rows.find(({ verdict }: { verdict: string }) => verdict === 'stale')
  assert.equal(row.examples, ['/registry/secrets/default/old'])
})

test('scan never writes, and reads at one revision', async () => {
  await using etcd = await startFakeEtcd(BAD)
  await runProgram(['scan', '--endpoints', etcd.endpoint], memoryIo())
  const [count, ...pages] = etcd.requests
  assert.ok(count?.countOnly)
  assert.ok(pages.length > 0 && pages.every(({ revision }) => revision === 1_234n))
})

test('what takes a while is told without a terminal too, and a small file is not', async () => {
  await using folder = await tempFolder()
  for (const [bytes, told] of [
    [1_200 * 1024 * 1024, /^trousseau: Looks through \S+db, 1,200 MiB\n/],
    [4_096, /^trousseau: (?!Looks)/],
  ] as const) {
    // Holes take no room; it is no database either.
    await writeFile(folder.at('db'), '')
    await truncate(folder.at('db'), bytes)
    const io = memoryIo()
    assert.is(await runProgram(['scan', '--snapshot', folder.at('db')], io), 1)
    assert.match(io.complained(), told)
  }
})

test('scan --snapshot reads a file, and says of one without checksum what it is', async () => {
  await using folder = await tempFolder()
  const bytes = gunzipSync(
    await readFile(new URL('../../vectors/etcd_snapshot.db.gz', import.meta.url)),
  )
  const { live, revision } = historyOf()
  for (const [name, content] of [
    ['saved.db', bytes],
    ['raw.db', bytes.subarray(0, -32)],
  ] as const) {
    const file = folder.at(name)
    await writeFile(file, content)
    const io = memoryIo()
    assert.is(await runProgram(['scan', '--snapshot', file], io), 3)
    assert.match(io.printed(), `${file}, revision ${revision}: ${live.size} objects`)
    assert.is(io.printed().includes('The file has no checksum'), name === 'raw.db')
  }
  const io = memoryIo()
  assert.is(
    await runProgram(['scan', '--snapshot', folder.at('raw.db'), '--prefix', '/none/'], io),
    1,
  )
  assert.match(io.complained(), /No key of .*raw\.db begins with \/none\/: use --prefix/)
})

const HTTPS = ['--endpoints', 'https://127.0.0.1:1']
for (const [args, wanted] of [
  [[...HTTPS, '--snapshot', 'x'], 'Option --endpoints or --snapshot is needed, and not both'],
  [['--endpoints', '127.0.0.1:2379'], 'Wanted https://HOST:PORT'],
  [['--endpoints', 'https://a:1/path'], 'Wanted https://HOST:PORT'],
  [[...HTTPS, '--cert', 'x'], 'Options --cert and --key belong together'],
  [['--endpoints', 'http://a:1', '--cacert', 'x'], 'need --endpoints with https://'],
  [['--snapshot', 'x', '--server-name', 'x'], 'need --endpoints with https://'],
  [['--snapshot', 'x', '--prefix', 'registry'], 'Wanted a path such as "/registry"'],
  [['--snapshot', 'x', '--key-id', 'x', '--socket', '/x'], 'one is enough'],
] as const) {
  test(`scan ${args.join(' ')} is wrong usage`, async () => {
    const io = memoryIo()
    assert.is(await runProgram(['scan', ...args], io), 2)
    assert.match(io.complained(), wanted)
  })
}

test('scan shows how far it is on a terminal only, and leaves nothing of it', async () => {
  await using etcd = await startFakeEtcd(GOOD)
  for (const showsProgress of [true, false]) {
    const io = memoryIo({ showsProgress })
    assert.is(await runProgram(['scan', '--endpoints', etcd.endpoint], io), 0)
    assert.is(io.complained() !== '', showsProgress)
    if (showsProgress) assert.ok(io.complained().endsWith('\r\u001b[K'))
  }
})

test('progressLine() shows part, rate and what is left', () => {
  assert.is(
    progressLine(25_000, 100_000, 'objects', 2_000),
    '[######..................] 25,000 of 100,000 objects, 12,500/s, 6 s left',
  )
  assert.match(progressLine(10, 2_000, 'objects', 10_000), ', 1/s, 33 min 10 s left')
  assert.match(progressLine(0, 0, 'objects', 0), '[........................] 0 of 0 objects, 0/s')
  assert.match(progressLine(12, 10, 'objects', 1_000), '[########################] 12 of 10')
})

test.run()
