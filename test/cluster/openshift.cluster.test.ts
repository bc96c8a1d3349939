/**
 * A real API server in the shape that OpenShift's operators give it: a provider for each resource and
 * key, a plugin for each key that is started by arguments, a rotation at the key service, a change of the
 * key; the rules of OpenShift's own API; and the way from another plugin to this one, and back.
 */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, readFile, writeFile } from 'node:fs/promises'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import * as assert from 'uvu/assert'
import { parse, stringify } from 'yaml'
import { encryptionBy, startApiServer } from '../_lib/cluster/api_server.ts'
import { startEtcd } from '../_lib/cluster/etcd.ts'
import { pokeHealth, untilWrittenUnder } from '../_lib/cluster/key_id_change.ts'
import { metricSum } from '../_lib/cluster/metrics.ts'
import { rewriteAll } from '../_lib/cluster/rewrite.ts'
import { SecretLoad } from '../_lib/cluster/secret_load.ts'
import { readStoredV2 } from '../_lib/cluster/stored.ts'
import { figure } from '../_lib/figure.ts'
import { apiServerDefinition } from '../_lib/openshift/api.ts'
import {
  operatorEncryption,
  secretIdName,
  sidecarArguments,
  socketOf,
} from '../_lib/openshift/contract.ts'
import { NODE, type PluginProcess, runCommand, startPluginProcess } from '../_lib/plugin/process.ts'
import { type OpenBao, startOpenBao, type Transit } from '../_lib/services/vault/openbao.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { MANIFEST_CONFIG } from '../_lib/tools/manifest_config.ts'
import { IMAGE, OPENSHIFT_REFUSALS } from '../_lib/tools/openshift.ts'
import { rejection, suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

/** No argument changes how old a key version must be before it encrypts. */
const ACTIVATION_MS = 300_000
/** More than two of the minutes in which an API server looks at its configuration. */
const TAKEN_UP_MS = 200_000
const RELOADS = 'apiserver_encryption_config_controller_automatic_reloads_total'
const RESOURCES = ['secrets', 'configmaps']
const OLD_PLUGIN = fileURLToPath(new URL('../_lib/runbook/old_plugin.ts', import.meta.url))

const test = suite('cluster/openshift', () => ({}), 850_000)

/** Passes requests on to the key service, whose clock it can put forward in what plugins see of it. */
async function startLaterService(address: string) {
  let laterMs = 0
  const server = createServer((incoming, response) => {
    const { method, headers, url = '' } = incoming
    const onward = request(`${address}${url}`, { method, headers }, (answer) => {
      const date = new Date(Date.now() + laterMs).toUTCString()
      response.writeHead(answer.statusCode ?? 0, { ...answer.headers, date })
      answer.pipe(response)
    })
    onward.on('error', () => response.destroy())
    incoming.pipe(onward)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    forward(ms: number) {
      laterMs += ms
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

/** The container of a key: its plugin, started by arguments alone. */
async function startSidecar(
  folder: TempFolder,
  keyId: number,
  transit: Transit,
  address: string,
  ...more: readonly string[]
): Promise<PluginProcess> {
  await copyFile(transit.secretIdFile, folder.at(secretIdName(keyId)))
  const words = sidecarArguments({
    keyId,
    address,
    mount: transit.mount,
    key: transit.key,
    roleId: (await readFile(transit.roleIdFile, 'utf8')).trim(),
    files: folder.path,
    sockets: folder.path,
  })
  const socketPath = socketOf(keyId, folder.path)
  return await startPluginProcess({
    folder: folder.path,
    socketPath,
    words: [...words, ...more],
    config: {},
  })
}

async function keyIdOf({ client }: PluginProcess): Promise<string | undefined> {
  const status = await client.v2.status().catch(() => undefined)
  return status?.healthz === 'ok' ? status.keyId : undefined
}

test('a rotation at the key service, a change of the key and the migration to it fail no request', async () => {
  await using folder = await tempFolder()
  await using bao = await startOpenBao()
  await using service = await startLaterService(bao.address)
  const first = await bao.setupTransit({ folder: folder.path, key: 'first', mount: 'transit-1' })
  const second = await bao.setupTransit({ folder: folder.path, key: 'second', mount: 'transit-2' })
  await using one = await startSidecar(folder, 1, first, service.address)
  const before = await until('the first plugin is well', () => keyIdOf(one))
  await using etcd = await startEtcd(folder.path)
  const shape = { resources: RESOURCES, sockets: folder.path }
  const encryption = operatorEncryption([1], shape)
  await using server = await startApiServer({
    folder: folder.path,
    etcd,
    encryption,
    reloads: true,
  })
  const { api } = server
  await using load = new SecretLoad({ apis: [api], pauseMs: 50 })
  await using _pokes = pokeHealth([api])
  await until('there is something of before', () => load.of('write').length > 50)

  await bao.rotate(first)
  service.forward(ACTIVATION_MS + 60_000)
  const rotated = await until(
    'the first plugin takes up the rotation',
    async () => {
      const keyId = await keyIdOf(one)
      return keyId !== before && keyId
    },
    { limitMs: 120_000, everyMs: 200 },
  )
  await untilWrittenUnder(rotated, api, etcd)

  await using two = await startSidecar(folder, 2, second, service.address)
  await until('the second plugin is well', () => keyIdOf(two))
  // As the operators go: first it can be read, then it writes, then all is migrated, then the first one goes.
  let reloads = 0
  for (const keyIds of [
    [1, 2],
    [2, 1],
  ]) {
    await server.configure(operatorEncryption(keyIds, shape))
    reloads += 1
    await until(
      `${keyIds} are taken up`,
      async () => {
        const { body } = await api.send('GET', '/metrics')
        return metricSum(String(body), RELOADS, { status: 'success' }) >= reloads
      },
      { limitMs: TAKEN_UP_MS, everyMs: 500 },
    )
  }
  await rewriteAll(api, RESOURCES)
  await load.stop()
  const stored = [...(await etcd.read('/registry/secrets/')).values()].map(readStoredV2)
  assert.ok(stored.length > 0)
  assert.equal(new Set(stored.map(({ provider }) => provider)), new Set(['2_secrets']))

  await server.process.stop()
  assert.is(await one.stop(), 0, one.output())
  await server.configure(operatorEncryption([2], shape))
  await server.start()
  for (const kind of ['write', 'read'] as const) assert.equal(load.failures(kind), [])
  assert.equal(load.wrong, [])
  assert.equal(await load.differences(api), [])
  figure(
    `in OpenShift's shape: ${load.attempts.length} requests over a rotation and a change of the key, none failed, the slowest in ${Math.max(load.slowestMs('write'), load.slowestMs('read'))} ms; ${stored.length} Secrets under the second key`,
  )
})

test("OpenShift's own API takes what is printed, and refuses what the command refuses", async () => {
  await using folder = await tempFolder()
  await using etcd = await startEtcd(folder.path)
  await using server = await startApiServer({ folder: folder.path, etcd })
  await server.kubectl('apply', '--server-side', '-f', await apiServerDefinition())
  await server.kubectl('wait', '--for=condition=Established', 'crd/apiservers.config.openshift.io')
  const apply = async (text: string) => {
    await writeFile(folder.at('resource.yaml'), text)
    const flags = ['--dry-run=server', '--validate=strict', '-f', folder.at('resource.yaml')]
    return await server.kubectl('apply', ...flags)
  }

  const printed = await manifest(folder, 'transitKey')
  await until('the API server knows the resource', () =>
    apply(printed).then(
      () => true,
      (error: Error) => !/no matches for kind|not found/.test(String(error)),
    ),
  )
  assert.match(await apply(printed), /apiserver\.config\.openshift\.io\/cluster created/)
  // This version of the API is older than that field, which is why there is an option.
  const newer = await rejection(apply(await manifest(folder, 'vaultKeyPath')))
  assert.match(String(newer), /unknown field "spec\.encryption\.kms\.vault\.vaultKeyPath"/)

  for (const [what, { inResource }] of Object.entries(OPENSHIFT_REFUSALS)) {
    if (inResource === undefined) continue
    const resource = parse(printed)
    Object.assign(resource.spec.encryption.kms.vault, inResource)
    const refused = await rejection(apply(stringify(resource)))
    assert.match(String(refused), /is invalid/, what)
  }
})

/** What `trousseau manifests openshift` prints for a config that it takes. */
async function manifest(folder: TempFolder, keyField: string): Promise<string> {
  const out = folder.at(keyField)
  await writeFile(folder.at('config.json'), JSON.stringify(MANIFEST_CONFIG))
  const flags = ['--config', folder.at('config.json'), '--image', IMAGE, '--key-field', keyField]
  const { code, err } = await runCommand(['manifests', 'openshift', ...flags, '--out', out])
  assert.is(code, 0, err)
  return await readFile(`${out}/openshift-apiserver.yaml`, 'utf8')
}

test('from another plugin to this one and back, with both in the configuration, everything stays readable', async () => {
  await using folder = await tempFolder()
  await using bao = await startOpenBao({ tls: true })
  const transit = await bao.setupTransit({ folder: folder.path })
  await using other = await startOtherPlugin(folder, bao)
  const trust = `-tls-ca-file=${bao.caFile}`
  await using ours = await startSidecar(folder, 1, transit, bao.address, trust)
  await until('this plugin is well', () => keyIdOf(ours))
  const entry = (name: string, socket: string) => ({
    kms: { apiVersion: 'v2', name, endpoint: `unix://${socket}`, timeout: '10s' },
  })
  const theirs = entry('vault-kms', other.socket)
  const own = entry('trousseau', ours.socketPath)
  const identity = { identity: {} }
  await using etcd = await startEtcd(folder.path)
  await using server = await startApiServer({
    folder: folder.path,
    etcd,
    encryption: encryptionBy([theirs, identity], ['secrets']),
  })
  const { api } = server
  for (let n = 0; n < 10; n += 1) await api.createSecret(`secret-${n}`, { text: `text-${n}` })
  const providers = async () => {
    const values = [...(await etcd.read('/registry/secrets/')).values()]
    return [...new Set(values.map((value) => readStoredV2(value).provider))]
  }
  assert.equal(await providers(), ['vault-kms'])

  for (const [from, to, name] of [
    [theirs, own, 'trousseau'],
    [own, theirs, 'vault-kms'],
  ] as const) {
    for (const encryption of [
      [from, to],
      [to, from],
    ]) {
      await server.configure(encryptionBy([...encryption, identity], ['secrets']))
      await server.process.stop()
      await server.start()
    }
    await rewriteAll(api, ['secrets'])
    assert.equal(await providers(), [name])
    await server.configure(encryptionBy([to, identity], ['secrets']))
    await server.process.stop()
    await server.start()
    for (let n = 0; n < 10; n += 1) {
      assert.equal(await api.readSecret(`secret-${n}`), { text: `text-${n}` })
    }
  }
})

/** A plugin of which nothing is known but the protocol. */
async function startOtherPlugin(folder: TempFolder, bao: OpenBao) {
  const socket = folder.at('other.sock')
  const tokenFile = folder.at('token')
  await bao.request('POST', 'transit/keys/kms', {})
  await writeFile(tokenFile, bao.rootToken, { mode: 0o600 })
  const options = { socket, port: Number(new URL(bao.address).port), key: 'kms', tokenFile }
  const child = spawn(NODE, [OLD_PLUGIN, JSON.stringify(options)], { stdio: 'ignore' })
  const closed = once(child, 'close')
  return {
    socket,
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM')
      await closed
    },
  }
}

test.run()
