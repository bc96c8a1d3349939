/** `trousseau migrate` after a rotation, on a real API server, proved by what etcd holds. @module */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { type ApiServer, encryptionOf, startApiServer } from '../_lib/cluster/api_server.ts'
import { chosenVersion, kubernetesBinaries, NEWEST } from '../_lib/cluster/binaries.ts'
import { type Etcd, startEtcd } from '../_lib/cluster/etcd.ts'
import { inParallel } from '../_lib/cluster/kube_api.ts'
import { ServerProcess } from '../_lib/cluster/server_process.ts'
import { readStoredV2 } from '../_lib/cluster/stored.ts'
import { defineWidgets, WIDGETS, widget } from '../_lib/cluster/widgets.ts'
import { figure } from '../_lib/figure.ts'
import { bundleCommand, type PluginProcess, startPluginProcess } from '../_lib/plugin/process.ts'
import { type OpenBao, startOpenBao, type Transit } from '../_lib/services/vault/openbao.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const PLANTED = 'planted-9b1e77aa-value'
const RESOURCES = ['secrets', 'configmaps', 'widgets.example.org']
const SECRETS = 240
const OTHERS = 40

const test = suite('cluster/migrate', () => ({}), 300_000)

interface Cluster extends AsyncDisposable {
  readonly folder: TempFolder
  readonly bao: OpenBao
  readonly transit: Transit
  readonly plugin: PluginProcess
  readonly etcd: Etcd
  readonly server: ApiServer
  keyId(): Promise<string>
  /** A new key version, and a plugin that encrypts with it. */
  rotate(): Promise<string>
  /** How many objects are under each key id. */
  stored(): Promise<Map<string, number>>
  migrate(...flags: string[]): Promise<Ended>
}

interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

