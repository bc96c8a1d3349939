/**
 * A real Prometheus scrapes a real plugin and a real API server: every query of the dashboard
 * answers with data, what was counted is what was asked, and alerts come for real faults.
 *
 * @module
 */

import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import * as assert from 'uvu/assert'
import { parse, stringify } from 'yaml'
import { createKeyFile } from '../../src/services/local/key_file.ts'
import { type ApiServer, encryptionOf, startApiServer } from '../_lib/cluster/api_server.ts'
import { startEtcd } from '../_lib/cluster/etcd.ts'
import { SecretLoad } from '../_lib/cluster/secret_load.ts'
import { freePort } from '../_lib/free_port.ts'
import { type Prometheus, startPrometheus } from '../_lib/package/prometheus.ts'
import { changeText } from '../_lib/plugin/config_change.ts'
import { type Kind, KmsLoad } from '../_lib/plugin/kms_load.ts'
import { type PluginProcess, startWellPlugin } from '../_lib/plugin/process.ts'
import { type OpenBao, startOpenBao } from '../_lib/services/vault/openbao.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const MONITORING = fileURLToPath(new URL('../../deploy/monitoring/', import.meta.url))
/** Kinds of requests that the load alone makes: by v2 the API server asks too. */
const COUNTED = {
  encrypt_v1: 'api="v1beta1", method="Encrypt"',
  decrypt_v1: 'api="v1beta1", method="Decrypt"',
} as const satisfies Partial<Record<Kind, string>>
const KINDS = Object.keys(COUNTED) as (keyof typeof COUNTED)[]
const TRIED = 100
/** An API server asks for the status once a minute. */
const LONGEST_MS = 90_000

const test = suite('cluster/monitoring', () => ({}), 300_000)

interface Scene {
  readonly folder: TempFolder
  readonly plugin: PluginProcess
  readonly prometheus: Prometheus
  readonly server: ApiServer
  readonly bao: OpenBao
}

/** One that is reached over TLS, and one that is a file. */
async function pluginWith(folder: TempFolder, bao: OpenBao, admin: number): Promise<PluginProcess> {
  const { provider } = await bao.setupTransit({ folder: folder.path })
  const keyFile = folder.at('keys')
  await createKeyFile(keyFile, Date.now)
  return await startWellPlugin({
    folder: folder.path,
    config: {
      providers: [
        { name: 'bao', type: 'vault', ...provider, tls: { caFile: bao.caFile } },
        { name: 'here', type: 'local', keyFile },
      ],
      protection: { mode: 'any' },
      rotation: { activationDelay: '1s' },
      health: { interval: '1s' },
      admin: { listen: `127.0.0.1:${admin}` },
    },
  })
}

/** The files that ship, with other addresses and shorter times, and the API server beside. */
async function configFor(folder: TempFolder, admin: number, server: ApiServer): Promise<string> {
  const rules = parse(await readFile(`${MONITORING}rules.yaml`, 'utf8'))
  for (const rule of rules.groups.flatMap((group: { rules: { for?: string }[] }) => group.rules)) {
    if (rule.for !== undefined) rule.for = '0s'
  }
  await writeFile(folder.at('rules.yaml'), stringify(rules))
  const config = parse(await readFile(`${MONITORING}prometheus-static.yaml`, 'utf8'))
  const { users } = parse(await readFile(server.kubeconfig, 'utf8'))
  config.global = { scrape_interval: '1s', evaluation_interval: '1s' }
  config.scrape_configs[0].static_configs = [{ targets: [`127.0.0.1:${admin}`] }]
  config.scrape_configs.push({
    job_name: 'kubernetes-apiservers',
    scheme: 'https',
    tls_config: { insecure_skip_verify: true },
    authorization: { credentials: users[0].user.token },
    static_configs: [{ targets: [new URL(server.address).host] }],
  })
  await writeFile(folder.at('prometheus.yaml'), stringify(config), { mode: 0o600 })
  return folder.at('prometheus.yaml')
}

/** All queries of the file that Grafana imports, with its variables as it would set them. */
async function dashboardQueries(): Promise<string[]> {
  const { panels } = JSON.parse(await readFile(`${MONITORING}dashboard.json`, 'utf8'))
  return panels.flatMap(({ targets = [] }: { targets?: { expr: string }[] }) =>
    targets.map(({ expr }) =>
      expr.replaceAll('$instance', '.*').replaceAll('$__rate_interval', '15s'),
    ),
  )
}

