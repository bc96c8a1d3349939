/**
 * The binary makes no code of text, by any way that V8's flag closes, and by none that it leaves
 * open: docs/packaging.md.
 *
 * @module
 */

import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { NODE_FLAGS } from '../../build/binary_options.ts'
import { probe } from '../_lib/package/probe.ts'
import { run } from '../_lib/package/shipped.ts'
import { NODE } from '../_lib/plugin/process.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'

const FLAG = '--disallow-code-generation-from-strings'
/** Closed by Node and its permission model, in a binary or not. */
const ELSEWHERE =
  /^(?:set|queueMicrotask|ShadowRealm|process\.binding|Worker|node --eval|inspector)/

const answerSchema = v.object({
  /** `made` where the code ran, or the code or name of the error. */
  results: v.record(v.string(), v.string()),
  /** Functions that make code and can be reached without calling anything. */
  found: v.array(v.string()),
  walked: v.number(),
})

const test = suite('package/code from strings', () => ({}), 200_000)

test('no way to make code of text is open in the binary, and the flag leaves more of them', async () => {
  await using folder = await tempFolder()
  const { bundle, binary } = await probe('code_probe.mjs', folder.path)
  const answerOf = async (command: string, args: readonly string[]) =>
    v.parse(answerSchema, JSON.parse((await run(command, args)).stdout))

  const shipped = await answerOf(binary, [])
  const flagged = await answerOf(NODE, [FLAG, ...NODE_FLAGS, bundle])
  const open = await answerOf(NODE, [...NODE_FLAGS, bundle])

  const madeIn = ({ results }: typeof shipped) =>
    Object.keys(results).filter((way) => results[way] === 'made')
  assert.equal(madeIn(shipped), [])
  assert.equal(shipped.found, [])
  assert.ok(shipped.walked > 4_000, `${shipped.walked} objects`)
  // The probe would have seen it: without flag and replacements each way that is not closed
  // elsewhere makes code.
  const ways = Object.keys(open.results).filter((way) => !ELSEWHERE.test(way))
  const closedAnyway = ['constructor put back', 'vm.SourceTextModule']
  assert.equal(
    ways.filter((way) => open.results[way] !== 'made'),
    closedAnyway,
  )
  assert.ok(open.found.includes('eval') && open.found.includes('AsyncFunction'))
  assert.ok(madeIn(flagged).includes('vm.Script'), 'the flag leaves vm')
  assert.not.ok(madeIn(flagged).includes('direct eval'))
})

test.run()
