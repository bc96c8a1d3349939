/**
 * Faults that doctor must find, one at a time, and a setup in which it finds nothing to fix.
 *
 * @module
 */

import {
  appendFile,
  chmod,
  copyFile,
  mkdir,
  readdir,
  readFile,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { createServer } from 'node:net'
import process from 'node:process'
import * as assert from 'uvu/assert'
import { runProgram } from '../../../src/cli/program.ts'
import { generateRecoveryKey } from '../../../src/recovery/jwk.ts'
import { RESTRICTION_IDS } from '../../../src/remote/token_restriction.ts'
import { memoryIo } from '../../_lib/console/memory_io.ts'
import { type PluginProcess, startPluginProcess } from '../../_lib/plugin/process.ts'
import { ISSUING, makeAuthority, makeCertificate } from '../../_lib/remote/certificates.ts'
import { since } from '../../_lib/services/vault/key_server.ts'
import { type OpenBao, startOpenBao, type Transit } from '../../_lib/services/vault/openbao.ts'
import { type TempFolder, tempFolder } from '../../_lib/temp_folder.ts'
import { suite } from '../../_lib/uvu.ts'
import { until } from '../../_lib/wait.ts'

interface Finding {
  readonly id: string
  readonly level: string
  readonly what: string
  readonly why?: string
  readonly todo?: string
}

interface Setup extends AsyncDisposable {
  readonly folder: TempFolder
  readonly bao: OpenBao
  readonly transit: Transit
  /** Config, EncryptionConfiguration and manifest of a healthy node; a test spoils one of them. */
  config: Record<string, unknown>
  provider: Record<string, unknown>
  encryption: Record<string, unknown>
  manifest: ReturnType<typeof manifestOf>
  plugin: PluginProcess
}

// What lies below /tmp is gone after a boot, and doctor says so.
process.env['TMPDIR'] = '/var/tmp'

const HOUR_MS = 3_600_000

const test = suite('tools/doctor/run', () => ({}))

function manifestOf(folder: string) {
  const container = {
    name: 'kube-apiserver',
    image: 'registry.k8s.io/kube-apiserver:v1.37.2',
    imagePullPolicy: 'IfNotPresent',
    command: ['kube-apiserver', `--encryption-provider-config=${folder}/encryption.json`],
    livenessProbe: { httpGet: { path: '/livez' }, periodSeconds: 10, failureThreshold: 8 },
    startupProbe: { httpGet: { path: '/livez' }, periodSeconds: 10, failureThreshold: 24 },
    volumeMounts: [
      { name: 'config', mountPath: `${folder}/encryption.json` },
      { name: 'socket', mountPath: folder },
    ],
    securityContext: {} as { runAsUser?: number },
  }
  const volumes = [
    { name: 'config', hostPath: { path: `${folder}/encryption.json` } },
    { name: 'socket', hostPath: { path: folder } },
  ]
  const spec = { hostNetwork: true, containers: [container], volumes }
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'kube-apiserver' }, spec }
}

