/**
 * A SPIFFE agent with the JWT-SVIDs of the Workload API, which refuses everything that the standard
 * has refused, and its trust domain's keys on loopback. It cannot see who calls: everybody is the
 * workload that `identities` are registered for.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { generateKeyPairSync, type KeyObject, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import {
  create,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf'
import {
  type Metadata,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js'
import { CompactSign } from 'jose'
import { JWTSVIDRequestSchema, JWTSVIDResponseSchema } from '../../../src/grpc/spiffe_pb.ts'
import { Refusal } from '../grpc/fake_plugin.ts'

const HEADER = 'workload.spiffe.io'
const ID = /^spiffe:\/\/[a-z0-9._-]+(?:\/[\w.-]+)+$/
const LIFE_S = 300
const RENEW_AT = 0.5
const ISSUER = 'https://spire.example.org'

export const SPIFFE_ID = 'spiffe://example.org/trousseau/cp-1'

type Request = MessageShape<typeof JWTSVIDRequestSchema>
type Response = MessageInitShape<typeof JWTSVIDResponseSchema>

interface SigningKey {
  readonly id: string
  readonly privateKey: KeyObject
  readonly jwk: object
}

interface Svid {
  readonly jwt: string
  readonly renewAt: number
}

interface Claims {
  readonly sub?: unknown
  readonly aud?: unknown
  readonly exp?: unknown
}

/** What a test may change at any time. */
export class FakeAgent {
  /** Of the caller; the first is the default. */
  identities: string[] = [SPIFFE_ID]
  /** By SPIFFE ID. */
  hints: Readonly<Record<string, string>> = {}
  /** While set, every call is refused with it. */
  refusal: { readonly code: number; readonly details: string } | undefined
  /** While set, what is answered in place of the good answer. */
  answer: ((good: Response) => Response | Promise<Response>) | undefined
  /** While true, nothing is answered. */
  hangs = false
  /** Good calls so far. */
  readonly requests: Request[] = []
  /** All JWTs so far. */
  readonly issued: string[] = []
  #keys: SigningKey[] = []
  #published: readonly SigningKey[] = []
  readonly #svids = new Map<string, Svid>()

  constructor() {
    this.rotateKeys()
  }

  /** The keys of the trust domain, as JWKS. */
  jwks(): string {
    return JSON.stringify({ keys: this.#published.map(({ jwk }) => jwk) })
  }

  /** From now on SVIDs are new ones, as after half of their life. */
  rotate(): void {
    this.#svids.clear()
  }

  /** From now on a new key signs; `publish: false` keeps it from the JWKS. */
  rotateKeys({ publish = true } = {}): void {
    this.#keys = [newKey(), ...this.#keys]
    if (publish) this.#published = [...this.#keys]
    this.rotate()
  }

  /** A JWT with these claims in place of good ones; those that are undefined are left out. */
  async sign(id: string, audience: readonly string[], claims: Claims = {}): Promise<string> {
    const [key] = this.#keys
    if (key === undefined) throw new Error('No key')
    const now = Math.floor(Date.now() / 1000)
    const all = { iss: ISSUER, sub: id, aud: audience, iat: now, exp: now + LIFE_S, ...claims }
    const jwt = await new CompactSign(Buffer.from(JSON.stringify({ jti: randomUUID(), ...all })))
      .setProtectedHeader({ alg: 'ES256', kid: key.id, typ: 'JWT' })
      .sign(key.privateKey)
    this.issued.push(jwt)
    return jwt
  }

  /** The same SVID until half of its life is over. */
  async svidOf(id: string, audience: readonly string[]): Promise<string> {
    const name = JSON.stringify([id, audience])
    const known = this.#svids.get(name)
    if (known !== undefined && Date.now() < known.renewAt) return known.jwt
    const jwt = await this.sign(id, audience)
    this.#svids.set(name, { jwt, renewAt: Date.now() + LIFE_S * RENEW_AT * 1000 })
    return jwt
  }
}

export interface FakeSpiffe extends AsyncDisposable {
  readonly agent: FakeAgent
  /** `unix:///path`. */
  readonly address: string
  /** Where the keys of the trust domain are. */
  readonly jwksUrl: string
}

export async function startFakeSpiffe(socketPath: string): Promise<FakeSpiffe> {
  const agent = new FakeAgent()
  const server = new Server()
  server.register(
    '/SpiffeWorkloadAPI/FetchJWTSVID',
    (call: ServerUnaryCall<Buffer, Uint8Array>, done: sendUnaryData<Uint8Array>) => {
      if (agent.hangs) return
      fetchSvids(agent, call.request, call.metadata).then(
        (bytes) => done(null, bytes),
        (error: unknown) =>
          done(error instanceof Refusal ? error : new Error('Fake', { cause: error })),
      )
    },
    (bytes: Uint8Array) => Buffer.from(bytes),
    (bytes: Buffer) => bytes,
    'unary',
  )
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${socketPath}`, ServerCredentials.createInsecure(), (error) => {
      if (error === null) resolve()
      else reject(error)
    })
  })
  const keys = createServer((_, response) => response.end(agent.jwks())).listen(0, '127.0.0.1')
  await once(keys, 'listening')
  const at = keys.address()
  if (at === null || typeof at === 'string') throw new Error('No port')
  return {
    agent,
    address: `unix://${socketPath}`,
    jwksUrl: `http://127.0.0.1:${at.port}/keys`,
    async [Symbol.asyncDispose]() {
      server.forceShutdown()
      keys.close()
      keys.closeAllConnections()
      await once(keys, 'close')
    },
  }
}

async function fetchSvids(agent: FakeAgent, bytes: Buffer, metadata: Metadata): Promise<Buffer> {
  const { refusal } = agent
  if (refusal !== undefined) throw new Refusal(refusal.details, { code: refusal.code })
  const header = metadata.get(HEADER)
  if (header.length !== 1 || header[0] !== 'true') {
    throw new Refusal('security header missing from request', { code: status.INVALID_ARGUMENT })
  }
  const request = decode(bytes)
  const wanted = idsFor(agent, request)
  const svids = await Promise.all(
    wanted.map(async (spiffeId) => ({
      spiffeId,
      svid: await agent.svidOf(spiffeId, request.audience),
      hint: agent.hints[spiffeId] ?? '',
    })),
  )
  agent.requests.push(request)
  const answer = (await agent.answer?.({ svids })) ?? { svids }
  return Buffer.from(toBinary(JWTSVIDResponseSchema, create(JWTSVIDResponseSchema, answer)))
}

function decode(bytes: Buffer): Request {
  try {
    return fromBinary(JWTSVIDRequestSchema, bytes)
  } catch (cause) {
    throw new Refusal('not a JWTSVIDRequest', { code: status.INVALID_ARGUMENT, cause })
  }
}

function idsFor({ identities }: FakeAgent, { audience, spiffeId }: Request): readonly string[] {
  if (audience.length === 0 || audience.includes('')) {
    throw new Refusal('audience must be specified', { code: status.INVALID_ARGUMENT })
  }
  if (spiffeId !== '' && !ID.test(spiffeId)) {
    throw new Refusal('requested SPIFFE ID is invalid', { code: status.INVALID_ARGUMENT })
  }
  const wanted = spiffeId === '' ? identities : identities.filter((id) => id === spiffeId)
  if (wanted.length === 0)
    throw new Refusal('no identity issued', { code: status.PERMISSION_DENIED })
  return wanted
}

function newKey(): SigningKey {
  const id = randomUUID()
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return { id, privateKey, jwk: { ...publicKey.export({ format: 'jwk' }), kid: id } }
}
