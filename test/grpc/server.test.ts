import { once } from 'node:events'
import { existsSync, rmSync, watch } from 'node:fs'
import {
  chmod,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises'
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  constants,
} from 'node:http2'
import { connect, createServer, type Server } from 'node:net'
import { dirname } from 'node:path'
import process from 'node:process'
import { setImmediate } from 'node:timers'
import * as assert from 'uvu/assert'
import { systemClock } from '../../src/base/clock.ts'
import { KMS_ERROR_CODES, KmsError, type KmsErrorCode } from '../../src/base/errors.ts'
import { keyIdHash } from '../../src/base/key_id_hash.ts'
import type { KmsService } from '../../src/base/service.ts'
import { connectKms, RpcError } from '../../src/grpc/client.ts'
import { type GrpcServerOptions, startGrpcServer } from '../../src/grpc/server.ts'
import { draftFor } from '../../src/grpc/socket.ts'
import { RecordedEvents } from '../_lib/events.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { rejection, suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const KEY_ID = 'tr1-any-v1-test'
const SEED = new Uint8Array(32).fill(7)
const never = () => new Promise<never>(() => undefined)

/** Gives back what it got; each test breaks what it needs. */
function echo(change: Partial<KmsService> = {}): KmsService {
  return {
    status: () => KEY_ID,
    encrypt: ({ plaintext }) =>
      Promise.resolve({ ciphertext: plaintext, keyId: KEY_ID, annotations: {} }),
    decrypt: ({ ciphertext }) => Promise.resolve(ciphertext),
    ...change,
  }
}

interface Setup {
  readonly service?: Partial<KmsService>
  readonly options?: Partial<GrpcServerOptions>
  readonly path?: string
}

async function start(folder: TempFolder, { service, options, path = 'kms.sock' }: Setup = {}) {
  const events = new RecordedEvents()
  const server = await startGrpcServer({
    socket: { path: folder.at(path), mode: 0o600 },
    service: echo(service),
    statusVersion: 'v2',
    runtimeVersion: '1.2.3',
    requestTimeoutMs: 1_000,
    drainMs: 500,
    clock: systemClock,
    events,
    ...options,
  })
  const client = connectKms(server.path, { timeoutMs: 5_000 })
  return {
    events,
    server,
    client,
    async [Symbol.asyncDispose]() {
      client.close()
      await server.close()
    },
  }
}

async function failureOf(promise: Promise<unknown>): Promise<RpcError> {
  const error = await rejection(promise)
  assert.instance(error, RpcError)
  return error as RpcError
}

const test = suite('grpc/server', () => ({}))

/** An Encrypt whose bytes the test sends itself; it never gives up by itself, whatever its deadline. */
function encryptOn(session: ClientHttp2Session, headers = {}): ClientHttp2Stream {
  const request = session.request({
    ...headers,
    ':method': 'POST',
    ':path': '/v2.KeyManagementService/Encrypt',
    'content-type': 'application/grpc',
    te: 'trailers',
  })
  request.on('error', () => undefined)
  return request
}

test('Status answers v2, ok and the key id of the service [S1 S2 S4 S8]', async () => {
  await using folder = await tempFolder()
  await using one = await start(folder)

  const { version, healthz, keyId } = await one.client.v2.status()

  assert.equal([version, healthz, keyId], ['v2', 'ok', KEY_ID])
})

test('Status answers v2beta1 where the config says so, always the same [S2 S3]', async () => {
  await using folder = await tempFolder()
  await using one = await start(folder, { options: { statusVersion: 'v2beta1' } })

  const answers = await Promise.all(Array.from({ length: 20 }, () => one.client.v2.status()))

  assert.equal([...new Set(answers.map(({ version }) => version))], ['v2beta1'])
})

test('Status that must stop writes is a gRPC error with the reason, not a text in healthz [S5 S6]', async () => {
  await using folder = await tempFolder()
  const status = () => {
    throw new KmsError('Key is disabled', { code: 'key_unavailable' })
  }
  await using one = await start(folder, { service: { status } })

  const error = await failureOf(one.client.v2.status())

  assert.equal([error.status, error.message], ['FAILED_PRECONDITION', 'Key is disabled'])
})

