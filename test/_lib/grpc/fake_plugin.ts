/**
 * A KMS plugin that keeps every rule and can be told to break one: hooks replace single answers,
 * and `front` can interfere between a client and the server.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { chmod } from 'node:fs/promises'
import { connect, createServer, type Socket } from 'node:net'
import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf'
import { type handleUnaryCall, Server, ServerCredentials } from '@grpc/grpc-js'
import { METHODS, type Method } from '../../../src/grpc/client.ts'
import { tempFolder } from '../temp_folder.ts'

/** An error that the fake answers: a status code and its message. */
export class Refusal extends Error {
  readonly code: number

  constructor(message: string, options: ErrorOptions & { readonly code: number }) {
    super(message, options)
    this.code = options.code
  }
}

interface FakeStatus {
  readonly version: string
  readonly healthz: string
  readonly keyId: string
}

export interface FakeEncrypted {
  readonly ciphertext: Uint8Array
  readonly keyId: string
  readonly annotations: Readonly<Record<string, Uint8Array>>
}

type MaybePromise<T> = T | Promise<T>

/** Each hook gets the answer of a good plugin, and may return another. */
interface FakeHooks {
  /** Before every call; may throw. */
  readonly before?: (path: string, authority: string) => MaybePromise<void>
  readonly status?: (good: FakeStatus) => MaybePromise<FakeStatus>
  /** The exact bytes of the answer to Status. */
  readonly statusBytes?: Uint8Array
  readonly encrypt?: (
    plaintext: Uint8Array,
    good: (keyId?: string) => FakeEncrypted,
  ) => MaybePromise<FakeEncrypted>
  readonly decrypt?: (
    request: FakeEncrypted,
    good: (request: FakeEncrypted) => Uint8Array,
  ) => MaybePromise<Uint8Array>
  readonly v1Version?: () => string
  readonly v1Encrypt?: (plain: Uint8Array, good: () => Uint8Array) => MaybePromise<Uint8Array>
  readonly v1Decrypt?: (
    cipher: Uint8Array,
    good: (cipher: Uint8Array) => Uint8Array,
  ) => MaybePromise<Uint8Array>
}

export interface FakeOptions extends FakeHooks {
  /** Where it listens; in a folder of its own where absent. */
  readonly path?: string
  readonly mode?: number
  readonly v2Only?: boolean
  /** A method that the API does not have, but this plugin answers. */
  readonly extraMethod?: string
  /** The code of the error that answers what is not a request. */
  readonly garbageCode?: number
  /** Ends idle connections. */
  readonly idleMs?: number
  /** Takes a client's connection; `forward` leads on to the server. */
  readonly front?: (client: Socket, forward: () => Socket) => void
}

interface FakePlugin extends AsyncDisposable {
  readonly path: string
}

export const FAKE_KEY_ID = 'fake-key-1'
export const FAKE_ANNOTATION = 'version.fake.example.org'
const INVALID = 3
const NOT_FOUND = 5
const INTERNAL = 13
const ALGORITHM = 'aes-256-gcm'
const IV_BYTES = 12
const TAG_BYTES = 16
const FAR_FUTURE_MS = 86_400_000