async function setup(): Promise<Setup> {
  const folder = await tempFolder()
  const bao = await startOpenBao({ tls: true })
  const transit = await bao.setupTransit({ folder: folder.path })
  await bao.request('POST', 'transit/keys/k8s-etcd/config', { auto_rotate_period: '2160h' })
  const { publicJwk } = await generateRecoveryKey('P-256')
  await writeFile(folder.at('recovery.pub.json'), JSON.stringify(publicJwk))
  const tls = { caFile: bao.caFile }
  const provider = { name: 'bao', type: 'vault', tls, ...transit.provider }
  const config = {
    providers: [provider],
    stateDir: folder.at('state'),
    admin: { listen: `unix://${folder.at('admin.sock')}` },
    recovery: { recipients: [folder.at('recovery.pub.json')] },
  }
  const plugin = await startPluginProcess({ folder: folder.path, config })
  await until('it is ready', () => plugin.client.v2.status().catch(() => undefined))
  const kms = {
    apiVersion: 'v2',
    name: 'trousseau',
    endpoint: `unix://${plugin.socketPath}`,
    timeout: '3s',
  }
  return {
    folder,
    bao,
    transit,
    provider,
    config,
    plugin,
    encryption: {
      apiVersion: 'apiserver.config.k8s.io/v1',
      kind: 'EncryptionConfiguration',
      resources: [{ resources: ['secrets'], providers: [{ kms }] }],
    },
    manifest: manifestOf(folder.path),
    async [Symbol.asyncDispose]() {
      await plugin[Symbol.asyncDispose]()
      await bao[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

async function examined(all: Setup, ...flags: string[]) {
  const { folder, plugin, config, encryption, manifest } = all
  const head = { apiVersion: 'trousseau.io/v1', kind: 'TrousseauConfig' }
  const text = JSON.stringify({ ...head, socket: { path: plugin.socketPath }, ...config })
  await writeFile(folder.at('doctor.json'), text)
  await writeFile(folder.at('encryption.json'), JSON.stringify(encryption))
  await writeFile(folder.at('manifest.json'), JSON.stringify(manifest))
  const io = memoryIo()
  const files = ['--encryption-config', folder.at('encryption.json')]
  const more = ['--api-server-manifest', folder.at('manifest.json')]
  const args = ['doctor', '--config', folder.at('doctor.json'), ...files, ...more, ...flags]
  const code = await runProgram(args, io)
  return { code, out: io.printed(), err: io.complained() }
}

/** Ids of what is not well, beside what is to know. */
async function found(
  all: Setup,
  ...flags: string[]
): Promise<{ ids: string[]; findings: Finding[]; code: number }> {
  const { code, out, err } = await examined(all, '--json', ...flags)
  assert.is(err, '')
  const { findings } = JSON.parse(out) as { findings: Finding[] }
  for (const finding of findings) {
    const bad = ['error', 'warning', 'notice'].includes(finding.level)
    assert.ok(!bad || (finding.why !== undefined && finding.todo !== undefined), finding.id)
  }
  const bad = findings.filter(({ level }) => level === 'error' || level === 'warning')
  assert.is(code, bad.length === 0 ? 0 : 3)
  // One is told of every Vault before 1.13, whatever else a test does to it.
  const ids = bad
    .map(({ id }) => id)
    .filter((id) => since(13) || id !== 'service-ignores-associated-data')
  return { ids, findings, code }
}

test('doctor leaves no token behind', async () => {
  await using all = await setup()
  const alive = async () => {
    const reply = await all.bao.request('GET', 'auth/token/accessors?list=true')
    return new Set((reply as { data: { keys: string[] } }).data.keys)
  }
  const before = await alive()

  await found(all)

  assert.equal(await alive(), before)
})

test('a healthy setup has nothing to mend, and says what was looked at', async () => {
  await using all = await setup()

  const { ids, findings } = await found(all)
  const { out } = await examined(all)

  assert.equal(ids, [], JSON.stringify(findings, null, 1))
  if (since(13)) assert.match(out, /Nothing to fix: \d+ things are well/)
  for (const id of [
    'plugin',
    'provider',
    'encryption',
    'manifest',
    'files',
    'recovery-recipients',
  ]) {
    assert.ok(
      findings.some((each) => each.id === id && each.level === 'ok'),
      id,
    )
  }
  const [plugin] = findings.filter(({ id }) => id === 'plugin')
  assert.match(plugin?.what ?? '', 'Only this node was asked')
  assert.not.match(JSON.stringify(findings), /every node|nobody else/)
  const secret = await readFile(all.transit.secretIdFile, 'utf8')
  for (const planted of [secret.trim(), all.bao.rootToken]) assert.not.ok(out.includes(planted))
})

const entry = (all: Setup) =>
  (all.encryption['resources'] as { providers: { kms: Record<string, unknown> }[] }[])[0]
    ?.providers[0]?.kms ?? {}
const rules = (all: Setup) => all.encryption['resources'] as Record<string, unknown>[]
const container = (all: Setup) => {
  const [first] = all.manifest.spec.containers
  if (first === undefined) throw new Error('No container')
  return first
}

type Spoil = (all: Setup) => void | Promise<void>

/** A fault, and the one id that it must be found as. */
const FAULTS: Readonly<Record<string, readonly [id: string, spoil: Spoil]>> = {
  'a key of the config is misspelt': [
    'config-invalid',
    ({ config }) => void Object.assign(config, { requestTimout: '2s' }),
  ],
  'requestTimeout is as long as the API server waits': [
    'config-timeout',
    (all) => {
      all.config['requestTimeout'] = '3s'
      entry(all)['timeout'] = '10s'
    },
  ],
  'a file of the config is not there': [
    'file-missing',
    async ({ folder, provider }) => {
      await writeFile(
        folder.at('ca-copy.pem'),
        await readFile(String((provider['tls'] as { caFile: string }).caFile)),
      )
      provider['auth'] = { ...(provider['auth'] as object), roleIdFile: folder.at('nothing') }
    },
  ],
  'a secret id that everybody reads': [
    'file-open',
    ({ transit }) => chmod(transit.secretIdFile, 0o644),
  ],
  'certificates are not verified': [
    'tls-not-verified',
    ({ provider, bao }) => {
      provider['tls'] = { caFile: bao.caFile, dangerouslySkipVerification: true }
    },
  ],
  'a certificate of another authority': [
    'provider-unusable',
    async ({ folder, provider }) => {
      const { cert } = await makeAuthority(folder.path, 'other')
      provider['tls'] = { caFile: cert }
    },
  ],
  'a certificate in the last tenth of its life': [
    'tls-expiry',
    async (all) => {
      const { bao, folder } = all
      const authority = await makeAuthority(folder.path, 'next-authority')
      await appendFile(bao.caFile, await readFile(authority.cert))
      const [from, to] = [Date.now() - 95 * HOUR_MS, Date.now() + 5 * HOUR_MS]
      await bao.replaceCertificate(authority, { from, to })
      await until('it is in use', async () => (await found(all)).ids.length > 0)
    },
  ],
  'a folder of authorities with a link to nothing': [
    'tls-authority-unusable',
    async ({ bao, folder, provider }) => {
      await mkdir(folder.at('authorities'))
      await copyFile(bao.caFile, folder.at('authorities/ca.pem'))
      await symlink('nowhere.pem', folder.at('authorities/old.pem'))
      provider['tls'] = { caDir: folder.at('authorities') }
    },
  ],
  'the key service is away': ['provider-unusable', ({ bao }) => bao.stop()],
  'the secret id was destroyed': ['provider-denied', ({ transit }) => transit.destroySecretId()],
  'the role gives tokens for few uses': [
    'provider-denied',
    async ({ bao, transit }) => {
      await bao.request('POST', `auth/approle/role/${transit.role}`, { token_num_uses: 5 })
    },
  ],
  'the secret id is for few logins': [
    'login-secret-id-uses',
    async ({ bao, transit }) => {
      await bao.request('POST', `auth/approle/role/${transit.role}`, { secret_id_num_uses: 9 })
      await transit.replaceSecretId()
    },
  ],
  'a token that ends with the one that made it': [
    'login-parent',
    async ({ bao, transit, folder, provider }) => {
      const fields = { policies: [transit.policy], no_default_policy: true, period: '24h' }
      const made = await bao.request('POST', 'auth/token/create', fields)
      const { auth } = made as { auth: { client_token: string } }
      await writeFile(folder.at('token'), auth.client_token, { mode: 0o600 })
      provider['auth'] = { method: 'token', tokenFile: folder.at('token') }
    },
  ],
  'the key may be deleted': [
    'key-deletable',
    async ({ bao }) => {
      await bao.request('POST', 'transit/keys/k8s-etcd/config', { deletion_allowed: true })
    },
  ],
  'the key may be taken out': [
    'key-exportable',
    async ({ bao }) => {
      await bao.request('POST', 'transit/keys/k8s-etcd/config', { exportable: true })
    },
  ],
  "the login may read other clusters' keys": [
    'policy-other-keys',
    async ({ bao, transit }) => {
      const policy =
        'path "transit/*" { capabilities = ["create", "read", "update"] }\npath "auth/token/*" { capabilities = ["read", "update"] }'
      await bao.request('POST', `sys/policies/acl/${transit.policy}`, { policy })
    },
  ],
  'the login is an administrator': [
    'policy-administrator',
    async ({ bao, transit }) => {
      const { policy } = { policy: `path "sys/mounts" { capabilities = ["read"] }\n` }
      const path = `sys/policies/acl/${transit.policy}`
      const { data } = (await bao.request('GET', path)) as { data: { policy: string } }
      await bao.request('POST', path, { policy: `${data.policy}\n${policy}` })
    },
  ],
  'a ServiceAccount login': [
    'boot-kubernetes-login',
    ({ folder, provider }) => {
      provider['auth'] = {
        method: 'kubernetes',
        role: 'trousseau',
        tokenFile: folder.at('recovery.pub.json'),
      }
    },
  ],
  'the plugin is down': [
    'socket-dead',
    async ({ plugin }) => {
      await plugin.stop('SIGKILL')
    },
  ],
  'a socket for everybody': [
    'socket-open',
    async ({ plugin, folder }) => {
      await chmod(plugin.socketPath, 0o666)
      await chmod(folder.path, 0o755)
    },
  ],
  'no apiVersion in the kms entry': [
    'encryption-version-missing',
    (all) => void delete entry(all)['apiVersion'],
  ],
  'KMS v1': ['encryption-v1', (all) => void Object.assign(entry(all), { apiVersion: 'v1' })],
  'cachesize under v2': [
    'encryption-cachesize',
    (all) => void Object.assign(entry(all), { cachesize: 1000 }),
  ],
  'a timeout shorter than the plugin needs': [
    'encryption-timeout',
    (all) => void Object.assign(entry(all), { timeout: '1s' }),
  ],
  'identity before the plugin': [
    'encryption-identity-first',
    (all) => {
      const [rule] = rules(all)
      if (rule !== undefined)
        rule['providers'] = [{ identity: {} }, ...(rule['providers'] as object[])]
    },
  ],
  'Secrets are not listed': [
    'encryption-secrets-missing',
    (all) => {
      const [rule] = rules(all)
      if (rule !== undefined) rule['resources'] = ['configmaps']
    },
  ],
  'a resource behind a wildcard': [
    'encryption-masked',
    (all) => {
      const kms = entry(all)
      all.encryption['resources'] = [
        { resources: ['*.*'], providers: [{ kms }] },
        { resources: ['secrets'], providers: [{ kms: { ...kms, name: 'second' } }] },
      ]
    },
  ],
  'the API server is not told': [
    'manifest-no-flag',
    (all) => void Object.assign(container(all), { command: ['kube-apiserver'] }),
  ],
  'the socket folder is not mounted': [
    'manifest-socket-not-mounted',
    (all) => {
      container(all).volumeMounts = container(all).volumeMounts.filter(
        ({ name }) => name !== 'socket',
      )
    },
  ],
  'an API server that may not write to the socket': [
    'manifest-user',
    (all) => {
      container(all).securityContext = { runAsUser: 4711 }
    },
  ],
  'an impatient liveness probe': [
    'manifest-liveness',
    (all) => {
      container(all).startupProbe = {
        httpGet: { path: '/livez' },
        periodSeconds: 1,
        failureThreshold: 3,
      }
      container(all).livenessProbe.failureThreshold = 2
    },
  ],
}

/** These spoil what runs, so they have it to themselves; the others share one. */
const ALONE = [
  'a certificate in the last tenth of its life',
  'a secret id that everybody reads',
  'the key service is away',
  'the secret id was destroyed',
  'the role gives tokens for few uses',
  'the secret id is for few logins',
  'the key may be deleted',
  'the key may be taken out',
  "the login may read other clusters' keys",
  'the login is an administrator',
  'the plugin is down',
  'a socket for everybody',
]
/** What cannot be without another finding. */
const ALSO: Readonly<Record<string, readonly string[]>> = {
  'a file of the config is not there': ['provider-denied'],
  'the key service is away': ['plugin-unwell'],
  'a ServiceAccount login': ['provider-denied'],
}
let shared: Promise<Setup> | undefined

async function setupFor(what: string): Promise<Setup> {
  if (ALONE.includes(what)) return await setup()
  shared ??= setup()
  const all = await shared
  const config = structuredClone(all.config)
  const [provider = {}] = config['providers'] as Record<string, unknown>[]
  const encryption = structuredClone(all.encryption)
  const nothing = () => Promise.resolve()
  const manifest = manifestOf(all.folder.path)
  return { ...all, config, provider, encryption, manifest, [Symbol.asyncDispose]: nothing }
}

for (const [what, [id, spoil]] of Object.entries(FAULTS)) {
  test(`${what}: ${id}`, async () => {
    await using all = await setupFor(what)
    await spoil(all)

    const { ids, findings } = await found(all)

    const seen = JSON.stringify(
      findings.filter(({ level }) => level !== 'ok'),
      null,
      1,
    )
    assert.equal(new Set(ids), new Set([id, ...(ALSO[what] ?? [])]), seen)
  })
}

test('an authority that has ended beside the one that vouches is a notice, and nothing to mend', async () => {
  await using all = await setup()
  const root = await makeAuthority(all.folder.path, 'some-root')
  const past = { from: Date.now() - 9 * HOUR_MS, to: Date.now() - HOUR_MS }
  const ended = await makeCertificate(all.folder.path, 'Ended CA', root, past, ISSUING)
  await appendFile(all.bao.caFile, await readFile(ended.cert))

  const { ids, findings } = await found(all)

  assert.equal(ids, [], JSON.stringify(findings, null, 1))
  const notice = findings.find(({ id }) => id === 'tls-authority-ended')
  assert.is(notice?.level, 'notice')
  assert.match(notice?.what ?? '', /"Ended CA"/)
})

test('a plugin manifest that asks a registry at every start, and has no network of the node', async () => {
  await using all = await setup()
  const pod = manifestOf(all.folder.path)
  const [first] = pod.spec.containers
  if (first !== undefined) first.imagePullPolicy = 'Always'
  pod.spec.hostNetwork = false
  await writeFile(all.folder.at('plugin.json'), JSON.stringify(pod))

  const { ids } = await found(all, '--plugin-manifest', all.folder.at('plugin.json'))

  assert.equal(ids, ['boot-image-pull', 'boot-pod-network'])
})

test('a stale socket file is dead, and one of something else is unwell', async () => {
  await using all = await setup()
  await all.plugin.stop()
  await rm(all.plugin.socketPath, { force: true })
  await mkdir(all.folder.at('x'))
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.end('not gRPC')
  }).listen(all.plugin.socketPath)

  const { ids } = await found(all)
  server.close()

  assert.equal(ids, ['plugin-unwell'])
})

test('--offline asks nobody and says so', async () => {
  await using all = await setup()
  await all.bao.stop()
  await all.plugin.stop()

  const { ids, findings } = await found(all, '--offline')

  assert.equal(ids, [])
  assert.ok(findings.some(({ level, what }) => level === 'skipped' && what.includes('--offline')))
})

test('what the tests shared ends', async () => {
  await (await shared)?.[Symbol.asyncDispose]()
})

test('every id stands in docs/doctor.md', async () => {
  const page = await readFile(new URL('../../../docs/doctor.md', import.meta.url), 'utf8')
  const services = new URL('../../../src/services/', import.meta.url)
  // The ids in a `login` folder are those of restrictions, which are told with a prefix.
  const inServices = (await readdir(services, { recursive: true })).filter(
    (name) => name.endsWith('.ts') && !name.includes('login/'),
  )
  const doctor = new URL('../../../src/tools/doctor/', import.meta.url)
  const kube = ['encryption_config.ts', 'encryption_resources.ts', 'encryption_rules.ts']
  const files = [
    ...kube.map((name) => new URL(`../../../src/tools/kube/${name}`, import.meta.url)),
    ...inServices.map((name) => new URL(name, services)),
    ...(await readdir(doctor)).map((name) => new URL(name, doctor)),
  ]
  const ids = new Set<string>()
  for (const file of files) {
    for (const [, id] of (await readFile(file, 'utf8')).matchAll(
      /\bid: (?:denied \? )?'([a-z-]+)'/g,
    ))
      ids.add(id ?? '')
  }
  // Doctor says where they are from.
  for (const id of RESTRICTION_IDS) {
    ids.delete(id)
    ids.add(`login-${id}`)
  }
  assert.ok(ids.size >= 60, `${ids.size} ids`)
  for (const id of ids) assert.ok(page.includes(`\`${id}\``), id)
})

test.run()
