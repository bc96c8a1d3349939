/** The rules for dependencies, and what the registry knows of them. @module */

import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import * as assert from 'uvu/assert'
import {
  parseLock,
  problemsOf,
  readLock,
  runtimeDependencies,
  vulnerabilitiesIn,
} from '../../build/dependencies.ts'
import { suite } from '../_lib/uvu.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const NPMRC = 'ignore-scripts=true\n'
const GOOD = { version: '1.0.0', license: 'MIT', integrity: 'sha512-AAAA' }
const BUNDLED: ReadonlySet<string> = new Set(['node_modules/one'])

const test = suite('build/dependencies', () => ({}))

function lockOf(change: object, root: object = { dependencies: { one: '1.0.0' } }) {
  const packages = { '': root, 'node_modules/one': { ...GOOD, ...change } }
  return parseLock(JSON.stringify({ packages }))
}

test('the run-time dependencies of this tree break no rule', async () => {
  const lock = await readLock()

  assert.ok(runtimeDependencies(lock).length > 10)
  const npmrc = await readFile(`${ROOT}.npmrc`, 'utf8')
  assert.equal(problemsOf(lock, new Set(['node_modules/jose']), npmrc), [])
})

for (const [what, lock, problem] of [
  ['a licence that is not allowed', lockOf({ license: 'AGPL-3.0' }), 'licence AGPL-3.0'],
  ['no licence', lockOf({ license: undefined }), 'licence unknown'],
  ['no integrity', lockOf({ integrity: undefined }), 'no SHA-512'],
  ['a weak integrity', lockOf({ integrity: 'sha1-AAAA' }), 'no SHA-512'],
  ['an install script', lockOf({ hasInstallScript: true }), 'install script'],
  ['a range', lockOf({}, { dependencies: { one: '^1.0.0' } }), 'no exact version'],
  ['a package for building that is bundled', lockOf({ dev: true }), 'no run-time dependency'],
] as const) {
  test(`problemsOf() finds ${what}`, () => {
    const problems = problemsOf(lock, BUNDLED, NPMRC)

    assert.is(problems.length, 1, problems.join('\n'))
    assert.match(problems[0] ?? '', problem)
  })
}

test('problemsOf() finds install scripts that may run, and none where all is well', () => {
  assert.equal(problemsOf(lockOf({}), BUNDLED, NPMRC), [])
  assert.equal(problemsOf(lockOf({}), new Set(), 'save-exact=true\n'), [
    '.npmrc lets install scripts run',
  ])
})

test('vulnerabilitiesIn() tells each, none, and a registry that says nothing apart', () => {
  const one = { severity: 'high', via: [], nodes: ['node_modules/one'] }

  assert.equal(vulnerabilitiesIn(JSON.stringify({ vulnerabilities: { one } })), [
    'one has a known vulnerability: high; npm audit says more',
  ])
  assert.equal(vulnerabilitiesIn('{"vulnerabilities":{}}'), [])
  for (const silent of ['', '{"message":"405 Method Not Allowed"}', 'npm error']) {
    assert.is(vulnerabilitiesIn(silent), undefined, silent)
  }
})

test.run()