export async function startFakePlugin(options: FakeOptions = {}): Promise<FakePlugin> {
  const { front, mode = 0o600, idleMs = FAR_FUTURE_MS } = options
  const folder = await tempFolder()
  const inner = front === undefined && options.path ? options.path : folder.at('in.sock')
  const path = front === undefined ? inner : (options.path ?? folder.at('k.sock'))
  const server = new Server({ 'grpc.max_connection_idle_ms': idleMs })
  addMethods(server, options)
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${inner}`, ServerCredentials.createInsecure(), (error) => {
      if (error === null) resolve()
      else reject(error)
    })
  })
  const closeFront = front === undefined ? undefined : await startFront({ path, inner, front })
  await chmod(path, mode)
  return {
    path,
    async [Symbol.asyncDispose]() {
      closeFront?.()
      server.forceShutdown()
      await folder[Symbol.asyncDispose]()
    },
  }
}

/** Connects both ends with each other, and ends both when one ends. */
export function pipe(client: Socket, server: Socket): void {
  client.pipe(server).pipe(client)
  for (const [one, other] of [
    [client, server],
    [server, client],
  ] as const) {
    one.on('error', () => other.destroy())
    one.on('close', () => other.destroy())
  }
}

async function startFront({
  path,
  inner,
  front,
}: {
  path: string
  inner: string
  front: NonNullable<FakeOptions['front']>
}): Promise<() => void> {
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    sockets.add(client)
    client.on('error', () => client.destroy())
    front(client, () => connect(inner))
  })
  await new Promise<void>((resolve) => {
    server.listen(path, () => resolve())
  })
  return () => {
    for (const socket of sockets) socket.destroy()
    server.close()
  }
}

function addMethods(server: Server, hooks: FakeOptions): void {
  const key = randomBytes(32)
  addV2(server, hooks, key)
  if (hooks.v2Only !== true) addV1(server, hooks, key)
  const { extraMethod } = hooks
  if (extraMethod !== undefined) addRaw(server, extraMethod, () => new Uint8Array())
}

function addV2(server: Server, hooks: FakeOptions, key: Buffer): void {
  const { statusBytes } = hooks
  if (statusBytes === undefined) {
    add(server, METHODS.v2.status, hooks, async () => {
      const good = { version: 'v2', healthz: 'ok', keyId: FAKE_KEY_ID }
      return (await hooks.status?.(good)) ?? good
    })
  } else {
    addRaw(server, METHODS.v2.status.path, () => statusBytes)
  }
  add(server, METHODS.v2.encrypt, hooks, async ({ plaintext }) => {
    const good = (keyId = FAKE_KEY_ID): FakeEncrypted => {
      const annotations = { [FAKE_ANNOTATION]: Buffer.from('1') }
      return { ciphertext: seal(key, plaintext, keyId), keyId, annotations }
    }
    return (await hooks.encrypt?.(plaintext, good)) ?? good()
  })
  add(server, METHODS.v2.decrypt, hooks, async (request) => {
    const good = ({ ciphertext, keyId, annotations }: FakeEncrypted) => {
      const known = Object.entries(annotations).every(
        ([name, value]) => name === FAKE_ANNOTATION && Buffer.from(value).toString() === '1',
      )
      if (Object.keys(annotations).length !== 1 || !known) {
        throw new Refusal('Unknown annotations', { code: INVALID })
      }
      if (!keyId.startsWith('fake-key-')) throw new Refusal('Unknown key id', { code: NOT_FOUND })
      return open(key, ciphertext, keyId)
    }
    return { plaintext: (await hooks.decrypt?.(request, good)) ?? good(request) }
  })
}

function addV1(server: Server, hooks: FakeOptions, key: Buffer): void {
  add(server, METHODS.v1.version, hooks, () => {
    const version = hooks.v1Version?.() ?? 'v1beta1'
    return { version, runtimeName: 'fake', runtimeVersion: '1.0.0' }
  })
  add(server, METHODS.v1.encrypt, hooks, async ({ plain }) => {
    const good = () => seal(key, plain, '')
    return { cipher: (await hooks.v1Encrypt?.(plain, good)) ?? good() }
  })
  add(server, METHODS.v1.decrypt, hooks, async ({ cipher }) => {
    const good = (given: Uint8Array) => open(key, given, '')
    return { plain: (await hooks.v1Decrypt?.(cipher, good)) ?? good(cipher) }
  })
}

function add<I extends DescMessage, O extends DescMessage>(
  server: Server,
  { path, input, output }: Method<I, O>,
  { before, garbageCode = INVALID }: FakeOptions,
  answer: (request: MessageShape<I>) => MaybePromise<MessageInitShape<O>>,
): void {
  addRaw(server, path, async (bytes, authority) => {
    await before?.(path, authority)
    const request = decoded(input, bytes, garbageCode)
    return toBinary(output, create(output, await answer(request)))
  })
}

function addRaw(
  server: Server,
  path: string,
  answer: (request: Uint8Array, authority: string) => MaybePromise<Uint8Array>,
): void {
  const handler: handleUnaryCall<Uint8Array, Uint8Array> = (call, callback) => {
    Promise.resolve()
      .then(() => answer(call.request, call.getHost()))
      .then(
        (bytes) => callback(null, bytes),
        (error: unknown) => {
          const code = error instanceof Refusal ? error.code : INTERNAL
          callback({ code, details: error instanceof Error ? error.message : 'Fault' })
        },
      )
  }
  const serialize = (bytes: Uint8Array) => Buffer.from(bytes)
  server.register(path, handler, serialize, (bytes) => bytes, 'unary')
}

function decoded<I extends DescMessage>(
  schema: I,
  bytes: Uint8Array,
  code: number,
): MessageShape<I> {
  try {
    return fromBinary(schema, bytes)
  } catch (cause) {
    throw new Refusal('Not a request', { code, cause })
  }
}

function seal(key: Buffer, plaintext: Uint8Array, bound: string): Uint8Array {
  const iv = randomBytes(IV_BYTES)
  const cipher = createCipheriv(ALGORITHM, key, iv).setAAD(Buffer.from(bound))
  return Buffer.concat([iv, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
}

function open(key: Buffer, ciphertext: Uint8Array, bound: string): Uint8Array {
  if (ciphertext.length < IV_BYTES + TAG_BYTES)
    throw new Refusal('Ciphertext is too short', { code: INVALID })
  const end = ciphertext.length - TAG_BYTES
  const decipher = createDecipheriv(ALGORITHM, key, ciphertext.subarray(0, IV_BYTES), {
    authTagLength: TAG_BYTES,
  })
  decipher.setAAD(Buffer.from(bound)).setAuthTag(ciphertext.subarray(end))
  try {
    return Buffer.concat([decipher.update(ciphertext.subarray(IV_BYTES, end)), decipher.final()])
  } catch (cause) {
    throw new Refusal('Ciphertext does not open', { code: INVALID, cause })
  }
}
