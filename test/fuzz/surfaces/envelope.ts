/** Ciphertexts as an API server gives them back: envelopes, and what only begins like one. @module */

import { Buffer } from 'node:buffer'
import { decodeEnvelope, encodeEnvelope, inputsOf, sealHeader } from '../../../src/kms/envelope.ts'
import { mutateProtobuf } from '../mutate/protobuf.ts'
import { type Surface, target } from '../surface.ts'

const MAGIC_BYTES = 2

export const envelope: Surface = {
  name: 'envelope',
  from: 'whoever writes to etcd',
  files: ['kms/envelope'],
  // The magic bytes are two fields to nobody, so the rest is changed alone.
  mutate(input, other, random) {
    if (random.below(20) === 0) return mutateProtobuf(input, other, random)
    const rest = mutateProtobuf(input.subarray(MAGIC_BYTES), other.subarray(MAGIC_BYTES), random)
    return Buffer.concat([input.subarray(0, MAGIC_BYTES), rest])
  },
  open: () => Promise.resolve(target(seeds(), decodeEnvelope)),
}

function seeds(): Uint8Array[] {
  const member = (providerId: string) => ({ providerId, version: '3', createdAt: 1_800_000_000 })
  const wrap = (index: number) => ({ member: index, data: new Uint8Array(60).fill(index + 1) })
  const thumbprint = 'a'.repeat(43)
  return [
    { scheme: 'any' as const, k: 1, members: ['a'], recipients: [] },
    { scheme: 'any' as const, k: 1, members: ['a', 'b'], recipients: [thumbprint] },
    { scheme: 'threshold' as const, k: 2, members: ['a', 'b', 'c'], recipients: [] },
  ].map(({ scheme, k, members, recipients }) => {
    const inputs = inputsOf({ scheme, k }, members.map(member), recipients)
    const header = sealHeader(inputs, (length) => new Uint8Array(length))
    const sealed = new Uint8Array(scheme === 'threshold' ? 48 : 0)
    return encodeEnvelope(
      header,
      members.map((_, index) => wrap(index)),
      sealed,
    )
  })
}
