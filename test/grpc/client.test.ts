import { Buffer } from 'node:buffer'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer as createHttpServer } from 'node:http'
import { createServer as createHttp2Server } from 'node:http2'
import { createServer, type Socket } from 'node:net'
import * as assert from 'uvu/assert'
import { KmsError } from '../../src/base/errors.ts'
import { connectKms, METHODS, RpcError } from '../../src/grpc/client.ts'
import { plainDetails } from '../../src/grpc/plain_details.ts'
import { reach } from '../../src/grpc/reach.ts'
import { FAKE_ANNOTATION, FAKE_KEY_ID, Refusal, startFakePlugin } from '../_lib/grpc/fake_plugin.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { rejection, suite } from '../_lib/uvu.ts'

const test = suite('grpc/client', () => ({}))

const SEED = Buffer.from('0123456789abcdef0123456789abcdef')
const NOT_FOUND = 5
const TIMEOUT = { timeoutMs: 3_000 }

test('connectKms() calls Status, Encrypt and Decrypt of v2 [S1 D1]', async () => {
  await using plugin = await startFakePlugin()
  const client = connectKms(plugin.path, TIMEOUT)

  const { version, healthz, keyId } = await client.v2.status()
  assert.equal({ version, healthz, keyId }, { version: 'v2', healthz: 'ok', keyId: FAKE_KEY_ID })
  const made = await client.v2.encrypt({ plaintext: SEED, uid: 'u' })
  assert.equal(Object.keys(made.annotations), [FAKE_ANNOTATION])
  const { plaintext } = await client.v2.decrypt({ ...made, uid: 'u' })
  assert.ok(SEED.equals(plaintext))

  client.close()
})

test('connectKms() calls Version, Encrypt and Decrypt of v1beta1 [V1 V2]', async () => {
  await using plugin = await startFakePlugin()
  const client = connectKms(plugin.path, TIMEOUT)

  const { version, runtimeName, runtimeVersion } = await client.v1.version()
  assert.equal(
    { version, runtimeName, runtimeVersion },
    { version: 'v1beta1', runtimeName: 'fake', runtimeVersion: '1.0.0' },
  )
  const { cipher } = await client.v1.encrypt(Buffer.from('ping'))
  const { plain } = await client.v1.decrypt(cipher)
  assert.is(Buffer.from(plain).toString(), 'ping')

  client.close()
})

test('connectKms() tells the code, its name and the message of a failed call [T17]', async () => {
  await using plugin = await startFakePlugin({
    decrypt: () => {
      throw new Refusal('Clé inconnue', { code: NOT_FOUND })
    },
  })
  const client = connectKms(plugin.path, TIMEOUT)

  const error = await rejection(
    client.v2.decrypt({ ciphertext: SEED, uid: 'u', keyId: 'k', annotations: {} }),
  )
  assert.instance(error, RpcError)
  const { code, status, message } = error as RpcError
  assert.equal(
    { code, status, message },
    { code: NOT_FOUND, status: 'NOT_FOUND', message: 'Clé inconnue' },
  )

  client.close()
})

test('connectKms() gives up at its time limit', async () => {
  await using plugin = await startFakePlugin({ status: () => new Promise(() => undefined) })
  const client = connectKms(plugin.path, { timeoutMs: 100 })

  const error = await rejection(client.v2.status())
  assert.is((error as RpcError).status, 'DEADLINE_EXCEEDED')

  client.close()
})

for (const [what, listener] of [
  ['speaks HTTP/1', createHttpServer((_, answer) => answer.writeHead(404).end('no'))],
  ['hangs up', createServer((socket) => socket.destroy())],
  ['talks of something else', createServer((socket) => socket.end('220 mail.example.org ESMTP'))],
  ['says nothing', createServer(() => undefined)],
  [
    'speaks HTTP/2 and no gRPC',
    createHttp2Server((_, answer) => {
      answer.writeHead(404)
      answer.end('no')
    }),
  ],
] as const) {
  test(`a call where somebody ${what} fails with words that are not grpc-js's`, async () => {
    await using folder = await tempFolder()
    const path = folder.at('s')
    const sockets: Socket[] = []
    listener.on('connection', (socket: Socket) => sockets.push(socket)).listen(path)
    await once(listener, 'listening')
    const client = connectKms(path, { timeoutMs: 1_000 })

    const error = await rejection(client.v2.status())

    assert.match(
      (error as RpcError).message,
      /^(?:no answer in time|the connection was closed, or what listens there does not speak gRPC|what answers there does not speak gRPC, or gave up in the middle)$/,
    )
    client.close()
    for (const socket of sockets) socket.destroy()
    listener.close()
  })
}

test('an answer of etcd that is too long, and what is no message, are told in words', () => {
  for (const [details, words] of [
    [
      'Received message larger than max (70000000 vs 67108864)',
      'the answer is larger than the maximum that is taken',
    ],
    [
      'Response message parsing error: index out of range',
      'the answer is not a message of this API',
    ],
    ['Name resolution failed for target dns:etcd:2379', 'the name does not resolve'],
    ['Clé inconnue', 'Clé inconnue'],
  ] as const) {
    assert.is(plainDetails(details), words)
  }
})

test('connectKms() says localhost as authority unless told otherwise [T3]', async () => {
  const authorities: string[] = []
  await using plugin = await startFakePlugin({
    before: (_path, authority) => {
      authorities.push(authority)
    },
  })
  const escaped = encodeURIComponent(plugin.path)
  for (const options of [TIMEOUT, { ...TIMEOUT, authority: escaped }]) {
    const client = connectKms(plugin.path, options)
    await client.v2.status()
    client.close()
  }

  assert.equal(authorities, ['localhost', escaped])
})

test('raw() sends and gives back bytes as they are', async () => {
  await using plugin = await startFakePlugin({ extraMethod: '/other.Service/Other' })
  const client = connectKms(plugin.path, TIMEOUT)

  assert.is((await client.raw('/other.Service/Other', SEED)).length, 0)
  const error = await rejection(client.raw(METHODS.v2.decrypt.path, Buffer.from([0xff])))
  assert.is((error as RpcError).status, 'INVALID_ARGUMENT')

  client.close()
})

test('reach() resolves where somebody listens', async () => {
  await using plugin = await startFakePlugin()

  await reach(plugin.path, 1_000)
})

test('reach() says why nobody can be reached', async () => {
  await using folder = await tempFolder()
  const file = folder.at('file.sock')
  await writeFile(file, '')
  for (const [path, reason] of [
    [folder.at('none.sock'), 'there is no such file'],
    [`${file}/kms.sock`, 'there is no such file'],
    [file, 'nobody listens there'],
  ] as const) {
    const error = await rejection(reach(path, 1_000))

    assert.instance(error, KmsError)
    assert.is((error as KmsError).code, 'unavailable')
    assert.match((error as KmsError).message, `Cannot connect to ${path}: ${reason}`)
  }
})

test.run()
