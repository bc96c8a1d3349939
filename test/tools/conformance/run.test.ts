import * as assert from 'uvu/assert'
import type { RuleFinding } from '../../../src/tools/conformance/rule.ts'
import { checkConformance } from '../../../src/tools/conformance/rules.ts'
import { startPluginHere } from '../../_lib/plugin/in_process.ts'
import { suite } from '../../_lib/uvu.ts'

const test = suite('tools/conformance/run', () => ({}))

/** All that this plugin gives no occasion to see. */
const SKIPPED = ['E5', 'E6', 'D5']

/** How fast Status answers is the machine's doing; the bench measures it. */
const TIMED = 'S12'

const findings = await ownFindings()

for (const { rule, title, result, detail } of findings) {
  if (SKIPPED.includes(rule) || rule === TIMED) continue
  test(`check finds in Trousseau itself: ${title} [${rule}]`, () => {
    assert.is(`${result} ${result === 'pass' ? '' : detail}`.trim(), 'pass')
  })
}

test('check skips in Trousseau only what its lack of annotations hides', () => {
  const skipped = findings.filter(({ result }) => result === 'skipped')

  assert.equal(
    skipped.map(({ rule }) => rule),
    SKIPPED,
  )
})

async function ownFindings(): Promise<RuleFinding[]> {
  await using plugin = await startPluginHere()
  return await checkConformance(plugin.socketPath, { timeoutMs: 3_000, idleMs: 1_000 })
}

test.run()