async function setup(flags: readonly string[] = []): Promise<Cluster> {
  const folder = await tempFolder()
  const bao = await startOpenBao()
  const transit = await bao.setupTransit({ folder: folder.path })
  const plugin = await startPluginProcess({
    folder: folder.path,
    config: {
      providers: [{ name: 'bao', type: 'vault', allowInsecureHttp: true, ...transit.provider }],
      rotation: { activationDelay: '1s' },
      health: { interval: '1s', staleAfter: '10s' },
    },
  })
  const etcd = await startEtcd(folder.path)
  const encryption = encryptionOf(plugin.socketPath, { resources: RESOURCES })
  const server = await startApiServer({ folder: folder.path, etcd, encryption, flags })
  const { api } = server
  await defineWidgets(api)
  await inParallel(SECRETS, (index) =>
    api.createSecret(`secret-${index}`, { value: `${PLANTED}-${index}` }),
  )
  await inParallel(OTHERS, async (index) => {
    await api.must('POST', WIDGETS, widget(`widget-${index}`, PLANTED))
    const metadata = { name: `map-${index}`, namespace: 'default' }
    const map = { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { value: PLANTED } }
    await api.must('POST', '/api/v1/namespaces/default/configmaps', map)
  })
  const keyId = async () => (await plugin.client.v2.status()).keyId
  const cluster: Cluster = {
    folder,
    bao,
    transit,
    plugin,
    etcd,
    server,
    keyId,
    async rotate() {
      const before = await keyId()
      await bao.rotate(transit)
      return await until(
        'the plugin encrypts with the new version',
        async () => {
          const now = await keyId()
          return now === before ? undefined : now
        },
        { limitMs: 30_000, everyMs: 200 },
      )
    },
    async stored() {
      const counts = new Map<string, number>()
      for (const [key, value] of await etcd.read('/registry/')) {
        if (!RESOURCES.some((name) => key.includes(`/${name.split('.')[0]}/`))) continue
        if (key.includes('/customresourcedefinitions/')) continue
        const stored = readStoredV2(value).keyId
        counts.set(stored, (counts.get(stored) ?? 0) + 1)
      }
      return counts
    },
    migrate: (...more) => run(cluster, more),
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]()
      await etcd[Symbol.asyncDispose]()
      await plugin[Symbol.asyncDispose]()
      await bao[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
  return cluster
}

function start({ folder, server, plugin }: Cluster, flags: readonly string[]) {
  const args = ['migrate', '--kubeconfig', server.kubeconfig, '--socket', plugin.socketPath]
  const resources = ['--resources', RESOURCES.join(',')]
  const [command, all] = bundleCommand({ folder: folder.path }, [...args, ...resources, ...flags])
  const child = spawn(command, all, { stdio: ['ignore', 'pipe', 'pipe'] })
  const [out, err]: [string[], string[]] = [[], []]
  child.stdout.setEncoding('utf8').on('data', (text: string) => out.push(text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => err.push(text))
  const ended = once(child, 'close').then(
    (): Ended => ({ code: child.exitCode, out: out.join(''), err: err.join('') }),
  )
  return { child, ended }
}

async function run(cluster: Cluster, flags: readonly string[]): Promise<Ended> {
  return await start(cluster, flags).ended
}

test('after a rotation every object is rewritten under the new key id while others write, and nothing is lost', async () => {
  await using cluster = await setup()
  const { server, etcd } = cluster
  const before = await cluster.keyId()
  const total = SECRETS + 2 * OTHERS
  assert.equal([...(await cluster.stored()).keys()], [before])
  const dry = await cluster.migrate('--dry-run')
  assert.is(dry.code, 0, dry.err)
  assert.match(dry.out, /secrets: 240 objects would be written anew/)
  const keyId = await cluster.rotate()

  let writing = true
  const writer = (async () => {
    for (let turn = 0; writing; turn += 1) {
      const body = { stringData: { value: `written-${turn}` } }
      const path = `/api/v1/namespaces/default/secrets/secret-${turn % 10}`
      await server.api.must('PATCH', path, body, { contentType: 'application/merge-patch+json' })
    }
  })()
  const startedAt = performance.now()
  const flags = ['--method', 'rewrite', '--rate', '2000', '--endpoints', etcd.endpoint]
  const { code, out, err } = await cluster.migrate(...flags)
  const tookMs = performance.now() - startedAt
  writing = false
  await writer

  assert.is(code, 0, `${out}\n${err}`)
  assert.match(out, /secrets: 240 objects written anew/)
  assert.match(out, /none needs an old key/)
  assert.match(out, /Snapshots and backups from before .* still need the old keys/)
  const stored = await cluster.stored()
  assert.equal([...stored], [[keyId, [...stored.values()].reduce((a, b) => a + b)]])
  for (let index = 10; index < SECRETS; index += 1) {
    assert.equal(await server.api.readSecret(`secret-${index}`), { value: `${PLANTED}-${index}` })
  }
  for (const text of [PLANTED, btoa(PLANTED).slice(0, 20), 'trousseau-test-admin']) {
    assert.not.ok(`${out}${err}`.includes(text), 'no value and no token is printed')
  }
  figure(`migrate of ${total} objects and the proof: ${Math.round(tookMs)} ms`)
})

test('stopped by SIGINT it goes on where it was, and a state of another cluster is refused', async () => {
  await using cluster = await setup()
  const { folder, etcd } = cluster
  const keyId = await cluster.rotate()
  const state = folder.at('state.json')
  const flags = ['--method', 'rewrite', '--state', state, '--endpoints', etcd.endpoint]

  const first = start(cluster, [...flags, '--rate', '60'])
  await until(
    'it has begun',
    () =>
      access(state).then(
        () => true,
        () => false,
      ),
    { limitMs: 90_000 },
  )
  first.child.kill('SIGINT')
  const stopped = await first.ended
  assert.is(stopped.code, 130, stopped.err)
  assert.match(stopped.err, /goes on from here/)
  const half = await cluster.stored()
  assert.is(half.size, 2, 'some are rewritten and some are not')

  const { code, out, err } = await cluster.migrate(...flags, '--rate', '2000')
  assert.is(code, 0, `${out}\n${err}`)
  const [, again = ''] = /secrets: (\d+) objects? written anew/.exec(out) ?? []
  assert.ok(Number(again) > 0 && Number(again) < SECRETS, `${again} are left for the second run`)
  assert.equal([...(await cluster.stored()).keys()], [keyId])
  assert.not.ok(
    await access(state).then(
      () => true,
      () => false,
    ),
    'nothing is left to go on with',
  )

  await writeFile(
    state,
    JSON.stringify({ format: 1, server: 'https://other:6443', begun: '', keyIds: [], done: [] }),
  )
  const refused = await cluster.migrate(...flags)
  assert.is(refused.code, 1)
  assert.match(refused.err, /belongs to https:\/\/other:6443/)
})

// Stable, and on by default, since 1.37.
if (chosenVersion() === NEWEST) {
  test("the cluster's own StorageVersionMigration is used where a controller works on it", async () => {
    await using cluster = await setup()
    const { server, etcd } = cluster
    const { controllerManager } = await kubernetesBinaries()
    await using manager: ServerProcess = new ServerProcess({
      name: 'kube-controller-manager',
      program: controllerManager,
      args: () => [
        `--kubeconfig=${server.kubeconfig}`,
        '--controllers=storage-version-migrator-controller,garbage-collector-controller',
        '--leader-elect=false',
        '--secure-port=0',
      ],
      answers: () =>
        Promise.resolve(
          /"Starting" controller="storage-version-migrator-controller"/.test(manager.output()),
        ),
    })
    await manager.start()
    const keyId = await cluster.rotate()

    const { code, out, err } = await cluster.migrate(
      '--method',
      'controller',
      '--endpoints',
      etcd.endpoint,
    )

    assert.is(code, 0, `${out}\n${err}`)
    assert.match(out, /secrets: rewritten by the cluster's StorageVersionMigration/)
    assert.match(out, /none needs an old key/)
    assert.equal([...(await cluster.stored()).keys()], [keyId])
  })
}

test.run()