async function everyQueryHasData({ prometheus, plugin, server }: Scene): Promise<void> {
  await using _requests = new KmsLoad(plugin.socketPath)
  await using _secrets = new SecretLoad({ apis: [server.api] })
  const queries = new Set(await dashboardQueries())
  assert.ok(queries.size > 25)
  const answered = async () => {
    for (const expr of queries) {
      const samples = await prometheus.query(expr)
      if (samples.some(({ value }) => Number.isFinite(value))) queries.delete(expr)
    }
    return queries.size === 0
  }
  await until('every query of the dashboard has data', answered, {
    limitMs: LONGEST_MS,
    everyMs: 500,
  }).catch((cause: unknown) => {
    throw new Error(`No data for ${[...queries].join('\n')}`, { cause })
  })
}

async function countsAgree({ prometheus, plugin }: Scene): Promise<void> {
  const total = (labels: string) =>
    prometheus.number(`sum(trousseau_requests_total{${labels}, code="ok"})`)
  const before = new Map<Kind, number>()
  for (const kind of KINDS) before.set(kind, (await total(COUNTED[kind])) ?? 0)
  await using load = new KmsLoad(plugin.socketPath)
  await until('all was asked often', () => KINDS.every((kind) => load.of(kind).length >= TRIED))
  await load.stop()
  assert.equal(load.wrong, [])
  for (const kind of KINDS) {
    const asked = load.of(kind).length
    assert.equal(load.failures(kind), [])
    const counted = async () => ((await total(COUNTED[kind])) ?? 0) - (before.get(kind) ?? 0)
    await until(`Prometheus counts ${asked} of ${kind}`, async () => (await counted()) === asked, {
      limitMs: 15_000,
      everyMs: 200,
    })
  }
}

/** Those about time say something of a loaded machine. */
async function otherAlerts(prometheus: Prometheus): Promise<unknown[]> {
  const expected = ['TrousseauCertificateEnds', 'TrousseauSlow', 'TrousseauHeldUp']
  const names = (await prometheus.firing()).map(({ labels }) => labels['alertname'] ?? '')
  return names.filter((name) => !expected.includes(name))
}

async function fires({ prometheus }: Scene, name: string, summary: RegExp): Promise<void> {
  const alert = await until(
    `${name} fires`,
    async () => (await prometheus.firing()).find(({ labels }) => labels['alertname'] === name),
    { limitMs: 30_000, everyMs: 200 },
  )
  assert.match(alert.annotations['summary'] ?? '', summary)
  assert.is(alert.annotations['runbook_url'], `docs/alerts.md#${name.toLowerCase()}`)
}

test('every query of the dashboard has data, counts are those of the load, and real faults raise their alerts', async () => {
  await using folder = await tempFolder()
  await using bao = await startOpenBao({ tls: true })
  const admin = await freePort()
  await using plugin = await pluginWith(folder, bao, admin)
  await using etcd = await startEtcd(folder.path)
  const encryption = encryptionOf(plugin.socketPath)
  await using server = await startApiServer({ folder: folder.path, etcd, encryption })
  const config = await configFor(folder, admin, server)
  await using prometheus = await startPrometheus(folder, config)
  const scene: Scene = { folder, plugin, prometheus, server, bao }
  await until('both are scraped', async () => (await prometheus.query('up == 1')).length === 2)

  await countsAgree(scene)
  await everyQueryHasData(scene)

  // The tests' own authority and its certificates do not last for a week.
  await fires(
    scene,
    'TrousseauCertificateEnds',
    /^The (server|authority) certificate of provider bao/,
  )
  assert.equal(await otherAlerts(prometheus), [], 'nothing else is wrong yet')
  await changeText(plugin, 'nonsense: true')
  await fires(scene, 'TrousseauConfigRefused', new RegExp(`on 127\\.0\\.0\\.1:${admin} is refused`))
  await bao.stop()
  await fires(scene, 'TrousseauProviderUnhealthy', /^The provider bao on 127/)
  await fires(scene, 'TrousseauKeyServiceAway', /^A key service is away/)
})

test.run()
