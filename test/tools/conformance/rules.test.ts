import * as assert from 'uvu/assert'
import type { RuleFinding } from '../../../src/tools/conformance/rule.ts'
import { checkConformance } from '../../../src/tools/conformance/rules.ts'
import { type FakeOptions, startFakePlugin } from '../../_lib/grpc/fake_plugin.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { suite } from '../../_lib/uvu.ts'
import { withoutAnnotations } from './breakage.ts'
import { BROKEN } from './broken_plugins.ts'

const OPTIONS = { timeoutMs: 3_000, idleMs: 0 }
const IDLE_MS = 500
/** A busy machine is slow too, so this one counts only where the plugin is made to be. */
const SLOW = 'S12?'

const test = suite('tools/conformance/rules', () => ({}))

async function probe(options: FakeOptions): Promise<RuleFinding[]> {
  await using plugin = await startFakePlugin(options)
  const idleMs = options.idleMs === undefined ? 0 : IDLE_MS
  return await checkConformance(plugin.path, { ...OPTIONS, idleMs })
}

/** `D3` for a failure, `D5?` for a warning. */
function broken(findings: readonly RuleFinding[]): string[] {
  return findings
    .filter(({ result }) => result === 'fail' || result === 'warn')
    .map(({ rule, result }) => (result === 'warn' ? `${rule}?` : rule))
}

/** But for what a busy machine does. */
function faults(findings: readonly RuleFinding[]): string[] {
  return broken(findings).filter((rule) => rule !== SLOW)
}

function skipped(findings: readonly RuleFinding[]): string[] {
  return findings
    .filter(({ result }) => result === 'skipped')
    .map(({ rule, detail }) => `${rule}: ${detail}`)
}

test('checkConformance() has nothing to say against a good plugin', async () => {
  const findings = await probe({})

  assert.equal(faults(findings), [])
  assert.equal(skipped(findings), ['E7: this plugin needs its annotations'])
})

test('checkConformance() skips v1beta1 and annotations where there are none', async () => {
  const findings = await probe({ v2Only: true, ...withoutAnnotations })

  assert.equal(faults(findings), [])
  assert.equal(skipped(findings), [
    'E5: there are no annotations',
    'E6: there are no annotations',
    'D5: there are no annotations; D3 shows the key id',
    ...['V1', 'V2', 'V3', 'V4', 'V5', 'V6'].map((rule) => `${rule}: v1beta1 is not served`),
  ])
})

test('checkConformance() stops at a plugin that is not healthy, and says so [S4]', async () => {
  const findings = await probe({ status: (good) => ({ ...good, healthz: 'OK' }) })

  assert.equal(faults(findings), ['S4'])
  assert.match(skipped(findings).join('\n'), /^E1: the plugin says that it is not healthy \(S4\)/m)
})

test('checkConformance() stops where nobody listens [T1]', async () => {
  await using folder = await tempFolder()
  for (const path of [folder.at('missing.sock'), folder.path]) {
    const findings = await checkConformance(path, OPTIONS)

    assert.equal(faults(findings), ['T1'])
    assert.is(skipped(findings).length, findings.length - 1)
    assert.match(findings.find(({ rule }) => rule === 'T1')?.detail ?? '', /^Cannot connect to /)
  }
})

for (const [what, rules, options] of BROKEN) {
  test(`checkConformance() names ${rules.join(', ')} for ${what}`, async () => {
    const findings = await probe(options)
    assert.equal(rules.includes(SLOW) ? broken(findings) : faults(findings), rules)
  })
}

test('checkConformance() has a broken plugin for every rule it knows', async () => {
  const known = (await probe({})).map(({ rule }) => rule)

  const named = new Set(BROKEN.flatMap(([, rules]) => rules.map((rule) => rule.replace('?', ''))))
  // S4 has a test of its own.
  assert.equal(
    known.filter((rule) => !named.has(rule)),
    ['S4'],
  )
})

test.run()
