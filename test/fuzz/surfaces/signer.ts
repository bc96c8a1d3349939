/** Requests on the signer's socket, and what Vault or OpenBao answers of the key that signs. @module */

import { Buffer } from 'node:buffer'
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { create, toBinary } from '@bufbuild/protobuf'
import * as v from 'valibot'
import { withinLimit } from '../../../src/base/call.ts'
import { type Clock, systemClock } from '../../../src/base/clock.ts'
import type { KmsEvent } from '../../../src/base/events.ts'
import type { Call } from '../../../src/base/provider.ts'
import type { SigningKeySource } from '../../../src/base/signing_key.ts'
import { SignJWTRequestSchema } from '../../../src/grpc/externaljwt_pb.ts'
import { createSignerHandlers } from '../../../src/grpc/signer.ts'
import { vaultSigningConfig } from '../../../src/services/vault/config.ts'
import { createVaultSigningKey } from '../../../src/services/vault/signing_key.ts'
import { Signer } from '../../../src/signer/signer.ts'
import { verificationKey } from '../../../src/signer/verification_key.ts'
import { called } from '../engine/called.ts'
import { DrivenClock } from '../engine/driven_clock.ts'
import { ignoreNamed } from '../engine/named_error.ts'
import { type PlayedAnswer, PlayedHttp } from '../engine/played_http.ts'
import { mutateProtobuf } from '../mutate/protobuf.ts'
import { bytesOf, type Surface, type Target, target, textOf } from '../surface.ts'
import { answerMutator } from './providers.ts'

const LIMIT_MS = 2_500
const CLAIMS = Buffer.from('{"sub":"system:serviceaccount:default:default"}').toString('base64url')
const KEY = 'k8s-sa'

/** The first byte says which method is called, and the rest is its message. */
export const signerMessages: Surface = {
  name: 'signer_messages',
  from: "whoever may connect to the signer's socket",
  files: ['grpc/signer.ts', 'grpc/unary.ts', 'grpc/message.ts', 'signer/signer.ts'],
  mutate(input, other, random) {
    const method = random.below(30) === 0 ? random.below(256) : (input[0] ?? 0)
    const rest = mutateProtobuf(input.subarray(1), other.subarray(1), random)
    return Buffer.concat([Buffer.of(method), rest])
  },
  async open() {
    const signer = await openSigner(keptHere(), systemClock)
    const internal: unknown[] = []
    const emit = (event: KmsEvent) => internal.push(...internalIn(event))
    const served = {
      sign: (claims: string, call: Call) => signer.sign(claims, call),
      fetchKeys: (call: Call) => signer.fetchKeys(call),
      maxTokenSeconds: 3_600,
    }
    const deps = { signer: served, clock: systemClock, events: { emit }, requestTimeoutMs: 1_000 }
    const { Sign, FetchKeys, Metadata } = createSignerHandlers(deps)
    const methods = [Sign, FetchKeys, Metadata]
    const claims = ['', CLAIMS, `${CLAIMS}.`, 'e30=', 'A'.repeat(40_000)]
    const seeds = claims.map((each) => {
      const message = create(SignJWTRequestSchema, { claims: each })
      return Buffer.concat([Buffer.of(0), toBinary(SignJWTRequestSchema, message)])
    })
    const made = target([...seeds, Buffer.of(1), Buffer.of(2)], async (input) => {
      await called(methods[(input[0] ?? 0) % methods.length] ?? Metadata, input.subarray(1))
      const [error] = internal.splice(0)
      if (error !== undefined) throw error
    })
    return { ...made, [Symbol.asyncDispose]: () => signer.close() }
  },
}

const WORDS = [
  ...['ecdsa-p256', 'ecdsa-p521', 'rsa-2048', 'aes256-gcm96', 'vault:v1:', 'vault:v2:', '1', '2'],
  ...['2026-11-30T00:00:00Z', '-----BEGIN PUBLIC KEY-----', 'permission denied'],
]
const KEYS = [
  ...['data', 'keys', 'creation_time', 'public_key', 'min_encryption_version', 'type', 'name'],
  ...['batch_results', 'signature', 'error', 'errors', 'soft_deleted', 'derived'],
]

