/**
 * A cluster that Trousseau 1.x wrote: taken over at its socket and under its provider
 * name, rewritten, and moved on to KMS v2, by the steps of docs/takeover.md.
 *
 * @module
 */

import { writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { decodeEnvelope, startsAsEnvelope } from '../../src/kms/envelope.ts'
import {
  type ApiServer,
  encryptionBy,
  encryptionOf,
  startApiServer,
} from '../_lib/cluster/api_server.ts'
import { chosenVersion, NEWEST } from '../_lib/cluster/binaries.ts'
import { type Etcd, startEtcd } from '../_lib/cluster/etcd.ts'
import { inParallel } from '../_lib/cluster/kube_api.ts'
import { SecretLoad } from '../_lib/cluster/secret_load.ts'
import { readStoredV1, readStoredV2 } from '../_lib/cluster/stored.ts'
import { figure } from '../_lib/figure.ts'
import { type PluginProcess, runCommand, startWellPlugin } from '../_lib/plugin/process.ts'
import { type OpenBao, startOpenBao, type Transit } from '../_lib/services/vault/openbao.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'
import { startTrousseau1, type Trousseau1 } from './trousseau_1.ts'

const OLD = { name: 'vaultprovider', resources: ['secrets'], apiVersion: 'v1' } as const
const GATE = '--feature-gates=KMSv1=true'
/** Under the first version of the key, and under the second. */
const WRITTEN = [200, 100] as const
/** With an empty wrapped key. The last is found by nobody before the restart. */
const LOST = ['lost-0', 'lost-1', 'lost-2', 'lost-3']
const OVERLOOKED = 'lost-3'
const PAUSE_MS = 10
const UNSAFE_DELETE = JSON.stringify({
  apiVersion: 'v1',
  kind: 'DeleteOptions',
  ignoreStoreReadErrorWithClusterBreakingPotential: true,
})
const STORED = '/registry/secrets/default/'
const SECRETS = '/api/v1/namespaces/default/secrets'

const test = suite('cluster/takeover', () => ({}), 600_000)

interface Bed extends AsyncDisposable {
  readonly folder: TempFolder
  readonly bao: OpenBao
  readonly transit: Transit
  readonly etcd: Etcd
  readonly server: ApiServer
  readonly old: Trousseau1
  readonly socketPath: string
}

async function setup(): Promise<Bed> {
  await using stack = new AsyncDisposableStack()
  const folder = stack.use(await tempFolder())
  const bao = stack.use(await startOpenBao())
  const transit = await bao.setupTransit({ folder: folder.path })
  const etcd = stack.use(await startEtcd(folder.path))
  const socketPath = folder.at('kms.sock')
  const old = stack.use(await startTrousseau1(socketPath, transit))
  const encryption = encryptionOf(socketPath, OLD)
  const flags = [GATE]
  const server = stack.use(await startApiServer({ folder: folder.path, etcd, encryption, flags }))
  const all = stack.move()
  return {
    folder,
    bao,
    transit,
    etcd,
    server,
    old,
    socketPath,
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  }
}

test('what Trousseau 1.x stored is read at its socket, rewritten and moved on to v2; the keys that it lost have an error of their own', async () => {
  await using bed = await setup()
  const { server } = bed
  const data = await writeAsTrousseau1(bed)
  const lost = await scanLost(bed)
  assert.equal(lost, LOST)
  const saved = await saveLost(bed, lost)

  const { plugin, load } = await swap(bed)
  await using _taken = plugin
  for (const [name, file] of saved) {
    await bed.etcd.ctl('del', STORED + name)
    await server.kubectl('create', '-f', file)
    data.set(name, { name })
  }
  await restartWithLost(bed, plugin)
  await checkReads(server, data)
  assert.equal(await load.differences(server.api), [])
  await rewriteUnderV1(bed, data)
  await plugin[Symbol.asyncDispose]()
  await using _later = await startPlugin(bed, [])
  await server.process.stop()
  await server.start()
  await checkReads(server, data)

  await moveToV2(bed, data)
})

/** Hundreds of Secrets over a rotation, and some more once Vault refuses its token. */
async function writeAsTrousseau1({ server, bao, transit, etcd }: Bed): Promise<Secrets> {
  const data: Secrets = new Map()
  await write(server, data, 'first', WRITTEN[0])
  await bao.rotate(transit)
  await write(server, data, 'second', WRITTEN[1])
  await transit.revokeTokens()
  for (const name of LOST) {
    await server.api.createSecret(name, { name })
    // In the memory of the API server before the next one takes the place of its key.
    await until(`${name} is watched`, async () => (await readCached(server)).has(name))
  }

  const wrapped = await storedV1(etcd)
  const count = (pattern: RegExp) =>
    [...wrapped.values()].filter((key) => pattern.test(key.toString('latin1'))).length
  assert.is(count(/^vault:v1:/), WRITTEN[0])
  assert.is(count(/^vault:v2:/), WRITTEN[1])
  assert.is(count(/^$/), LOST.length)
  return data
}

/** Names of those that nobody can open. */
async function scanLost({ etcd }: Bed): Promise<string[]> {
  const { code, out, err } = await runCommand(['scan', '--endpoints', etcd.endpoint, '--json'])
  assert.is(code, 3, err)
  const { rows } = v.parse(scanReport, JSON.parse(out))
  const keys = rows.filter(({ verdict }) => verdict === 'empty-key').flatMap((row) => row.examples)
  return keys.map((key) => key.slice(STORED.length))
}

/** A running API server has them in memory: file by name, of all but one. */
async function saveLost({ server, folder }: Bed, names: readonly string[]) {
  const files = new Map<string, string>()
  for (const name of names.filter((each) => each !== OVERLOOKED)) {
    const secret = await server.kubectl('get', '--raw', `${SECRETS}/${name}?resourceVersion=0`)
    const { metadata, ...rest } = v.parse(anObject, JSON.parse(secret))
    const { uid: _uid, resourceVersion: _resourceVersion, ...kept } = metadata
    const file = folder.at(`${name}.json`)
    await writeFile(file, JSON.stringify({ ...rest, metadata: kept }), { mode: 0o600 })
    files.set(name, file)
  }
  return files
}

/** Trousseau takes the socket before the old plugin ends, while the cluster goes on. */
async function swap(bed: Bed): Promise<{ plugin: PluginProcess; load: SecretLoad }> {
  const { server, etcd, old } = bed
  await old.login()
  await using load = new SecretLoad({ apis: [server.api], pauseMs: PAUSE_MS })
  await load.goesOn()
  const since = performance.now()
  const plugin = await startPlugin(bed, ['trousseau-1'])
  await old[Symbol.asyncDispose]()
  await load.goesOn()
  await load.stop()
  const failed = load.failures('write', since).length
  figure(
    `the socket taken over from Trousseau 1.x during ${load.of('write', since).length} writes under v1: ${failed} failed, the slowest took ${load.slowestMs('write', since)} ms`,
  )
  assert.equal(load.wrong, [])
  const wrapped = await storedV1(etcd)
  const own = [...wrapped.values()].filter(startsAsEnvelope)
  assert.ok(own.length > 0, 'written in envelopes from then on')
  for (const key of own) decodeEnvelope(key)
  return { plugin, load }
}

/** One that stays lost keeps an API server from getting ready, until it is gone. */
async function restartWithLost(bed: Bed, plugin: PluginProcess): Promise<void> {
  const { server } = bed
  await server.process.stop()
  server.process.launch()
  const reply = await until(
    'it refuses the lost one',
    async () => {
      const answer = await server.api.send('GET', `${SECRETS}/${OVERLOOKED}`).catch(() => undefined)
      return answer?.status === 500 ? answer : undefined
    },
    { limitMs: 60_000 },
  )
  assert.match(reply.body.message, /Ciphertext is empty: .* fault of Trousseau 1\.x/)
  await until('its log says so', () => plugin.output().includes('"code":"ciphertext_empty"'))
  const { ok, text } = await server.api.health('/readyz')
  assert.not.ok(ok)
  assert.match(text, /kms-provider-0 ok/)
  assert.match(text, /informer-sync failed/)
  await deleteLost(bed, OVERLOOKED)
  await server.start()
}

/** Past the API server, or since 1.37 by an option that kubectl has no flag for. */
async function deleteLost({ server, etcd, folder }: Bed, name: string): Promise<void> {
  if (chosenVersion() !== NEWEST) {
    await etcd.ctl('del', STORED + name)
    return
  }
  const options = folder.at('delete.json')
  await writeFile(options, UNSAFE_DELETE)
  await server.kubectl('delete', '--raw', `${SECRETS}/${name}`, '-f', options)
}

async function rewriteUnderV1({ server, etcd }: Bed, data: Secrets): Promise<void> {
  const start = performance.now()
  await server.kubectl('annotate', 'secrets', '-A', '--all', 'trousseau.io/rewritten=1')
  figure(`${data.size} Secrets rewritten under v1 in ${seconds(start)} s`)
  const wrapped = await storedV1(etcd)
  assert.ok(wrapped.size >= data.size)
  for (const key of wrapped.values()) decodeEnvelope(key)
}

async function moveToV2(bed: Bed, data: Secrets): Promise<void> {
  const { server, etcd, folder, socketPath } = bed
  const kms = { endpoint: `unix://${socketPath}`, timeout: '3s' }
  const v2 = { kms: { apiVersion: 'v2', name: 'trousseau', ...kms } }
  const v1 = { kms: { apiVersion: 'v1', name: OLD.name, ...kms } }
  await server.configure(encryptionBy([v2, v1, { identity: {} }], OLD.resources))
  await server.process.stop()
  await server.start()
  const file = folder.at('secrets.json')
  await writeFile(file, await server.kubectl('get', 'secrets', '-A', '-o', 'json'))
  await server.kubectl('replace', '-f', file)
  for (const value of (await etcd.read(STORED)).values()) {
    const { provider, keyId, wrappedSeed } = readStoredV2(value)
    assert.is(provider, 'trousseau')
    assert.is(decodeEnvelope(wrappedSeed).keyId, keyId)
  }

  await server.process.stop()
  await using after = await startApiServer({
    folder: folder.path,
    etcd,
    name: 'after',
    encryption: encryptionBy([v2, { identity: {} }], OLD.resources),
  })
  await checkReads(after, data)
}

/** Started, and well. */
async function startPlugin(bed: Bed, reads: readonly string[]): Promise<PluginProcess> {
  const foreign: { reads?: readonly string[] } = reads.length > 0 ? { reads } : {}
  const vault = { name: 'vault', type: 'vault', allowInsecureHttp: true, ...foreign }
  return await startWellPlugin({
    folder: bed.folder.path,
    takeOver: foreign.reads !== undefined,
    config: {
      providers: [{ ...vault, ...bed.transit.provider }],
      rotation: { activationDelay: '1s' },
    },
  })
}

/** Data by name. */
type Secrets = Map<string, Record<string, string>>

async function write({ api }: ApiServer, data: Secrets, prefix: string, count: number) {
  await inParallel(count, async (index) => {
    const name = `${prefix}-${index}`
    await api.createSecret(name, { name })
    data.set(name, { name })
  })
}

async function checkReads({ api }: ApiServer, data: Secrets): Promise<void> {
  const names = [...data.keys()]
  await inParallel(names.length, async (index) => {
    const name = names[index] ?? ''
    assert.equal(await api.readSecret(name), data.get(name))
  })
}

const scanReport = v.object({
  rows: v.array(v.object({ verdict: v.string(), examples: v.array(v.string()) })),
})
const anObject = v.looseObject({ metadata: v.looseObject({}) })
const secretList = v.object({
  items: v.array(
    v.object({ metadata: v.object({ name: v.string() }), data: v.record(v.string(), v.string()) }),
  ),
})

/** What the API server has in memory, without a look into etcd. */
async function readCached({ api }: ApiServer): Promise<Secrets> {
  const { items } = v.parse(secretList, await api.must('GET', `${SECRETS}?resourceVersion=0`))
  return new Map(
    items.map(({ metadata, data }) => [
      metadata.name,
      Object.fromEntries(Object.entries(data).map(([key, value]) => [key, atob(value)])),
    ]),
  )
}

/** Wrapped key of each Secret by its name. */
async function storedV1(etcd: Etcd) {
  const values = await etcd.read(STORED)
  return new Map(
    [...values].map(([key, value]) => [key.slice(STORED.length), readStoredV1(value).wrappedKey]),
  )
}

function seconds(start: number): string {
  return ((performance.now() - start) / 1_000).toFixed(1)
}

test.run()
