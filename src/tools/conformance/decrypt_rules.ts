/** Rules D, and also E7 and E10, which can only be seen in Decrypt. @module */

import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import { codeOf, type Encrypted, isUnknown, median, type Probe, same, sameAnswer } from './probe.ts'
import { Broken, expect, must, NotSeen, type Rule, should } from './rule.ts'

const LENGTHS = [1, 16, 24, 32, 64]
const AT_ONCE = 100
/** How many bytes of a ciphertext are changed, one at a time. */
const PLACES = 24
const IN_A_ROW = 5
const SLOW_MS = 100
const UNKNOWN_ANNOTATION = 'unknown.conformance.trousseau.io'

export const DECRYPT_RULES: readonly Rule[] = [
  must('D1', 'Decrypt gives back exactly what Encrypt got', async (probe) => {
    await probe.sample()
    for (const length of LENGTHS) {
      const made = await probe.encrypt(randomBytes(length)).catch(() => undefined)
      // Rule E1 reports lengths that are refused.
      if (made === undefined) continue
      const plaintext = await probe.decrypt(made).catch((cause: unknown) => {
        throw new Broken(`Decrypt of its own ciphertext answered ${codeOf(cause)}`, { cause })
      })
      expect(same(plaintext, made.plaintext), `other bytes came back for ${length}`)
    }
    return ''
  }),
  must('E7', 'A request without annotations is accepted', async (probe) => {
    const sample = await probe.sample()
    if (uses(sample)) throw new NotSeen('this plugin needs its annotations')
    const plaintext = await probe.opened({ ...sample, annotations: {} })
    expect(plaintext !== undefined, 'Decrypt wants annotations that Encrypt did not give')
    return ''
  }),
  should('D2', 'Key id and annotations are used', async (probe) => {
    const sample = await probe.openable()
    await opensNone(
      probe,
      [{ ...sample, keyId: '' }],
      'Decrypt opens a ciphertext without its key id',
    )
    if (!uses(sample)) return 'no annotations'
    const bare = { ...sample, annotations: {} }
    await opensNone(probe, [bare], 'Decrypt opens a ciphertext without its annotations')
    return ''
  }),
  must('D3', 'An unknown key id is refused', async (probe) => {
    const sample = await probe.openable()
    const keyId = `unknown-${randomBytes(8).toString('hex')}`
    await opensNone(
      probe,
      [{ ...sample, keyId }],
      'Decrypt opens a ciphertext under a key id nobody knows',
    )
    return ''
  }),
  should('D5', 'Annotations are bound to the ciphertext', async (probe) => {
    const sample = await probe.openable()
    if (!uses(sample)) throw new NotSeen('there are no annotations; D3 shows the key id')
    for (const key of Object.keys(sample.annotations)) {
      const annotations = { ...sample.annotations, [key]: changedIn(sample.annotations[key]) }
      await opensNone(
        probe,
        [{ ...sample, annotations }],
        'Decrypt does not notice a changed annotation',
      )
    }
    return ''
  }),
  should('D10', 'An unknown annotation is refused', async (probe) => {
    const sample = await probe.openable()
    const annotations = { ...sample.annotations, [UNKNOWN_ANNOTATION]: new Uint8Array([1]) }
    await opensNone(
      probe,
      [{ ...sample, annotations }],
      'Decrypt ignores an annotation it cannot know',
    )
    return ''
  }),
  must('E10', 'Tampering is detected, and Encrypt is randomised', async (probe) => {
    const sample = await probe.openable()
    const changed = tampered(sample.ciphertext).map((ciphertext) => ({ ...sample, ciphertext }))
    await opensNone(probe, changed, 'Decrypt opens a ciphertext that was changed')
    const again = await probe.encrypt(sample.plaintext)
    expect(!sameAnswer(again, sample), 'one plaintext gives one ciphertext twice')
    return `${changed.length} changes`
  }),
  must('D12', 'What cannot be opened is an error, not an empty plaintext', async (probe) => {
    const sample = await probe.sample()
    for (const ciphertext of [new Uint8Array(), randomBytes(sample.ciphertext.length)]) {
      const answered = await probe.decrypt({ ...sample, ciphertext }).then(
        () => true,
        () => false,
      )
      expect(!answered, 'Decrypt answers OK to what is no ciphertext')
    }
    return ''
  }),
  must('D7', '100 Decrypts at once', async (probe) => {
    const sample = await probe.openable()
    const calls = Array.from({ length: AT_ONCE }, () => probe.decrypt(sample))
    const results = await Promise.allSettled(calls)
    const good = results.filter(
      (result) => result.status === 'fulfilled' && same(result.value, sample.plaintext),
    ).length
    expect(good === AT_ONCE, `${AT_ONCE - good} of ${AT_ONCE} failed`)
    return ''
  }),
  should('D8', 'Decrypt answers within 100 ms', async (probe) => {
    const sample = await probe.openable()
    const before = probe.decryptMs.length
    for (let asked = 0; asked < IN_A_ROW; asked += 1) await probe.decrypt(sample)
    const times = probe.decryptMs.slice(before)
    const ms = median(times)
    expect(ms < SLOW_MS, `median ${ms.toFixed(1)} ms`)
    return `median ${ms.toFixed(1)} ms`
  }),
]

/** These rules look at all errors that were seen, so they come last. */
export const ERROR_RULES: readonly Rule[] = [
  should('F6', 'Errors have codes that mean something', ({ errors }) => {
    if (errors.length === 0) throw new NotSeen('no call failed')
    const unknown = errors.filter(isUnknown).length
    expect(unknown === 0, `${unknown} of ${errors.length} errors had the code UNKNOWN`)
    return [...new Set(errors.map(codeOf))].join(', ')
  }),
  must('F8', 'Errors quote no plaintext', (probe) => {
    if (probe.errors.length === 0) throw new NotSeen('no call failed')
    const leaks = probe.errors.some(({ message }) => probe.quotesPlaintext(Buffer.from(message)))
    expect(!leaks, 'an error message holds what was encrypted')
    return `${probe.errors.length} errors`
  }),
]

async function opensNone(probe: Probe, ways: readonly Encrypted[], problem: string): Promise<void> {
  for (const each of ways) {
    expect((await probe.opened(each)) === undefined, problem)
  }
}

function uses({ annotations }: Encrypted): boolean {
  return Object.keys(annotations).length > 0
}

function changedIn(bytes: Uint8Array = new Uint8Array()): Uint8Array {
  return bytes.length === 0 ? new Uint8Array([1]) : flipped(bytes, 0)
}

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  return bytes.map((byte, index) => (index === at ? byte ^ 0x10 : byte))
}

/** Variants of the ciphertext: one bit changed in many places, a byte missing, and a byte added. */
function tampered(ciphertext: Uint8Array): Uint8Array[] {
  const { length } = ciphertext
  const step = Math.max(1, (length - 1) / (PLACES - 1))
  const places = new Set(
    Array.from({ length: PLACES }, (_, at) => Math.min(length - 1, Math.round(at * step))),
  )
  return [
    ...[...places].map((at) => flipped(ciphertext, at)),
    ciphertext.slice(0, -1),
    new Uint8Array([...ciphertext, 0]),
  ]
}
