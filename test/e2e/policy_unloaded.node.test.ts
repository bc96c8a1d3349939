/** What nobody configured is not loaded: the runtime's own count of what ran in the bundle says so. @module */

import { mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { createKeyFile } from '../../src/services/local/key_file.ts'
import { BUNDLE, NODE, NODE_FLAGS, startWellPlugin } from '../_lib/plugin/process.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('e2e/policy_unloaded', () => ({}))

const coverage = v.object({
  result: v.array(
    v.object({
      url: v.string(),
      functions: v.array(
        v.object({ functionName: v.string(), ranges: v.array(v.object({ count: v.number() })) }),
      ),
    }),
  ),
})

/** Their schemas and the names of the facts are a part of every config. */
const ALWAYS = ['src/policy/config.ts', 'src/policy/facts/vocabulary.ts']
const OURS = /^(?:src\/policy\/|node_modules\/@bufbuild\/(?:cel|cel-spec|re2)\/)/

/** Modules of rules that were begun, after one Encrypt; a module of the bundle is a function of its name. */
async function begun(folder: TempFolder, config: object): Promise<string[]> {
  const reports = folder.at('coverage')
  await mkdir(reports)
  await createKeyFile(folder.at('keys'), () => Date.now())
  const providers = [{ name: 'here', type: 'local', keyFile: folder.at('keys') }]
  const plugin = await startWellPlugin({
    folder: folder.path,
    config: { providers, ...config },
    // The binary has a code cache, and reports nothing.
    command: [NODE, ...NODE_FLAGS, BUNDLE],
    environment: { NODE_V8_COVERAGE: reports },
  })
  await plugin.client.v2.encrypt({ plaintext: new Uint8Array(32), uid: 'a' })
  assert.is(await plugin.stop(), 0)
  await plugin[Symbol.asyncDispose]()
  const [file = ''] = await readdir(reports)
  const { result } = v.parse(coverage, JSON.parse(await readFile(join(reports, file), 'utf8')))
  const bundle = result.find(({ url }) => url.endsWith('/dist/trousseau.mjs'))
  return (bundle?.functions ?? [])
    .filter(({ ranges: [whole] }) => (whole?.count ?? 0) > 0)
    .map(({ functionName }) => functionName)
    .filter((name) => OURS.test(name) && !ALWAYS.includes(name))
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