test('Status answers while every other request hangs [S12 S13 S15]', async () => {
  await using folder = await tempFolder()
  await using one = await start(folder, { service: { encrypt: never, decrypt: never } })
  const hanging = Array.from({ length: 50 }, () =>
    failureOf(one.client.v2.encrypt({ plaintext: SEED, uid: 'u' })),
  )

  const answers = await Promise.all(Array.from({ length: 50 }, () => one.client.v2.status()))

  assert.is(answers.length, 50)
  const errors = await Promise.all(hanging)
  assert.equal([...new Set(errors.map(({ status }) => status))], ['DEADLINE_EXCEEDED'])
})

test('Encrypt and Decrypt hand the bytes over as they are, and uid and hash reach the log [E7 E12 D1 D2]', async () => {
  await using folder = await tempFolder()
  await using one = await start(folder)

  const made = await one.client.v2.encrypt({ plaintext: SEED, uid: 'one-uid' })
  const opened = await one.client.v2.decrypt({ ...made, uid: 'two\nuid' })

  assert.equal([...opened.plaintext], [...SEED])
  assert.equal(made.annotations, {})
  const requests = one.events.of('request')
  assert.equal(
    requests.map(({ uid }) => uid),
    ['one-uid', 'two?uid'],
  )
  assert.is(requests[0]?.keyIdHash, keyIdHash(KEY_ID))
  assert.not.match(JSON.stringify(one.events.all), /BwcHBwcH|7,7,7/)
})

test('the plaintext of an Encrypt is wiped once it has its answer, or its error', async () => {
  await using folder = await tempFolder()
  const seen: { plaintext: Uint8Array; first: number | undefined }[] = []
  const encrypt: KmsService['encrypt'] = async ({ api, plaintext }) => {
    seen.push({ plaintext, first: plaintext[0] })
    if (api === 'v1beta1') throw new KmsError('Away', { code: 'unavailable' })
    return await Promise.resolve({ ciphertext: SEED, keyId: KEY_ID, annotations: {} })
  }
  await using one = await start(folder, { service: { encrypt } })

  await one.client.v2.encrypt({ plaintext: SEED, uid: 'wiped' })
  await rejection(one.client.v1.encrypt(SEED))

  assert.equal(
    seen.map(({ first }) => first),
    [7, 7],
  )
  assert.equal(
    seen.map(({ plaintext }) => plaintext.every((byte) => byte === 0)),
    [true, true],
  )
})

test('Version answers v1beta1, and both APIs share the socket [V1 V6]', async () => {
  await using folder = await tempFolder()
  await using one = await start(folder)
  const { v1 } = one.client

  const { version, runtimeName, runtimeVersion } = await v1.version()
  const { cipher } = await v1.encrypt(new TextEncoder().encode('ping'))

  assert.equal([version, runtimeName, runtimeVersion], ['v1beta1', 'trousseau', '1.2.3'])
  assert.is(new TextDecoder().decode((await v1.decrypt(cipher)).plain), 'ping')
})

const CODES: Readonly<Record<KmsErrorCode, string>> = {
  request_invalid: 'INVALID_ARGUMENT',
  ciphertext_invalid: 'INVALID_ARGUMENT',
  ciphertext_empty: 'INVALID_ARGUMENT',
  key_unknown: 'NOT_FOUND',
  key_unavailable: 'FAILED_PRECONDITION',
  unbound: 'FAILED_PRECONDITION',
  denied: 'PERMISSION_DENIED',
  policy_denied: 'PERMISSION_DENIED',
  throttled: 'RESOURCE_EXHAUSTED',
  unavailable: 'UNAVAILABLE',
  timeout: 'DEADLINE_EXCEEDED',
  cancelled: 'CANCELLED',
  protocol: 'INTERNAL',
  internal: 'INTERNAL',
}
test('every error code has its status, with its words but for faults of ours [F6 T17]', async () => {
  await using folder = await tempFolder()
  let code: KmsErrorCode = 'internal'
  const encrypt = () => Promise.reject(new KmsError(`Füllte ${code}`, { code }))
  await using one = await start(folder, { service: { encrypt } })

  for (code of KMS_ERROR_CODES) {
    const error = await failureOf(one.client.v2.encrypt({ plaintext: SEED, uid: 'u' }))
    const words = code === 'internal' ? 'Internal error' : `Füllte ${code}`
    assert.equal([error.status, error.message], [CODES[code], words])
  }
})

