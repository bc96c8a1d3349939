/**
 * `trousseau scan` on what a real API server stored, and on an etcd that requires client
 * certificates.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { keyIdHash } from '../../src/base/key_id_hash.ts'
import { encryptionOf, startApiServer } from '../_lib/cluster/api_server.ts'
import { startEtcd } from '../_lib/cluster/etcd.ts'
import { readStoredV2, seedsOf } from '../_lib/cluster/stored.ts'
import { freePort } from '../_lib/free_port.ts'
import { runCommand, startPluginProcess } from '../_lib/plugin/process.ts'
import { makeAuthority, makeCertificate } from '../_lib/remote/certificates.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { etcdWriter } from '../_lib/tools/etcd_writer.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const test = suite('cluster/scan', () => ({}), 300_000)

const PLANTED = 'planted-8c2f-plaintext'
const HASHES =
  /apiserver_envelope_encryption_key_id_hash_total\{[^}]*key_id_hash="(sha256:[0-9a-f]{64})"/g
const report = v.object({
  ok: v.boolean(),
  objects: v.number(),
  decrypts: v.number(),
  totals: v.record(v.string(), v.number()),
  rows: v.array(
    v.object({
      resource: v.string(),
      form: v.string(),
      provider: v.optional(v.string()),
      keyId: v.optional(v.string()),
      keyIdHash: v.optional(v.string()),
      objects: v.number(),
      verdict: v.string(),
    }),
  ),
})

async function scan(...args: string[]) {
  const { code, out, err } = await runCommand(['scan', '--json', ...args])
  assert.is(err, '')
  assert.not.match(out, PLANTED)
  return { code, ...v.parse(report, JSON.parse(out)) }
}

async function complaint(...args: string[]): Promise<string> {
  const { code, out, err } = await runCommand(['scan', ...args])
  assert.is(code, 1, err)
  assert.is(out, '')
  return err
}

test('scan agrees with a decoder of its own and with the metrics of the API server, before and after a new key version, and finds what is wrong', async () => {
  await using folder = await tempFolder()
  const keyFile = folder.at('keys')
  assert.is((await runCommand(['keygen', keyFile])).code, 0)
  await using plugin = await startPluginProcess({
    folder: folder.path,
    config: {
      providers: [{ name: 'here', type: 'local', keyFile }],
      rotation: { activationDelay: '1s' },
      health: { interval: '1s' },
    },
  })
  await using etcd = await startEtcd(folder.path)
  await using writer = etcdWriter(etcd.endpoint)
  await using server = await startApiServer({
    folder: folder.path,
    etcd,
    encryption: encryptionOf(plugin.socketPath, { resources: ['secrets'] }),
  })
  const from = ['--endpoints', etcd.endpoint, '--config', plugin.configPath]
  for (let at = 0; at < 20; at += 1) await server.api.createSecret(`before-${at}`, { a: PLANTED })
  const { keyId: before } = await plugin.client.v2.status()
  const first = await scan(...from)
  assert.is(first.code, 0)
  assert.ok(first.ok)

  assert.is((await runCommand(['keygen', keyFile, '--add-version'])).code, 0)
  const after = await until('another key id', async () => {
    const { keyId } = await plugin.client.v2.status()
    return keyId === before ? undefined : keyId
  })
  await until(
    'something is written under it',
    async () => {
      await server.api.createSecret(`after-${performance.now()}`, { a: PLANTED })
      const values = [...(await etcd.read('/registry/secrets/')).values()]
      return values.some((value) => readStoredV2(value).keyId === after)
    },
    { limitMs: 120_000, everyMs: 1_000 },
  )

  const stored = await etcd.read('/registry/')
  const secrets = [...stored].filter(([key]) => key.startsWith('/registry/secrets/'))
  const decoded = secrets.map(([, value]) => readStoredV2(value))
  const file = folder.at('snapshot.db')
  await etcd.snapshot(file)
  for (const source of [
    ['--endpoints', etcd.endpoint],
    ['--snapshot', file],
  ]) {
    const found = await scan(...source, '--config', plugin.configPath)
    assert.is(found.code, 3)
    assert.is(found.objects, stored.size)
    assert.is(found.decrypts, seedsOf(secrets.map(([, value]) => value)))
    const rows = found.rows.filter(({ form }) => form === 'kms-v2')
    for (const keyId of [before, after]) {
      const row = rows.find((each) => each.keyId === keyId)
      assert.is(row?.objects, decoded.filter((each) => each.keyId === keyId).length)
      assert.is(row?.resource, 'secrets')
      assert.is(row?.provider, 'trousseau')
      assert.is(row?.verdict, keyId === after ? 'ok' : 'stale')
      assert.is(row?.keyIdHash, keyIdHash(keyId))
    }
    assert.is(found.totals['stale'], decoded.filter(({ keyId }) => keyId === before).length)
    const { body } = await server.api.send('GET', '/metrics')
    const hashes = new Set([...String(body).matchAll(HASHES)].map(([, hash]) => hash))
    assert.equal(new Set(rows.map((row) => row.keyIdHash)), hashes)
  }

  const [key = '', value = Buffer.alloc(0)] = secrets[0] ?? []
  await writer.put(`${key}-cut`, value.subarray(0, 60))
  await writer.put(`${key}-plain`, Buffer.from('k8s\0x'))
  await writer.put(
    `${key}-empty`,
    Buffer.concat([Buffer.from('k8s:enc:kms:v1:old:\0\0'), Buffer.alloc(40)]),
  )
  const { totals } = await scan(...from)
  assert.is(totals['damaged'], 1)
  assert.is(totals['plaintext'], 1)
  assert.is(totals['empty-key'], 1)
})

test('scan speaks TLS with a client certificate, goes on to a member that answers, and says why one does not', async () => {
  await using folder = await tempFolder()
  const [authority, stranger] = [
    await makeAuthority(folder.path, 'etcd-ca'),
    await makeAuthority(folder.path, 'other-ca'),
  ]
  const server = await makeCertificate(folder.path, 'server', authority)
  const root = await makeCertificate(folder.path, 'root', authority)
  const reader = await makeCertificate(folder.path, 'reader', authority)
  const foreign = await makeCertificate(folder.path, 'foreign', stranger)
  await using etcd = await startEtcd(folder.path, { authority, server, client: root })
  await etcd.ctl('put', '/registry/pods/default/one', '{}')
  const ca = ['--cacert', authority.cert]
  const as = ({ cert, key }: typeof root) => [...ca, '--cert', cert, '--key', key]
  const at = ['--endpoints', etcd.endpoint]

  assert.is((await scan(...at, ...as(root))).objects, 1)
  const dead = `https://127.0.0.1:${await freePort()}`
  assert.is((await scan('--endpoints', `${dead},${etcd.endpoint}`, ...as(root))).objects, 1)

  // Where the certificate's address leads, under an address that it does not name.
  await using elsewhere = await relayAt('127.0.0.2', etcd.endpoint)
  const plain = etcd.endpoint.replace('https:', 'http:')
  const named = ['--server-name', 'etcd.example.org']
  for (const [args, wanted] of [
    [[...at, ...ca], /client certificate/],
    [[...at, ...as(foreign)], /client certificate/],
    [at, /signed by none of the authorities/],
    [[...at, ...as(root), ...named], /for another name/],
    [['--endpoints', dead], /nobody listens there/],
    [['--endpoints', plain], /perhaps it speaks TLS/],
    [['--endpoints', elsewhere.endpoint, ...as(root)], /for another name/],
  ] as const) {
    assert.match(await complaint(...args), wanted)
  }
  const localhost = etcd.endpoint.replace('127.0.0.1', 'localhost')
  assert.is((await scan('--endpoints', localhost, ...as(root))).objects, 1)
  assert.is((await scan(...at, ...as(root), '--server-name', 'localhost')).objects, 1)
  await writeFile(folder.at('none.pem'), 'none')
  assert.match(await complaint(...at, '--cacert', folder.at('none.pem')), /signed by none/)
  const swapped = [...ca, '--cert', root.cert, '--key', reader.key]
  assert.match(await complaint(...at, ...swapped), /--key of the key of the first one in --cert/)

  for (const args of [
    ['user', 'add', 'root', '--no-password'],
    ['user', 'grant-role', 'root', 'root'],
    ['user', 'add', 'reader', '--no-password'],
    ['auth', 'enable'],
  ]) {
    await etcd.ctl(...args)
  }
  assert.is((await scan(...at, ...as(root))).objects, 1)
  assert.match(await complaint(...at, ...as(reader)), /does not let this client read/)
})

test('scan of an etcd without TLS says so to whoever speaks it, and names a prefix that has nothing', async () => {
  await using folder = await tempFolder()
  await using etcd = await startEtcd(folder.path)
  const secure = etcd.endpoint.replace('http:', 'https:')
  assert.match(await complaint('--endpoints', secure), /perhaps it speaks no TLS/)
  assert.match(
    await complaint('--endpoints', etcd.endpoint),
    /No key of .* begins with \/registry\//,
  )
})

async function relayAt(host: string, endpoint: string) {
  const port = Number(new URL(endpoint).port)
  const server = createServer((socket) => {
    const onward = connect(port, '127.0.0.1')
    socket.on('error', () => onward.destroy()).pipe(onward)
    onward.on('error', () => socket.destroy()).pipe(socket)
  })
  server.listen(0, host)
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('No port')
  return {
    endpoint: `https://${host}:${address.port}`,
    async [Symbol.asyncDispose]() {
      server.close()
      await once(server, 'close')
    },
  }
}

test.run()
