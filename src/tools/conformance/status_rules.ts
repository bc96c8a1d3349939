/** Rules S, about the answers of Status. @module */

import { MAX_KEY_ID_BYTES } from '../../base/limits.ts'
import { codeOf, type Probe, type StatusSeen } from './probe.ts'
import { Broken, expect, must, NotSeen, type Rule, should } from './rule.ts'

const VERSIONS = ['v2', 'v2beta1']
const SLOW_MS = 1_000
const POLLS = 100
/**
 * A different answer between two calls may be a rotation; a difference in each of several rounds is
 * not.
 */
const ROUNDS = 3
const SIDE_BY_SIDE = 10

/** When one of these is broken, nothing else can be probed. */
export const STATUS_RULES: readonly Rule[] = [
  must(
    'S1',
    'Status answers an empty request',
    async (probe) => {
      await probe.status().catch((error: unknown) => {
        if (error instanceof Broken) throw error
        throw new Broken(`Status answered ${codeOf(error)}`, { cause: error })
      })
      return ''
    },
    'Status does not answer (S1)',
  ),
  must('S2', 'Status has version v2 or v2beta1', async (probe) => {
    const { version } = await probe.status()
    expect(VERSIONS.includes(version), 'the version is another one')
    return version
  }),
  must(
    'S4',
    'healthz is exactly "ok"',
    async (probe) => {
      const { healthz } = await probe.status()
      expect(healthz === 'ok', 'healthz is another text; "trousseau status" shows it')
      return ''
    },
    'the plugin says that it is not healthy (S4): probe again when it is',
  ),
  must('S7', 'The key id has 1 to 1024 bytes of UTF-8', async (probe) => {
    const { keyId } = await probe.status()
    const bytes = new TextEncoder().encode(keyId).length
    expect(bytes > 0 && bytes <= MAX_KEY_ID_BYTES, `the key id has ${bytes} bytes`)
    return `${bytes} bytes`
  }),
]

export const STATUS_CALL_RULES: readonly Rule[] = [
  must('S8', 'Encrypt uses the key id that Status said before', (probe) =>
    agrees(probe, ({ before, encrypted }) => before === encrypted, 'the Status before it'),
  ),
  must('E3', 'Encrypt and Status name the same key id', (probe) =>
    agrees(probe, ({ encrypted, after }) => encrypted === after, 'the Status after it'),
  ),
  must('S13', 'Status may be asked often', async (probe) => {
    for (let asked = 0; asked < POLLS; asked += 1) {
      await probe.status().catch((cause: unknown) => {
        throw new Broken(`Status ${asked + 1} in a row answered ${codeOf(cause)}`, { cause })
      })
    }
    return `${POLLS} in a row`
  }),
  should('S14', 'Status is "ok" only while Encrypt and Decrypt work', async (probe) => {
    const works = await probe.openable().then(
      () => true,
      () => false,
    )
    expect(works, 'Status says ok, and Encrypt or Decrypt does not work')
    return ''
  }),
  must('S15', 'Status works while Encrypt and Decrypt are under way', async (probe) => {
    const sample = await probe.openable()
    const side = Array.from({ length: SIDE_BY_SIDE }, () => [
      probe.encrypt(),
      probe.status(),
      probe.decrypt(sample),
    ])
    const results = await Promise.allSettled(side.flat())
    const failed = results.find((result) => result.status === 'rejected')
    expect(failed === undefined, `a call answered ${codeOf(failed?.reason)}`)
    return `${results.length} calls at once`
  }),
]

/** These rules look at all answers that were seen, so they come last. */
export const STATUS_AFTERTHOUGHTS: readonly Rule[] = [
  must('S3', 'The version never changes', ({ statuses }) => {
    expect(distinct(statuses, 'version') === 1, 'the version changed between calls')
    return `${statuses.length} answers`
  }),
  should('S9', 'The key id stays the same', ({ statuses }) => {
    const changes = statuses.filter(
      ({ keyId }, at) => at > 0 && keyId !== statuses[at - 1]?.keyId,
    ).length
    // One change is a rotation, unless the key id changed back.
    expect(changes <= 1, `the key id changed ${changes} times`)
    return `${statuses.length} answers${changes === 1 ? ', one rotation' : ''}`
  }),
  should('S12', 'Status answers fast', ({ statusMs }) => {
    const slowest = Math.max(...statusMs)
    expect(slowest < SLOW_MS, `the slowest took ${Math.round(slowest)} ms`)
    return `the slowest took ${Math.round(slowest)} ms`
  }),
]

interface Round {
  readonly before: string
  readonly encrypted: string
  readonly after: string
}

async function agrees(
  probe: Probe,
  fits: (round: Round) => boolean,
  other: string,
): Promise<string> {
  await probe.sample()
  for (let round = 0; round < ROUNDS; round += 1) {
    const before = (await probe.status()).keyId
    const encrypted = (await probe.encrypt()).keyId
    const after = (await probe.status()).keyId
    if (fits({ before, encrypted, after })) return ''
  }
  throw new Broken(`the key id of Encrypt is not that of ${other}, ${ROUNDS} times in a row`)
}

function distinct(statuses: readonly StatusSeen[], key: keyof StatusSeen): number {
  if (statuses.length < 2) throw new NotSeen('needs more than one answer')
  return new Set(statuses.map((status) => status[key])).size
}