test('a service that throws anything at all ends that request alone, and says nothing of it [T18 F8]', async () => {
  await using folder = await tempFolder()
  const faults: (() => never)[] = [
    () => {
      throw new TypeError('planted secret')
    },
    () => {
      throw Object.assign(new Error('planted secret'), { code: 3 })
    },
    () => {
      // The one way to throw a text that lint lets through.
      AbortSignal.abort('planted secret').throwIfAborted()
      throw new Error('Unreachable')
    },
  ]
  for (const fault of faults) {
    await using one = await start(folder, { service: { encrypt: fault, status: fault } })
    for (const call of [
      one.client.v2.encrypt({ plaintext: SEED, uid: 'u' }),
      one.client.v2.status(),
    ]) {
      const error = await failureOf(call)
      assert.equal([error.status, error.message], ['INTERNAL', 'Internal error'])
    }
    const opened = await one.client.v2.decrypt({
      ciphertext: SEED,
      keyId: 'k',
      uid: 'u',
      annotations: {},
    })
    assert.is(opened.plaintext.length, 32)
  }
})

const big = (length: number) => new Uint8Array(length).fill(1)
const BAD_REPLIES: readonly [string, Awaited<ReturnType<KmsService['encrypt']>>][] = [
  ['an empty ciphertext [E2]', { ciphertext: big(0), keyId: 'k', annotations: {} }],
  ['a ciphertext of 1025 bytes [E2]', { ciphertext: big(1_025), keyId: 'k', annotations: {} }],
  ['an empty key id [S7]', { ciphertext: SEED, keyId: '', annotations: {} }],
  ['a key id of 1025 bytes [S7]', { ciphertext: SEED, keyId: 'ü'.repeat(513), annotations: {} }],
  [
    'an annotation key with one label [E5]',
    { ciphertext: SEED, keyId: 'k', annotations: { com: SEED } },
  ],
  [
    'an annotation key with a slash [E5]',
    { ciphertext: SEED, keyId: 'k', annotations: { 'a.io/b': SEED } },
  ],
  [
    'an annotation key in capitals [E5]',
    { ciphertext: SEED, keyId: 'k', annotations: { 'A.io': SEED } },
  ],
  [
    'annotations of over 32768 bytes [E6]',
    { ciphertext: SEED, keyId: 'k', annotations: { 'a.io': big(32_765) } },
  ],
]
for (const [what, reply] of BAD_REPLIES) {
  test(`Encrypt never lets out ${what}`, async () => {
    await using folder = await tempFolder()
    const encrypt = () => Promise.resolve(reply)
    await using one = await start(folder, { service: { encrypt } })

    const error = await failureOf(one.client.v2.encrypt({ plaintext: SEED, uid: 'u' }))

    assert.is(error.status, 'INTERNAL')
    assert.match(
      one.events.of('request')[0]?.error?.message ?? '',
      /Answer would break the protocol/,
    )
  })
}

test('Encrypt lets out what is exactly at the limits [E2 E5 E6]', async () => {
  await using folder = await tempFolder()
  const reply = {
    ciphertext: big(1_024),
    keyId: 'k'.repeat(1_024),
    annotations: { 'k8s.io': big(32_762) },
  }
  await using one = await start(folder, { service: { encrypt: () => Promise.resolve(reply) } })

  const made = await one.client.v2.encrypt({ plaintext: SEED, uid: 'u' })

  assert.equal([made.ciphertext.length, made.keyId.length], [1_024, 1_024])
})

test('v1beta1 lets out 65535 bytes and no more [V3]', async () => {
  await using folder = await tempFolder()
  let length = 65_535
  const encrypt = () => Promise.resolve({ ciphertext: big(length), keyId: 'k', annotations: {} })
  await using one = await start(folder, { service: { encrypt } })

  assert.is((await one.client.v1.encrypt(SEED)).cipher.length, 65_535)
  length += 1
  assert.is((await failureOf(one.client.v1.encrypt(SEED))).status, 'INTERNAL')
})

