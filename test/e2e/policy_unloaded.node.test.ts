/** What nobody configured is not loaded: the runtime's own count of what ran in the bundle says so. @module */

import * as assert from 'uvu/assert'
import { begunModules } from '../_lib/plugin/begun.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('e2e/policy_unloaded', () => ({}))

/** Their schemas and the names of the facts are a part of every config. */
const ALWAYS = ['src/policy/config.ts', 'src/policy/facts/vocabulary.ts']
const OURS = /^(?:src\/policy\/|node_modules\/@bufbuild\/(?:cel|cel-spec|re2)\/)/

/** Modules of rules that were begun. */
async function begun(folder: TempFolder, config: object): Promise<string[]> {
  const names = await begunModules(folder, config)
  return names.filter((name) => OURS.test(name) && !ALWAYS.includes(name))
}

test('without rules nothing of them is loaded; with facts alone no language; with rules all', async () => {
  await using none = await tempFolder()
  assert.equal(await begun(none, {}), [])

  await using facts = await tempFolder()
  const ofFacts = await begun(facts, { policy: { files: { keys: '/nowhere' } } })
  assert.ok(ofFacts.includes('src/policy/policy.ts'), ofFacts.join())
  assert.equal(
    ofFacts.filter((name) => name.includes('@bufbuild') || name.includes('/cel/')),
    [],
  )

  await using rules = await tempFolder()
  const rule = { name: 'a', expression: 'true', message: 'a', mode: 'enforce' }
  const ofRules = await begun(rules, { policy: { rules: [rule] } })
  assert.ok(ofRules.includes('src/policy/cel/library.ts'), ofRules.join())
  assert.ok(
    ofRules.some((name) => name.includes('@bufbuild/cel/')),
    ofRules.join(),
  )
})

test.run()
