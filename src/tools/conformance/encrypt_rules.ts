/** Rules E, about the answers of Encrypt. @module */

import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import { isAnnotationKey } from '../../base/annotation_key.ts'
import { MAX_ANNOTATION_BYTES, MAX_V2_CIPHERTEXT_BYTES, SEED_BYTES } from '../../base/limits.ts'
import { codeOf, type Encrypted, median, type Probe, sameAnswer } from './probe.ts'
import { Broken, expect, must, NotSeen, type Rule, should } from './rule.ts'

/** The lengths of a seed, and of the keys that API servers before 1.29 sent. */
const OTHER_LENGTHS = [1, 16, 24, 64]
const IN_A_ROW = 10
const SLOW_MS = 100

export const ENCRYPT_RULES: readonly Rule[] = [
  must('E1', 'Encrypt takes 32 bytes and other lengths', async (probe) => {
    await probe.firstEncrypt().catch(refused(SEED_BYTES))
    for (const length of OTHER_LENGTHS) {
      await probe.encrypt(randomBytes(length)).catch(refused(length))
    }
    return `${[...OTHER_LENGTHS, SEED_BYTES].toSorted((a, b) => a - b).join(', ')} bytes`
  }),
  must('E2', 'The ciphertext has 1 to 1024 bytes', async (probe) => {
    const { length } = (await probe.sample()).ciphertext
    expect(length > 0 && length <= MAX_V2_CIPHERTEXT_BYTES, `it has ${length} bytes`)
    return `${length} bytes`
  }),
  must('E5', 'Annotation keys are DNS names of two labels or more', async (probe) => {
    const keys = Object.keys((await annotated(probe)).annotations)
    const wrong = keys.filter((key) => !isAnnotationKey(key)).length
    expect(wrong === 0, `${wrong} of ${keys.length} keys are not`)
    return `${keys.length} in all`
  }),
  must('E6', 'Annotations have at most 32768 bytes', async (probe) => {
    const bytes = Object.entries((await annotated(probe)).annotations).reduce(
      (sum, [key, value]) => sum + Buffer.byteLength(key) + value.length,
      0,
    )
    expect(bytes <= MAX_ANNOTATION_BYTES, `they have ${bytes} bytes`)
    return `${bytes} bytes`
  }),
  must('E8', 'The plaintext is not readable in the answer', async (probe) => {
    const { ciphertext, keyId, annotations } = await probe.sample()
    const parts = [ciphertext, Buffer.from(keyId), ...Object.values(annotations)]
    const clear = parts.some((part) => probe.quotesPlaintext(part))
    expect(!clear, 'ciphertext, key id or an annotation holds it in the clear')
    return ''
  }),
  must('E9', 'Different plaintexts give different answers', async (probe) => {
    const first = await probe.sample()
    expect(!sameAnswer(first, await probe.encrypt()), 'two plaintexts gave one answer')
    return ''
  }),
  must('E15', 'Encrypt may be asked again and again', async (probe) => {
    await probe.sample()
    for (let asked = 0; asked < IN_A_ROW; asked += 1) {
      await probe.encrypt().catch((cause: unknown) => {
        throw new Broken(`Encrypt ${asked + 1} in a row answered ${codeOf(cause)}`, { cause })
      })
    }
    return `${IN_A_ROW} in a row`
  }),
  should('E13', 'Encrypt answers within 100 ms', async (probe) => {
    await probe.sample()
    const ms = median(probe.encryptMs)
    expect(ms < SLOW_MS, `median ${ms.toFixed(1)} ms`)
    return `median ${ms.toFixed(1)} ms`
  }),
]

async function annotated(probe: Probe): Promise<Encrypted> {
  const sample = await probe.sample()
  if (Object.keys(sample.annotations).length === 0) throw new NotSeen('there are no annotations')
  return sample
}

function refused(length: number) {
  return (cause: unknown) => {
    if (cause instanceof Broken) throw cause
    throw new Broken(`Encrypt of ${length} bytes answered ${codeOf(cause)}`, { cause })
  }
}