test('Decrypt never answers an empty plaintext [D12]', async () => {
  await using folder = await tempFolder()
  const decrypt = () => Promise.resolve(new Uint8Array())
  await using one = await start(folder, { service: { decrypt } })
  const { v1, v2 } = one.client

  const request = { ciphertext: SEED, keyId: 'k', uid: 'u', annotations: {} }
  assert.is((await failureOf(v2.decrypt(request))).status, 'INTERNAL')
  assert.is((await failureOf(v1.decrypt(SEED))).status, 'INTERNAL')
})

test('requests that no API server sends are refused before the service is asked', async () => {
  await using folder = await tempFolder()
  const unreachable = () => Promise.reject(new Error('Asked'))
  const service = { encrypt: unreachable, decrypt: unreachable }
  await using one = await start(folder, { service })
  const { v1, v2 } = one.client
  const good = { ciphertext: SEED, keyId: 'k', uid: 'u', annotations: {} }

  const bad = [
    v2.encrypt({ plaintext: big(0), uid: 'u' }),
    v2.decrypt({ ...good, ciphertext: big(0) }),
    v2.decrypt({ ...good, ciphertext: big(1_025) }),
    v2.decrypt({ ...good, keyId: '' }),
    v2.decrypt({ ...good, keyId: 'k'.repeat(1_025) }),
    v2.decrypt({ ...good, annotations: { 'a.io': big(32_765) } }),
    v1.encrypt(big(0)),
    v1.decrypt(big(0)),
    one.client.raw('/v2.KeyManagementService/Encrypt', Uint8Array.of(0xff)),
    one.client.raw('/v2.KeyManagementService/Status', Uint8Array.of(0x0a, 0x05)),
    one.client.raw(
      '/v1beta1.KeyManagementService/Encrypt',
      Uint8Array.of(0x0a, 0x02, 0x76, 0x32, 0x12, 0x01, 0x61),
    ),
  ]

  for (const call of bad) assert.is((await failureOf(call)).status, 'INVALID_ARGUMENT')
})

test('an unknown method is UNIMPLEMENTED, and a message past 256 KiB is refused [T16]', async () => {
  await using folder = await tempFolder()
  await using one = await start(folder)

  const unknown = await failureOf(one.client.raw('/v2.KeyManagementService/Nope', SEED))
  assert.is(unknown.status, 'UNIMPLEMENTED')
  const large = await failureOf(one.client.v1.encrypt(big(300_000)))
  assert.is(large.status, 'RESOURCE_EXHAUSTED')
  await one.client.v2.status()
})

test("the client's deadline and its going away reach the service's signal [T15]", async () => {
  await using folder = await tempFolder()
  const reasons: unknown[] = []
  let begun = 0
  const encrypt: KmsService['encrypt'] = (_request, { signal }) => {
    begun += 1
    signal.addEventListener('abort', () => reasons.push(signal.reason))
    return never()
  }
  await using one = await start(folder, { service: { encrypt } })
  const leaving = connectHttp2('http://localhost', {
    createConnection: () => connect(one.server.path),
  })
  const bytes = Uint8Array.of(0, 0, 0, 0, 3, 0x0a, 1, 7)
  encryptOn(leaving, { 'grpc-timeout': '200m' }).end(bytes)
  await until('the signal fires', () => reasons.length === 1)
  assert.is((reasons[0] as KmsError).code, 'timeout')

  const request = encryptOn(leaving)
  request.end(bytes)
  await until('the request arrived', () => begun === 2)
  request.close(constants.NGHTTP2_CANCEL)
  await until('the signal fires', () => reasons.length === 2)
  assert.is((reasons[1] as KmsError).code, 'cancelled')
  leaving.destroy()
})

test('a service that ignores its signal is answered for at the limit [T15 E13]', async () => {
  await using folder = await tempFolder()
  const options = { requestTimeoutMs: 150 }
  await using one = await start(folder, { service: { decrypt: never }, options })

  const request = { ciphertext: SEED, keyId: 'k', uid: 'u', annotations: {} }
  const error = await failureOf(one.client.v2.decrypt(request))

  assert.equal([error.status, error.message], ['DEADLINE_EXCEEDED', 'Gave up after 150 ms'])
})

