/**
 * Each surface with its kept corpus and some mutations more, the same in each run. The long run is
 * `npm run test:fuzz`.
 *
 * @module
 */

import * as assert from 'uvu/assert'
import { SeededRandom } from '../_lib/seeded_random.ts'
import { suite } from '../_lib/uvu.ts'
import { lineOf, readCorpus } from './engine/corpus.ts'
import { Fuzzer } from './engine/fuzzer.ts'
import { readAtOnce } from './engine/instant_files.ts'
import { SURFACES, surfaceOf } from './surfaces/registry.ts'

const SEED = 20_261_130
/** So that all surfaces together take some seconds. */
const LIMIT_MS = 600
const MUTATIONS = 2_000
const ROUND = 50

readAtOnce()
const test = suite('fuzz/corpus', () => ({}))

for (const name of SURFACES) {
  test(`${name}: every input ends with a value or a named error, in time [T15 T18 F8]`, async () => {
    const { mutate, open } = await surfaceOf(name)
    const target = await open()
    const findings: string[] = []
    const fuzzer = new Fuzzer({
      target,
      mutate,
      random: new SeededRandom(SEED),
      found: ({ kind, what }, input) => findings.push(`${kind}: ${what}: ${lineOf(input)}`),
    })

    const corpus = [...target.seeds, ...(await readCorpus(name))]
    await fuzzer.begin(corpus)
    const start = performance.now()
    for (let left = MUTATIONS; left > 0 && performance.now() - start < LIMIT_MS; left -= ROUND) {
      await fuzzer.fuzz(ROUND)
    }
    await target[Symbol.asyncDispose]()

    assert.equal(findings, [])
    assert.ok(corpus.length > target.seeds.length, 'it has a corpus')
  })
}

test.run()
