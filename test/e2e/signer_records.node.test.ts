/**
 * What the audit stream, traces and the log say of tokens that are signed, at the most verbose level:
 * one record for each, and no claim, token, signature or credential in any of it.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { readFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { keyIdHash } from '../../src/base/key_id_hash.ts'
import { createKeyFile } from '../../src/services/local/key_file.ts'
import { connectSigner, headerOf } from '../_lib/grpc/signer_client.ts'
import { auditFiles, linesAt } from '../_lib/observe/audit_scene.ts'
import { attributesOf } from '../_lib/observe/otlp.ts'
import { startOtlpCollector } from '../_lib/observe/otlp_collector.ts'
import { adminPage } from '../_lib/plugin/admin_page.ts'
import { runCommand, startWellPlugin } from '../_lib/plugin/process.ts'
import { startOpenBao } from '../_lib/services/vault/openbao.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { rejection, suite } from '../_lib/uvu.ts'

const test = suite('e2e/signer_records', () => ({}))
const AT_ONCE = 32
const PLANTED = 'planted-in-claims'
const [SERVER, INTERNAL, CLIENT] = [2, 1, 3]

function claimsOf(index: number): string {
  return Buffer.from(JSON.stringify({ sub: `${PLANTED}-${index}` })).toString('base64url')
}

test('each Sign has its line and its spans, and nothing of a token comes out [J16]', async () => {
  await using folder = await tempFolder()
  await using bao = await startOpenBao()
  await using collector = await startOtlpCollector()
  const keySettings = { type: 'ecdsa-p256' }
  const options = { folder: folder.path, key: 'k8s-sa', keySettings, signs: true }
  const transit = await bao.setupTransit(options)
  await createKeyFile(folder.at('keys'), () => Date.now())
  await using plugin = await startWellPlugin({
    folder: folder.path,
    config: {
      providers: [{ name: 'here', type: 'local', keyFile: folder.at('keys') }],
      stateDir: folder.at('state'),
      log: { level: 'debug', format: 'json' },
      admin: { listen: `unix://${folder.at('admin.sock')}` },
      audit: { to: folder.at('audit.log') },
      traces: { endpoint: `http://${collector.address}` },
      signer: {
        socket: { path: folder.at('signer.sock') },
        key: { type: 'vault', allowInsecureHttp: true, ...transit.provider },
      },
    },
  })
  using client = connectSigner(folder.at('signer.sock'))
  const tokens = await Promise.all(
    Array.from({ length: AT_ONCE }, (_, index) => client.sign(claimsOf(index))),
  )
  const broken = await rejection(client.sign(`${PLANTED}.${claimsOf(0)}=`))
  await bao.stop()
  const away = await rejection(client.sign(claimsOf(AT_ONCE)))
  const pages = await Promise.all(
    ['/statusz', '/metrics', '/', '/readyz?verbose'].map((path) =>
      adminPage(folder.at('admin.sock'), path),
    ),
  )
  assert.is(await plugin.stop(), 0)

  const lines = await linesAt(folder.at('audit.log'))
  const signs = lines.filter(({ operation }) => operation === 'Sign')
  assert.is(signs.length, AT_ONCE + 2)
  const good = signs.filter(({ code }) => code === 'ok')
  assert.is(good.length, AT_ONCE)
  const { kid = '' } = headerOf(tokens[0] ?? { header: '' })
  for (const { endpoint, api, providers, key_id_hash: hash, decision } of good) {
    assert.equal(
      [endpoint, api, decision, hash],
      ['signer', 'externaljwt', 'allowed', keyIdHash(kid)],
    )
    const [use] = providers as Record<string, unknown>[]
    assert.equal([use?.['name'], use?.['operation'], use?.['key_version']], ['signer', 'sign', '1'])
  }
  assert.equal(
    signs.slice(AT_ONCE).map(({ decision }) => decision),
    ['not_made', 'allowed'],
  )
  const verified = await runCommand(['audit', 'verify', folder.at('audit.log')])
  assert.match(verified.out, `${lines.length}`)

  const spans = collector.spans()
  const of = (wanted: number) => spans.filter(({ kind }) => kind === wanted)
  const servers = of(SERVER).filter(({ name }) => name === 'v1.ExternalJWTSigner/Sign')
  assert.is(servers.length, AT_ONCE + 2)
  const uses = of(INTERNAL).filter(({ name }) => name === 'sign signer')
  assert.is(uses.length, AT_ONCE + 1)
  const batches = of(CLIENT).filter(({ name }) => name === 'batch sign signer')
  assert.ok(batches.length < AT_ONCE, 'some carried several')
  const carried = batches.map((batch) => Number(attributesOf(batch)['trousseau.items']))
  assert.ok(carried.reduce((sum, items) => sum + items, 0) >= AT_ONCE)

  const secretId = await readFile(folder.at('trousseau-transit-k8s-sa-secret-id'), 'utf8')
  const secrets = [
    ...[PLANTED, claimsOf(0).slice(0, -2), Buffer.from(PLANTED).toString('base64').slice(1, -3)],
    ...tokens.flatMap(({ signature }) => [signature, signature.slice(0, 40)]),
    secretId.trim(),
  ]
  const audited = await Promise.all(
    (await auditFiles(folder.path)).map((file) => readFile(file, 'utf8')),
  )
  const state = await readFile(folder.at('state/signer.json'), 'utf8')
  const said = [plugin.output(), ...audited, collector.text(), ...pages, state]
  const all = [...said, String(broken), String(away)].join('\n')
  for (const secret of secrets) assert.not(all.includes(secret), secret.slice(0, 8))
  assert.not.match(all, /\b(?:hv)?s\.[A-Za-z0-9]{24}/, 'a token of the key service')
})

test.run()