export const signingKey: Surface = {
  name: 'signing_key',
  from: 'Vault or OpenBao, and whoever is in between',
  files: ['services/vault/signing_key.ts', 'signer/'],
  mutate: answerMutator(WORDS, KEYS),
  open(): Promise<Target> {
    const http = new PlayedHttp()
    const way = { address: 'http://127.0.0.1:8200', allowInsecureHttp: true, key: KEY }
    const config = v.parse(vaultSigningConfig, { type: 'vault', ...way, auth: { method: 'agent' } })
    const seeds = ['P-256', 'P-521'].map((curve) => bytesOf(JSON.stringify(honest(curve))))
    return Promise.resolve({
      seeds,
      async run(input: Uint8Array) {
        http.play(answersIn(textOf(input)))
        const clock = new DrivenClock()
        const emit = () => undefined
        const deps = { clock, events: { emit }, requestTimeoutMs: LIMIT_MS }
        const source = createVaultSigningKey(config, 'signer', {
          ...deps,
          fetchSvids: () => Promise.resolve([]),
        })
        await clock.drive(used(source, clock))
        http.check()
      },
      [Symbol.asyncDispose]() {
        http[Symbol.dispose]()
        return Promise.resolve()
      },
    })
  },
}

/** All that an API server asks, of a signer that has just started. */
async function used(source: SigningKeySource, clock: Clock): Promise<void> {
  const signer = await openSigner(source, clock)
  const asked = <T>(work: (call: Call) => Promise<T>) =>
    withinLimit(clock, LIMIT_MS, work).catch(ignoreNamed)
  await asked((call) => signer.sign(CLAIMS, call))
  await asked((call) => signer.fetchKeys(call))
  await signer.close(LIMIT_MS)
}

async function openSigner(source: SigningKeySource, clock: Clock): Promise<Signer> {
  const options = {
    ...{ sourceId: source.id, activationDelayMs: 1_000, maxTokenLifeMs: 3_600_000 },
    ...{ distrusted: new Set<string>(), intervalMs: 10_000, requestTimeoutMs: LIMIT_MS },
    ...{ refreshMs: 1_000, beside: [] },
  }
  const store = { load: () => Promise.resolve(undefined), save: () => Promise.resolve() }
  const signer = new Signer(source, options, { clock, events: { emit: () => undefined }, store })
  await signer.watch.look()
  const { problem } = signer.watch
  if (problem?.code === 'internal') throw problem.cause
  return signer
}

/** A key in this process, whose answers are all good. */
function keptHere(): SigningKeySource {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const version = { label: '1', createdAt: 0, publicKey: spkiOf(publicKey), maySign: true }
  return {
    id: 'here',
    batchItems: 8,
    publicKeys: () => Promise.resolve({ versions: [version], serviceTime: undefined }),
    sign: ({ inputs }) =>
      Promise.resolve(
        inputs.map((input) => ({ ok: true, value: signed('sha256', input, privateKey) })),
      ),
    describe: () => 'here',
    close: () => Promise.resolve(),
  }
}

/** As OpenBao answers; the signature is one of the token that is asked for. */
function honest(namedCurve: string): PlayedAnswer[] {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve })
  const { header } = verificationKey(spkiOf(publicKey), 'seed')
  const input = Buffer.from(`${header}.${CLAIMS}`)
  const hash = namedCurve === 'P-256' ? 'sha256' : 'sha512'
  const value = Buffer.from(signed(hash, input, privateKey)).toString('base64url')
  const public_key = publicKey.export({ type: 'spki', format: 'pem' })
  const version = { creation_time: '2020-01-01T00:00:00Z', public_key }
  const type = namedCurve === 'P-256' ? 'ecdsa-p256' : 'ecdsa-p521'
  const key = { name: KEY, type, keys: { 1: version }, min_encryption_version: 0 }
  const results = [{ signature: `vault:v1:${value}`, key_version: 1 }]
  return [
    { at: `GET /v1/transit/keys/${KEY}`, status: 200, body: { data: key } },
    {
      at: `POST /v1/transit/sign/${KEY}`,
      status: 200,
      body: { data: { batch_results: results } },
    },
  ]
}

function signed(hash: string, input: Uint8Array, key: KeyObject): Uint8Array {
  return new Uint8Array(sign(hash, input, { key, dsaEncoding: 'ieee-p1363' }))
}

function spkiOf(key: KeyObject): Uint8Array {
  return new Uint8Array(key.export({ type: 'spki', format: 'der' }))
}

function answersIn(text: string): PlayedAnswer[] {
  try {
    const listed: unknown = JSON.parse(text)
    const answers = Array.isArray(listed) ? listed : [listed]
    return answers.filter((answer) => typeof answer === 'object' && answer !== null)
  } catch {
    return [{ body: text }]
  }
}

function internalIn(event: KmsEvent): unknown[] {
  return event.type === 'request' && event.code === 'internal' ? [event.error] : []
}
