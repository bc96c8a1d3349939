/** Which JSON of a service is worth parsing, and what refusing the rest costs. @module */

import process from 'node:process'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import type { KmsError } from '../../../src/base/errors.ts'
import { type HttpAnswer, parseAnswer } from '../../../src/remote/http/client.ts'
import { isModest } from '../../../src/remote/http/json.ts'
import { suite } from '../../_lib/uvu.ts'

const test = suite('remote/http/json', () => ({}))
const DEEP = 2_000_000

const RESULT = { ciphertext: `vault:v1:${'A'.repeat(84)}`, key_version: 1, reference: '0123abcd1' }
const VERSION = {
  name: 'projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1',
  state: 'ENABLED',
  attestation: { format: 'CAVIUM', certChains: { caviumCerts: ['a', 'b'] } },
  ...Object.fromEntries(Array.from({ length: 12 }, (_, at) => [`field${at}`, 'value'])),
}
const MODEST: readonly (readonly [what: string, text: string])[] = [
  ['a batch of 128 results', JSON.stringify({ data: { batch_results: Array(128).fill(RESULT) } })],
  [
    'a page of 1000 key versions',
    JSON.stringify({ cryptoKeyVersions: Array(1_000).fill(VERSION) }),
  ],
  ['brackets and commas in a string', JSON.stringify('[{,'.repeat(100_000))],
  ['quotes and backslashes in a string', JSON.stringify(`${'\\"['.repeat(100_000)}\\`)],
  ['what nests 32 deep', '['.repeat(32) + ']'.repeat(32)],
  ['nothing', ''],
]
for (const [what, text] of MODEST) {
  test(`isModest() takes ${what}`, () => {
    assert.is(isModest(text), true)
  })
}

const IMMODEST: readonly (readonly [what: string, text: string])[] = [
  ['what nests 33 deep', '['.repeat(33) + ']'.repeat(33)],
  ['objects and arrays that nest in turn', '{"a":['.repeat(20)],
  ['what nests after strings with escapes', `["\\"","\\\\",${'['.repeat(40)}`],
  ['more than 100 000 numbers', `[${'0,'.repeat(100_000)}0]`],
  ['more than 100 000 objects', `[${'{}'.repeat(100_001)}]`],
  ['more than 100 000 members', `{${'"__proto__":1,'.repeat(100_000)}"a":1}`],
]
for (const [what, text] of IMMODEST) {
  test(`isModest() refuses ${what}`, () => {
    assert.is(isModest(text), false)
  })
}

const COSTLY: readonly (readonly [what: string, text: string])[] = [
  ['nests arrays 2 million deep', '['.repeat(DEEP) + ']'.repeat(DEEP)],
  ['holds more than a million objects', `[${'{},'.repeat(DEEP / 1.5)}{}]`],
]
for (const [what, text] of COSTLY) {
  test(`parseAnswer() refuses what ${what} for a tenth of what reading it costs`, () => {
    const reading = processorTime(() => JSON.parse(text))

    let error: KmsError | undefined
    const refusing = processorTime(() => {
      error = refusalOf(text)
    })

    assert.is(error?.code, 'protocol')
    assert.match(error?.message ?? '', /nests deeper or holds more/)
    assert.ok(refusing < reading / 10, `${refusing} of ${reading} ms`)
  })
}

test('parseAnswer() names one wrong place of many, and nothing else of the answer', () => {
  const schema = v.object({ list: v.array(v.object({ a: v.string() })) })
  const text = `{"list":[${'{"planted":1},'.repeat(40_000)}{}]}`

  assert.is(refusalOf(text, schema)?.message, 'GET / answered an unexpected body at list.0.a')
})

function refusalOf(text: string, schema: v.GenericSchema = v.unknown()): KmsError | undefined {
  const header = () => undefined
  const answer: HttpAnswer = {
    status: 200,
    address: '',
    serviceTime: undefined,
    kept: false,
    header,
    text,
  }
  try {
    parseAnswer(answer, schema, 'GET /')
    return undefined
  } catch (error) {
    return error as KmsError
  }
}

/** In milliseconds of this process; a busy machine makes it no longer. */
function processorTime(work: () => unknown): number {
  const before = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1_000
}

test.run()
