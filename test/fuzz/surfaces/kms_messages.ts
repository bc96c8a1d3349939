/** Requests on the plugin's socket, and what other plugins stored: protobuf, and ciphertexts in it. @module */

import { Buffer } from 'node:buffer'
import { create, toBinary } from '@bufbuild/protobuf'
import type { Clock } from '../../../src/base/clock.ts'
import type { KmsEvent } from '../../../src/base/events.ts'
import type { DecryptRequest, KmsService } from '../../../src/base/service.ts'
import { createV1Handlers } from '../../../src/grpc/v1beta1.ts'
import * as v1 from '../../../src/grpc/v1beta1_pb.ts'
import { createV2Handlers } from '../../../src/grpc/v2.ts'
import * as v2 from '../../../src/grpc/v2_pb.ts'
import { decodeEnvelope } from '../../../src/kms/envelope.ts'
import { findForeign } from '../../../src/takeover/foreign.ts'
import { FOREIGN_FORMS } from '../../../src/takeover/forms.ts'
import { AWS_KEY, GOOGLE_KEY, SAMPLES } from '../../_lib/takeover/samples.ts'
import { called } from '../engine/called.ts'
import { mutateProtobuf } from '../mutate/protobuf.ts'
import { type Surface, type Target, target } from '../surface.ts'
import { envelope } from './envelope.ts'

/** The first byte says which method is called, and the rest is its message. */
export const kmsMessages: Surface = {
  name: 'kms_messages',
  from: 'whoever may connect to the socket, or writes to etcd',
  files: ['grpc/v1beta1.ts', 'grpc/v2.ts', 'grpc/unary.ts', 'grpc/message.ts', 'takeover/'],
  mutate(input, other, random) {
    const method = random.below(30) === 0 ? random.below(256) : (input[0] ?? 0)
    const rest = mutateProtobuf(input.subarray(1), other.subarray(1), random)
    return Buffer.concat([Buffer.of(method), rest])
  },
  open,
}

/** One for each form and type, under the names that lines of Trousseau 2 have. */
const READERS = FOREIGN_FORMS.flatMap((form) =>
  ['vault', 'awskms', 'azurekms', 'gcpkms'].map((type) => ({
    name: form === 'trousseau-2' ? type : `${type} of ${form}`,
    type,
    reads: [form],
    key: type === 'gcpkms' ? GOOGLE_KEY : AWS_KEY,
  })),
)

const CLOCK: Clock = {
  now: () => 1_800_000_000_000,
  monotonic: () => 0,
  after: () => () => undefined,
  soon: queueMicrotask,
}

const service: KmsService = {
  status: () => 'key-id',
  encrypt: ({ plaintext }) =>
    Promise.resolve({ ciphertext: plaintext, keyId: 'key-id', annotations: {} }),
  decrypt: (request) => Promise.resolve().then(() => opened(request)),
}

/** As far as a keyring gets without a key. */
function opened(request: DecryptRequest): Uint8Array {
  const found = findForeign(request, READERS)
  if (found === undefined) return decodeEnvelope(request.ciphertext).digest
  for (const { item, plaintextOf } of found) plaintextOf(item.bytes)
  return Uint8Array.of(1)
}

async function open(): Promise<Target> {
  const internal: unknown[] = []
  const emit = (event: KmsEvent) => {
    if (event.type === 'request' && event.code === 'internal') internal.push(event.error)
  }
  const deps = { service, clock: CLOCK, events: { emit }, requestTimeoutMs: 1_000 }
  const two = createV2Handlers({ ...deps, statusVersion: 'v2' })
  const one = createV1Handlers({ ...deps, runtimeVersion: '1' })
  const methods = [two.Decrypt, one.Decrypt, two.Encrypt, one.Encrypt, two.Status, one.Version]
  return target(await seeds(), async (input) => {
    await called(methods[(input[0] ?? 0) % methods.length] ?? two.Status, input.subarray(1))
    const [error] = internal.splice(0)
    if (error !== undefined) throw error
  })
}

async function seeds(): Promise<Uint8Array[]> {
  const { seeds: envelopes } = await envelope.open()
  const requests = [
    ...SAMPLES.map(({ request }) => request),
    ...envelopes.map((ciphertext) => v2Request(ciphertext)),
  ]
  const encrypt = create(v2.EncryptRequestSchema, { plaintext: Buffer.alloc(32, 7), uid: 'u' })
  const plain = create(v1.EncryptRequestSchema, { version: 'v1beta1', plain: Buffer.alloc(32, 7) })
  return [
    ...requests.map(messageOf),
    numbered(2, toBinary(v2.EncryptRequestSchema, encrypt)),
    numbered(3, toBinary(v1.EncryptRequestSchema, plain)),
    numbered(4, new Uint8Array()),
    numbered(5, toBinary(v1.VersionRequestSchema, create(v1.VersionRequestSchema))),
  ]
}

function v2Request(ciphertext: Uint8Array): DecryptRequest {
  return { api: 'v2', ciphertext, keyId: 'key-id', annotations: {} }
}

function messageOf({ api, ciphertext, keyId = '', annotations }: DecryptRequest): Uint8Array {
  if (api === 'v2') {
    const message = { ciphertext, keyId, uid: 'u', annotations: { ...annotations } }
    return numbered(0, toBinary(v2.DecryptRequestSchema, create(v2.DecryptRequestSchema, message)))
  }
  const message = { version: 'v1beta1', cipher: ciphertext }
  return numbered(1, toBinary(v1.DecryptRequestSchema, create(v1.DecryptRequestSchema, message)))
}

function numbered(method: number, message: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.of(method), message])
}
