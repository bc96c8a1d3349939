/** Doctor with a real API server that uses the plugin, and with one that does not. @module */

import { execFile } from 'node:child_process'
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import * as assert from 'uvu/assert'
import { generateRecoveryKey } from '../../src/recovery/jwk.ts'
import { type ApiServer, encryptionOf, startApiServer } from '../_lib/cluster/api_server.ts'
import { startEtcd } from '../_lib/cluster/etcd.ts'
import { bundleCommand, startPluginProcess } from '../_lib/plugin/process.ts'
import { startOpenBao } from '../_lib/services/vault/openbao.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const run = promisify(execFile)
const test = suite('cluster/doctor', () => ({}), 300_000)

interface Said {
  readonly well: boolean
  readonly findings: readonly {
    readonly id: string
    readonly level: string
    readonly what: string
  }[]
}

test('no warning on a healthy node with a real API server; one that asks another plugin is told', async () => {
  await using folder = await tempFolder()
  // What lies below /tmp is gone after a boot, and doctor says so.
  const lasting = await mkdtemp('/var/tmp/tr-')
  await using bao = await startOpenBao({ tls: true })
  await copyFile(bao.caFile, join(lasting, 'ca.pem'))
  const tls = { caFile: join(lasting, 'ca.pem') }
  const transit = await bao.setupTransit({ folder: lasting })
  await bao.request('POST', `${transit.mount}/keys/${transit.key}/config`, {
    auto_rotate_period: '2160h',
  })
  const { publicJwk } = await generateRecoveryKey('P-256')
  await writeFile(join(lasting, 'recovery.pub.json'), JSON.stringify(publicJwk))
  const config = {
    providers: [{ name: 'bao', type: 'vault', tls, ...transit.provider }],
    stateDir: join(lasting, 'state'),
    admin: { listen: `unix://${lasting}/admin.sock` },
    recovery: { recipients: [join(lasting, 'recovery.pub.json')] },
  }
  await using plugin = await startPluginProcess({ folder: lasting, config })
  await until('it is ready', () => plugin.client.v2.status().catch(() => undefined))
  await using etcd = await startEtcd(folder.path)
  const encryption = encryptionOf(plugin.socketPath)
  await using server = await startApiServer({ folder: folder.path, etcd, encryption })
  const doctor = async (of: ApiServer): Promise<Said> => {
    const files = ['--encryption-config', of.encryptionFile, '--kubeconfig', of.kubeconfig]
    const args = ['doctor', '--config', plugin.configPath, ...files, '--json']
    const [command, all] = bundleCommand({ folder: folder.path }, args)
    const { stdout } = await run(command, all).catch((error: { stdout: string }) => error)
    return JSON.parse(stdout)
  }

  const { findings, well } = await doctor(server)

  const bad = findings.filter(({ level }) => level === 'warning' || level === 'error')
  assert.equal(bad, [])
  assert.is(well, true)
  assert.ok(
    findings.some(
      ({ id, level, what }) => id === 'api-server' && level === 'ok' && /v1\.\d+/.test(what),
    ),
  )
  assert.ok(findings.some(({ id, level }) => id === 'api-server-key-id' && level === 'ok'))

  await using other = await tempFolder()
  await bao.request('POST', `${transit.mount}/keys/other`, {})
  const path = `sys/policies/acl/${transit.policy}`
  const { data } = (await bao.request('GET', path)) as { data: { policy: string } }
  const more = `path "${transit.mount}/+/other" { capabilities = ["read", "update"] }`
  await bao.request('POST', path, {
    policy: `${data.policy}
${more}`,
  })
  const second = {
    ...config,
    providers: [{ ...config.providers[0], key: 'other' }],
    stateDir: other.at('state'),
  }
  const { admin: _, ...rest } = second
  await using wrong = await startPluginProcess({ folder: other.path, config: rest })
  await until('it is ready', () => wrong.client.v2.status().catch(() => undefined))
  await using elsewhere = await startApiServer({
    folder: folder.path,
    etcd,
    encryption: encryptionOf(wrong.socketPath, { name: 'other' }),
    name: 'two',
  })

  const told = await doctor(elsewhere)
  assert.ok(
    told.findings.some(({ id, level }) => id === 'api-server-key-id' && level === 'warning'),
  )
  assert.ok(told.findings.some(({ id }) => id === 'encryption-endpoint'))
  await rm(lasting, { recursive: true, force: true })
})

test.run()