for (const authority of ['localhost', '%2Frun%2Ftrousseau%2Fkms.sock']) {
  test(`:authority ${authority} is taken [T3]`, async () => {
    await using folder = await tempFolder()
    await using one = await start(folder)
    const client = connectKms(one.server.path, { timeoutMs: 3_000, authority })

    assert.is((await client.v2.status()).healthz, 'ok')
    client.close()
  })
}

for (const authority of ['/run/trousseau/kms.sock', '@/kms.sock', '']) {
  test(`:authority "${authority}" of API servers up to 1.28 ends its own request at most [T3]`, async () => {
    await using folder = await tempFolder()
    await using one = await start(folder)
    const session = connectHttp2('http://localhost', {
      createConnection: () => connect(one.server.path),
    })
    session.on('error', () => undefined)
    const stream = session.request({
      ':method': 'POST',
      ':path': '/v2.KeyManagementService/Status',
      ':authority': authority,
      'content-type': 'application/grpc',
      te: 'trailers',
    })
    const ended = new Promise((resolve) => {
      stream.on('error', resolve).on('close', resolve)
    })
    stream.end(Uint8Array.of(0, 0, 0, 0, 0))
    await ended

    assert.is((await one.client.v2.status()).healthz, 'ok')
    session.destroy()
  })
}

test('the first frame of the server is SETTINGS, with no TLS [T1 T2]', async () => {
  await using folder = await tempFolder()
  await using one = await start(folder)
  const socket = connect(one.server.path)
  socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
  socket.write(Uint8Array.of(0, 0, 0, 4, 0, 0, 0, 0, 0))

  const [first] = await once(socket, 'data')

  assert.is(first[3], 4)
  socket.destroy()
})

test('a PING is answered, and an idle connection stays [T11 T12]', async () => {
  await using folder = await tempFolder()
  await using one = await start(folder)
  const session = connectHttp2('http://localhost', {
    createConnection: () => connect(one.server.path),
  })
  await once(session, 'connect')

  const error = await new Promise((resolve) => {
    session.ping((failure) => resolve(failure))
  })

  assert.is(error, null)
  assert.is(session.closed, false)
  session.destroy()
})

test('20 connections with 50 calls each are served at once [T10 D7]', async () => {
  await using folder = await tempFolder()
  await using one = await start(folder)
  const clients = Array.from({ length: 20 }, () =>
    connectKms(one.server.path, { timeoutMs: 9_000 }),
  )

  const calls = clients.flatMap((client) =>
    Array.from({ length: 50 }, () => client.v2.encrypt({ plaintext: SEED, uid: 'u' })),
  )

  assert.is((await Promise.all(calls)).length, 1_000)
  for (const client of clients) client.close()
})

test('after a burst of 1,500 resets other connections are served [T19]', async () => {
  await using folder = await tempFolder()
  await using one = await start(folder, { service: { encrypt: never } })
  const session = connectHttp2('http://localhost', {
    createConnection: () => connect(one.server.path),
  })
  session.on('error', () => undefined)
  for (let turn = 0; turn < 1_500 && !session.destroyed && !session.closed; turn += 1) {
    const request = encryptOn(session)
    request.write(Uint8Array.of(0, 0, 0, 0, 3, 0x0a, 1, 7))
    request.close(constants.NGHTTP2_CANCEL)
    if (turn % 100 === 0) await new Promise((resolve) => setImmediate(resolve))
  }

  assert.is((await one.client.v2.status()).healthz, 'ok')
  session.destroy()
})

for (const mode of [0o600, 0o660, 0o666]) {
  test(`the socket has mode ${mode.toString(8)}, in a folder made with 0700 [T6]`, async () => {
    await using folder = await tempFolder()
    const path = 'made/here/kms.sock'
    const socket = { path: folder.at(path), mode }
    await using one = await start(folder, { path, options: { socket } })

    assert.is((await stat(one.server.path)).mode & 0o777, mode)
    for (const made of ['made', 'made/here']) {
      assert.is((await stat(folder.at(made))).mode & 0o777, 0o700)
    }
  })
}

test('owner and group are set where the config names them [T6]', async () => {
  await using folder = await tempFolder()
  const { uid, gid } = await stat(folder.path)
  const socket = { path: folder.at('kms.sock'), mode: 0o660, owner: uid, group: gid }
  await using one = await start(folder, { options: { socket } })

  const found = await stat(one.server.path)
  assert.equal([found.uid, found.gid], [uid, gid])
})

