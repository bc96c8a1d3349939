/**
 * Which certificates the client of etcd trusts, and what it says of others; over real TLS.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { readFile } from 'node:fs/promises'
import { create, toBinary } from '@bufbuild/protobuf'
import * as assert from 'uvu/assert'
import { toKmsError } from '../../../src/base/errors.ts'
import { connectEtcd } from '../../../src/tools/etcd/client.ts'
import { RangeRequestSchema } from '../../../src/tools/etcd/range_pb.ts'
import {
  type CertificateFiles,
  type CertificateUse,
  CLIENT_ONLY,
  ISSUING,
  makeAuthority,
  makeCertificate,
  SHA1,
} from '../../_lib/remote/certificates.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { startFakeEtcd } from '../../_lib/tools/fake_etcd.ts'
import { suite } from '../../_lib/uvu.ts'

const test = suite('tools/etcd/client', () => ({}))

async function setup(folder: string, use: CertificateUse = {}) {
  const root = await makeAuthority(folder, 'Root CA')
  const issuing = await makeCertificate(folder, 'Issuing CA', root, undefined, ISSUING)
  const server = await makeCertificate(folder, 'etcd', issuing, undefined, use)
  const cert = Buffer.concat([await readFile(server.cert), await readFile(issuing.cert)])
  const etcd = await startFakeEtcd(new Map(), { cert, key: await readFile(server.key) })
  const ask = async (authority: CertificateFiles) => {
    await using client = connectEtcd({
      endpoints: [etcd.endpoint],
      tls: { ca: await readFile(authority.cert), client: undefined, serverName: undefined },
      timeoutMs: 5_000,
      maxMessageBytes: 1_048_576,
    })
    const request = toBinary(RangeRequestSchema, create(RangeRequestSchema, { limit: 1n }))
    const answer = client.call('/etcdserverpb.KV/Range', request)
    return await answer.then((bytes) => (bytes instanceof Uint8Array ? 'ok' : bytes.status), saying)
  }
  return { root, issuing, ask, [Symbol.asyncDispose]: () => etcd[Symbol.asyncDispose]() }
}

function saying(error: unknown): string {
  return toKmsError(error).message
}

test('call() trusts an issuing authority alone in --cacert, and a root as before', async () => {
  await using folder = await tempFolder()
  await using one = await setup(folder.path)

  assert.is(await one.ask(one.issuing), 'ok')
  assert.is(await one.ask(one.root), 'ok')
})

test('call() says whose certificate it saw where no authority in --cacert vouches for it', async () => {
  await using folder = await tempFolder()
  await using one = await setup(folder.path)

  const said = await one.ask(await makeAuthority(folder.path, 'Other CA'))

  assert.match(said, 'signed by none of the authorities in --cacert')
  assert.ok(said.endsWith('it shows "etcd", issued by "Issuing CA", issued by "Root CA"'), said)
})

for (const [what, use, words] of [
  ['for logins alone', CLIENT_ONLY, /is not for servers: .*serverAuth/],
  ['signed with SHA-1', SHA1, /signed with SHA-1 or has a short key/],
] as const) {
  test(`call() has words for a certificate that is ${what}`, async () => {
    await using folder = await tempFolder()
    await using one = await setup(folder.path, use)

    assert.match(await one.ask(one.root), words)
  })
}

test.run()
