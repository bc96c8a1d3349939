/** Rules V, about v1beta1, for plugins that serve it. @module */

import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import { MAX_V1_CIPHERTEXT_BYTES, SEED_BYTES } from '../../base/limits.ts'
import { RpcError } from '../../grpc/client.ts'
import { codeOf, type Probe, same } from './probe.ts'
import { Broken, expect, must, NotSeen, needed, type Rule } from './rule.ts'

const UNIMPLEMENTED = 12
const AT_ONCE = 50
/** What kube-apiserver encrypts to test whether a plugin works. */
const PING = Buffer.from('ping')

export const V1BETA1_RULES: readonly Rule[] = [
  must('V1', 'Version answers v1beta1', async (probe) => {
    const { version } = await served(probe)
    expect(version === 'v1beta1', 'the version is another one')
    return ''
  }),
  must('V2', 'Encrypt takes 4 and 32 bytes', async (probe) => {
    await served(probe)
    for (const plain of [PING, randomBytes(SEED_BYTES)]) await encrypt(probe, plain)
    return ''
  }),
  must('V3', 'The cipher has 1 to 65535 bytes', async (probe) => {
    await served(probe)
    const { length } = await made(probe, randomBytes(SEED_BYTES))
    expect(length > 0 && length <= MAX_V1_CIPHERTEXT_BYTES, `it has ${length} bytes`)
    return `${length} bytes`
  }),
  must('V4', 'Decrypt needs nothing but the cipher', async (probe) => {
    await served(probe)
    for (const plain of [PING, randomBytes(SEED_BYTES)]) {
      const cipher = await made(probe, plain)
      const opened = await probe
        .v1((v1) => v1.decrypt(cipher))
        .catch((cause: unknown) => {
          throw new Broken(`Decrypt of its own cipher answered ${codeOf(cause)}`, { cause })
        })
      expect(same(opened.plain, plain), 'other bytes came back')
    }
    return ''
  }),
  must('V5', 'Many Encrypts and Decrypts at once', async (probe) => {
    await served(probe)
    const cipher = await made(probe, randomBytes(SEED_BYTES))
    const calls = Array.from({ length: AT_ONCE }, () => [
      probe.v1((v1) => v1.decrypt(cipher)),
      probe.v1((v1) => v1.encrypt(randomBytes(SEED_BYTES))),
    ])
    const results = await Promise.allSettled(calls.flat())
    const failed = results.filter(({ status }) => status === 'rejected').length
    expect(failed === 0, `${failed} of ${results.length} failed`)
    return `${results.length} calls`
  }),
  must('V6', 'Both APIs work on one socket at once', async (probe) => {
    await served(probe)
    const both = [probe.status(), probe.v1((v1) => v1.version()), probe.status()]
    const results = await Promise.allSettled(both)
    expect(
      results.every(({ status }) => status === 'fulfilled'),
      'one of them failed beside the other',
    )
    return ''
  }),
]

function served(probe: Probe): Promise<{ readonly version: string }> {
  return probe.client.v1.version().catch((cause: unknown) => {
    if (cause instanceof RpcError && cause.code === UNIMPLEMENTED) {
      throw new NotSeen('v1beta1 is not served')
    }
    throw new Broken(`Version answered ${codeOf(cause)}`, { cause })
  })
}

async function encrypt(probe: Probe, plain: Uint8Array): Promise<Uint8Array> {
  probe.remember(plain)
  try {
    return (await probe.v1((v1) => v1.encrypt(plain))).cipher
  } catch (cause) {
    if (cause instanceof Broken) throw cause
    throw new Broken(`Encrypt of ${plain.length} bytes answered ${codeOf(cause)}`, { cause })
  }
}

/** For rules that are not about Encrypt itself. */
function made(probe: Probe, plain: Uint8Array): Promise<Uint8Array> {
  return needed('an Encrypt that works (V2)', encrypt(probe, plain))
}