test('several sockets at once leave the umask of the process as it is, and nothing but sockets behind [T6]', async () => {
  await using folder = await tempFolder()
  const before = process.umask(0o022)
  try {
    const paths = Array.from({ length: 32 }, (_, at) => `${at % 4}/${at}.sock`)
    const all = await Promise.all(paths.map((path) => start(folder, { path })))

    assert.is(process.umask(), 0o022)
    for (const path of paths) assert.is((await stat(folder.at(path))).mode & 0o777, 0o600)
    assert.is((await stat(folder.at('1'))).mode & 0o777, 0o700)
    assert.is((await readdir(folder.at('1'))).length, 8)
    for (const one of all) await one[Symbol.asyncDispose]()
  } finally {
    process.umask(before)
  }
})

test('draftFor() names a place in a folder of 0700, whatever stood there, and refuses what is no folder [T5 T6]', async () => {
  await using folder = await tempFolder()
  const path = folder.at('kms.sock')
  await mkdir(folder.at('kms.sock.d'))
  await chmod(folder.at('kms.sock.d'), 0o777)

  const draft = await draftFor(path, false)

  const { mode } = await stat(dirname(draft))
  assert.equal([dirname(draft), mode & 0o777], [folder.at('kms.sock.d'), 0o700])
  await rm(folder.at('kms.sock.d'), { recursive: true })
  await mkdir(folder.at('elsewhere'))
  await symlink('elsewhere', folder.at('kms.sock.d'))
  const error = await rejection(draftFor(path, false))
  assert.match((error as KmsError).message, /no folder stands at .*kms\.sock\.d: remove it/)
})

test('a socket whose owner cannot be set is refused, and can be had once it can', async () => {
  await using folder = await tempFolder()
  const socket = { path: folder.at('kms.sock'), mode: 0o600, owner: 2 ** 32 }
  const error = await rejection(start(folder, { options: { socket } }))
  assert.match((error as KmsError).message, /its owner and mode cannot be set: /)

  await using one = await start(folder)

  assert.is((await one.client.v2.status()).healthz, 'ok')
})

/** A socket file that nobody answers on, as a crash leaves it. */
async function staleSocket(path: string): Promise<void> {
  const server = createServer().listen(`${path}.live`)
  await once(server, 'listening')
  await rename(`${path}.live`, path)
  await closed(server)
}

async function closed(server: Server): Promise<void> {
  server.close()
  await once(server, 'close')
}

test('a stale socket is replaced [T5]', async () => {
  await using folder = await tempFolder()
  await staleSocket(folder.at('kms.sock'))
  assert.ok((await stat(folder.at('kms.sock'))).isSocket())

  await using one = await start(folder)

  assert.is((await one.client.v2.status()).healthz, 'ok')
})

test('a live socket is refused and goes on working [T5]', async () => {
  await using folder = await tempFolder()
  await using one = await start(folder)

  const error = await rejection(start(folder))

  assert.match((error as KmsError).message, /another process answers there: stop that one first/)
  assert.is((await one.client.v2.status()).healthz, 'ok')
})

test('takeOver replaces a live socket, whose process answers on its connections until it closes [T5 T13]', async () => {
  await using folder = await tempFolder()
  const one = await start(folder)
  await one.client.v2.status()
  const status = () => 'the-second'

  await using two = await start(folder, { service: { status }, options: { takeOver: true } })

  assert.is((await two.client.v2.status()).keyId, 'the-second')
  assert.is((await one.client.v2.status()).keyId, KEY_ID, 'an open connection stays')
  await until('the first one tells', () => one.events.notices().includes('socket_taken'))
  await one.server.close()
  assert.is((await one.client.v2.status()).keyId, 'the-second', 'it goes to the second one then')
  one.client.close()
})

test('something that is not a socket is refused and left alone [T5]', async () => {
  await using folder = await tempFolder()
  await writeFile(folder.at('kms.sock'), 'precious')
  await mkdir(folder.at('folder'))

  for (const path of ['kms.sock', 'folder']) {
    const error = await rejection(start(folder, { path }))
    assert.match((error as KmsError).message, /not a socket stands at/)
  }
  assert.is(await readFile(folder.at('kms.sock'), 'utf8'), 'precious')
})

