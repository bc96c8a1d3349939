/**
 * The bundle in an environment that would weaken it: no variable adds an authority or turns
 * verification off, and with variables that would write secrets down it does not start.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import process from 'node:process'
import { text } from 'node:stream/consumers'
import * as assert from 'uvu/assert'
import {
  bundleCommand,
  RUNTIMES,
  type Runtime,
  startPluginProcess,
} from '../_lib/plugin/process.ts'
import { makeAuthority, makeCertificate } from '../_lib/remote/certificates.ts'
import { startTlsServer } from '../_lib/remote/tls_server.ts'
import { startFakeVault } from '../_lib/services/vault/fake.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { startFakeEtcd } from '../_lib/tools/fake_etcd.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const test = suite('e2e/environment', () => ({}))

async function authorityIn(folder: TempFolder) {
  const root = await makeAuthority(folder.path, 'Root CA')
  return { root, server: await makeCertificate(folder.path, 'server', root) }
}

/** Every variable that gives a runtime more authorities, or takes verification away. */
function weakening(authority: string): Record<string, string>[] {
  const common = { SSL_CERT_FILE: authority, NODE_TLS_REJECT_UNAUTHORIZED: '0' }
  return [
    {
      ...common,
      NODE_EXTRA_CA_CERTS: authority,
      NODE_USE_SYSTEM_CA: '1',
      GRPC_DEFAULT_SSL_ROOTS_FILE_PATH: authority,
      DENO_CERT: authority,
      DENO_TLS_CA_STORE: 'system,mozilla',
    },
    { ...common, NODE_OPTIONS: '--use-openssl-ca' },
  ]
}

for (const runtime of RUNTIMES) {
  test(`${runtime}: without tls.caFile no authority counts that only the environment names`, async () => {
    await using folder = await tempFolder()
    const { root, server } = await authorityIn(folder)
    await writeFile(folder.at('token'), 'a-token-that-nobody-gets')
    for (const environment of weakening(root.cert)) {
      await using up = await startTlsServer(server)
      const auth = { method: 'token', tokenFile: folder.at('token') }
      const provider = { name: 'v', type: 'vault', address: `https://${up.host}`, key: 'k', auth }
      await using plugin = await startPluginProcess({
        runtime,
        environment,
        folder: folder.path,
        hosts: [up.host],
        config: { providers: [provider] },
      })
      await until(
        'it has asked or refused',
        () => up.paths.length > 0 || plugin.output().includes('UNABLE_TO_VERIFY'),
      )
      assert.equal(up.paths, [], `asked with ${Object.keys(environment)}`)
    }
  })

  test(`${runtime}: scan without --cacert trusts no authority that only the environment names`, async () => {
    await using folder = await tempFolder()
    const { root, server } = await authorityIn(folder)
    const tls = { cert: await readFile(server.cert), key: await readFile(server.key) }
    await using etcd = await startFakeEtcd(new Map(), tls)
    const scan = ['scan', '--endpoints', etcd.endpoint]
    const hosts = [new URL(etcd.endpoint).host]

    const trusted = await ended(runtime, folder, [...scan, '--cacert', root.cert], {}, hosts)
    assert.match(trusted.said, 'begins with /registry/', 'it was asked')
    for (const environment of weakening(root.cert)) {
      const { code, said } = await ended(runtime, folder, scan, environment, hosts)
      assert.is(code, 1, said)
      assert.match(said, 'etcd does not answer')
    }
  })

  test(`${runtime}: a variable that would have secrets written down is refused by name`, async () => {
    await using folder = await tempFolder()
    for (const [name, value] of [
      ['NODE_DEBUG', 'stream'],
      ['NODE_OPTIONS', `--no-warnings --tls_keylog=${folder.at('keys')}`],
      ['SSLKEYLOGFILE', folder.at('keys')],
    ] as const) {
      const { code, said } = await ended(runtime, folder, ['version'], { [name]: value })
      assert.is(code, 2, said)
      assert.match(said, `trousseau: Variable ${name} of the environment `)
      assert.match(said, ': unset it\n')
    }
  })

  test(`${runtime}: what grpc-js tells at its most verbose has no secret in it`, async () => {
    await using folder = await tempFolder()
    await using cluster = await startFakeVault()
    const { provider } = await cluster.setupApprole(folder.path)
    await using plugin = await startPluginProcess({
      runtime,
      environment: { GRPC_TRACE: 'all', GRPC_VERBOSITY: 'DEBUG' },
      folder: folder.path,
      hosts: [new URL(cluster.node(0).address).host],
      config: { providers: [{ name: 'v', type: 'vault', allowInsecureHttp: true, ...provider }] },
    })
    const plaintext = Buffer.from('planted-seed-of-32-bytes-exactly')
    const works = () => plugin.client.v2.encrypt({ plaintext, uid: 'u' }).catch(() => undefined)
    const made = await until('it works', works)
    await plugin.client.v2.decrypt({ ...made, uid: 'u' })

    const [token = ''] = cluster.nodes
      .flatMap(({ requests }) => requests.map(({ headers }) => headers['x-vault-token']))
      .filter((each) => typeof each === 'string')
    assert.match(plugin.output(), 'grpc')
    assert.ok(token.length > 8)
    const bytes = (hex: string) => hex.replaceAll(/..(?=.)/g, '$& ').slice(0, 30)
    for (const secret of [plaintext, Buffer.from(token)]) {
      const forms = [secret.toString(), secret.toString('base64'), secret.toString('hex')]
      for (const form of [...forms, bytes(secret.toString('hex'))]) {
        assert.not(plugin.output().includes(form), `found ${form.slice(0, 8)}…`)
      }
    }
  })
}

test.run()

async function ended(
  runtime: Runtime,
  folder: TempFolder,
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
  hosts: readonly string[] = [],
): Promise<{ code: number; said: string }> {
  const [command, all] = bundleCommand({ runtime, folder: folder.path, hosts }, args)
  const { PATH, HOME } = process.env
  const child = spawn(command, all, { env: { PATH, HOME, ...environment } })
  const [said, [code]] = await Promise.all([text(child.stderr), once(child, 'close')])
  return { code, said }
}