test('a folder that cannot be made is named', async () => {
  await using folder = await tempFolder()
  await writeFile(folder.at('file'), '')

  const error = await rejection(start(folder, { path: 'file/kms.sock' }))

  assert.match((error as KmsError).message, /Cannot listen on ".*": [a-z ,]+; check the folder/)
})

test('a socket file that vanishes is bound again, with its mode, and says so', async () => {
  await using folder = await tempFolder()
  const socket = { path: folder.at('kms.sock'), mode: 0o660 }
  await using one = await start(folder, { options: { socket } })
  for (let turn = 1; turn <= 2; turn += 1) {
    await rm(one.server.path)
    await until(
      'it is bound again',
      () => one.events.notices().filter((what) => what === 'socket_rebound').length === turn,
    )
    assert.is((await one.client.v2.status()).healthz, 'ok')
    assert.is((await stat(one.server.path)).mode & 0o777, 0o660)
  }
})

test('a socket file that vanishes as soon as it is there is bound again, however often', async () => {
  await using folder = await tempFolder()
  const path = folder.at('kms.sock')
  // The file is looked at every ten milliseconds.
  const clock = {
    ...systemClock,
    after: (ms: number, run: () => void) => systemClock.after(ms / 100, run),
  }
  let vanishes = 100
  const watching = watch(folder.path, () => {
    if (vanishes === 0 || !existsSync(path)) return
    vanishes -= 1
    rmSync(path, { force: true })
  })
  await using one = await start(folder, { options: { clock } })

  await until('it vanished often enough', () => vanishes === 0)
  watching.close()
  await until('it is there', () => existsSync(path))
  await until('it answers', () => one.client.v2.status().catch(() => undefined))
})

test("another process's socket at the path is reported once, and survives our close", async () => {
  await using folder = await tempFolder()
  const one = await start(folder)
  await rm(one.server.path)
  const other = createServer().listen(one.server.path)
  await once(other, 'listening')
  await until('it is reported', () => one.events.notices().includes('socket_taken'))

  await one[Symbol.asyncDispose]()

  const socket = connect(folder.at('kms.sock'))
  await once(socket, 'connect')
  socket.destroy()
  assert.is(one.events.notices().filter((what) => what === 'socket_taken').length, 1)
  await closed(other)
})

test('close() answers what is under way, then unlinks [T13]', async () => {
  await using folder = await tempFolder()
  const { promise, resolve } = Promise.withResolvers<void>()
  const encrypt: KmsService['encrypt'] = async ({ plaintext }) => {
    await promise
    return { ciphertext: plaintext, keyId: KEY_ID, annotations: {} }
  }
  const one = await start(folder, { service: { encrypt } })
  const answer = one.client.v2.encrypt({ plaintext: SEED, uid: 'u' })
  await one.client.v2.status()

  const ended = one.server.close()
  setTimeout(resolve, 100)

  assert.is((await answer).keyId, KEY_ID)
  await ended
  assert.instance(await rejection(stat(one.server.path)), Error)
  one.client.close()
})

test('close() cuts off at its limit what does not end, and says how much [T13]', async () => {
  await using folder = await tempFolder()
  const options = { requestTimeoutMs: 60_000, drainMs: 100 }
  const one = await start(folder, { service: { encrypt: never }, options })
  const answer = failureOf(one.client.v2.encrypt({ plaintext: SEED, uid: 'u' }))
  await one.client.v2.status()

  await one.server.close()

  assert.ok(['UNAVAILABLE', 'CANCELLED'].includes((await answer).status))
  assert.ok(one.events.notices().includes('drain_cut'))
  one.client.close()
})

test('a new server is found at once by a client that was connected to the old one [T13 T14]', async () => {
  await using folder = await tempFolder()
  const one = await start(folder)
  await one.client.v2.status()
  await one.server.close()

  await using two = await start(folder)

  await until('the old client is served', () =>
    one.client.v2.status().then(
      () => true,
      () => false,
    ),
  )
  assert.is((await two.client.v2.status()).healthz, 'ok')
  one.client.close()
})

test.run()
