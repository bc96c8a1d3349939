/** Rules are checked before they are used: names, types, texts and the worst that they can cost. @module */

import * as assert from 'uvu/assert'
import { compileRule } from '../../src/policy/cel/compile.ts'
import type { Facts, FactValue } from '../../src/policy/facts/value.ts'
import { nodeSpecs, requestSpecs } from '../../src/policy/facts/vocabulary.ts'
import { BoundFacts } from '../../src/policy/rules.ts'
import { suite } from '../_lib/uvu.ts'

const NODE = nodeSpecs({ files: { api: '/x' }, encryptionConfig: '/e' })
const SPECS = [...NODE, ...requestSpecs()]
const KNOWN: Readonly<Record<string, FactValue>> = {
  'kernel.lockdown': 'integrity',
  'kernel.cmdline': 'root=/dev/vda ro',
  'kernel.fips': false,
  'boot.age': 3_600,
  'tpm.pcrs': { 7: 'ab' },
  'lsm.active': ['lockdown', 'selinux'],
  'ima.violations': 0,
  // A Tuesday.
  'time.now': Date.parse('2026-11-24T21:30:00Z'),
  'socket.folderOwners': [0, 1000],
}

const test = suite('policy/cel', () => ({}))

function ask(expression: string, known = KNOWN): boolean | 'undecided' {
  const facts: Facts = new Map(Object.entries(known))
  const answer = compileRule(expression, SPECS).ask(new BoundFacts(facts, NODE).bindings)
  return typeof answer === 'boolean' ? answer : 'undecided'
}

const ANSWERS: readonly (readonly [expression: string, answer: boolean | 'undecided'])[] = [
  ['kernel.lockdown in ["integrity", "confidentiality"]', true],
  ['kernel.lockdown == "none" || kernel.fips', false],
  ['boot.age < duration("2h")', true],
  ['boot.age > duration("3600s")', false],
  ['tpm.pcrs["7"] == "ab"', true],
  ['tpm.pcrs["8"] == "ab"', 'undecided'],
  ['"8" in tpm.pcrs', false],
  ['lsm.active.exists(each, each == "selinux")', true],
  ['lsm.active.all(each, each.startsWith("lock"))', false],
  ['lsm.active.filter(each, each != "lockdown").map(each, size(each)) == [7]', true],
  ['lsm.active.exists_one(each, each == "lockdown")', true],
  ['lsm.active[0] == "lockdown"', true],
  ['lsm.active[5] == "lockdown"', 'undecided'],
  ['0 in socket.folderOwners', true],
  ['kernel.cmdline.matches("(^| )ro( |$)")', true],
  ['time.now.getHours("Europe/Paris") == 22 && time.now.getDayOfWeek() == 2', true],
  ['time.now > timestamp("2026-01-01T00:00:00Z")', true],
  ['ima.violations + 1 == 1 ? true : false', true],
  ['kernel.release == "x"', 'undecided'],
  ['kernel.release != "x"', 'undecided'],
  ['!(kernel.release == "x")', 'undecided'],
  ['has(kernel.release)', false],
  ['!has(kernel.release) || kernel.release == "x"', true],
  ['kernel.release == "x" || true', true],
  ['kernel.release == "x" && false', false],
  ['files.api.sha256 == ""', 'undecided'],
  ['1 / ima.violations == 1', 'undecided'],
]

for (const [expression, answer] of ANSWERS) {
  test(`${expression} is ${answer}`, () => {
    assert.is(ask(expression), answer)
  })
}

const REFUSED: readonly (readonly [expression: string, problem: string])[] = [
  [
    'kernel.lokdown == "a"',
    'line 1, column 7: there is no fact kernel.lokdown: kernel has release, cmdline, lockdown, fips',
  ],
  ['kernel.lockdown ==\n  3', 'line 1, column 17: == does not take string and int'],
  ['true &&\n  files.x.sha256 == ""', 'line 2, column 8: there is no fact files.x: files has api'],
  ['true &&\n  (1 ==', 'line 1, column 6: is no whole expression of CEL from here on'],
  [
    'boot.age < duration("720 hours")',
    'line 1, column 21: is a text that duration() does not take',
  ],
  ['time.now.getHours("Eurpe/Paris") == 1', 'line 1, column 19: is no time zone'],
  ['kernel.cmdline.matches("(?=a)")', 'line 1, column 24: is a pattern that RE2 does not take'],
  [
    'kernel.cmdline.matches(kernel.lockdown)',
    'line 1, column 30: takes a pattern that is not written there',
  ],
  ['kernel.lockdown', 'line 1, column 7: gives string, wanted true or false'],
  ['kernel.lockdown.toUpper() == "A"', 'line 1, column 16: calls toUpper, which no rule may'],
  ['env("HOME") == ""', 'line 1, column 1: calls env, which no rule may'],
  ['{"a": 1}["a"] == 1', 'line 1, column 1: makes a map or a message, which no rule needs'],
  ['[1, "a"].size() == 2', 'line 1, column 1: has a list of int and string: wanted one type'],
  [
    'kernel == kernel',
    'line 1, column 7: == does not take the facts of kernel and the facts of kernel',
  ],
  ['kernel.fips.all(x, x)', 'line 1, column 12: goes over bool: wanted a list or a map'],
]

for (const [expression, problem] of REFUSED) {
  test(`${JSON.stringify(expression)} is refused with its place and reason`, () => {
    assert.throws(
      () => compileRule(expression, SPECS),
      (error: Error) => {
        assert.is(error.message, problem)
        return error.name === 'RuleError'
      },
    )
  })
}

const ENDLESS = [
  'lsm.active.all(a, lsm.active.all(b, lsm.active.all(c, a != b)))',
  'lsm.active.all(a, lsm.active.all(b, (a + b).contains(kernel.cmdline)))',
  `lsm.active.all(a, kernel.cmdline.matches("${'a?'.repeat(20)}"))`,
  'kernel.cmdline.matches("((a{9}){9}){9}b")',
  'kernel.cmdline.matches("((a{1,10}){1,10}){1,9}b")',
  'lsm.active.map(a, lsm.active.map(b, a + b)).all(c, c.all(d, d != kernel.cmdline))',
]

for (const expression of ENDLESS) {
  test(`what could take too long is refused: ${expression.slice(0, 60)}`, () => {
    assert.throws(() => compileRule(expression, SPECS), /can take \d+ steps|nests macros more than/)
  })
}

test('the worst of a rule that is taken comes to an end soon, also where facts are as large as they may be', () => {
  const known = {
    ...KNOWN,
    'kernel.cmdline': 'a'.repeat(4_096),
    'lsm.active': Array.from({ length: 64 }, (_, at) => `${at}`.padEnd(128, 'x')),
  }
  const plain = 'lsm.active[0] != ""'
  const worst = [
    'lsm.active.all(a, lsm.active.all(b, a != b))',
    `kernel.cmdline.matches("(${'a?'.repeat(60)})+$")`,
    'kernel.cmdline.matches("(a+)+b$")',
  ]
  const timeOf = (expression: string) => {
    const { ask: once } = compileRule(expression, SPECS)
    const { bindings } = new BoundFacts(new Map(Object.entries(known)), NODE)
    once(bindings)
    const start = performance.now()
    once(bindings)
    return performance.now() - start
  }
  const least = Math.max(...[1, 2, 3].map(() => timeOf(plain)), 0.01)

  // So many times a rule of one step: exponential time would be far more than any of these.
  for (const expression of worst) {
    assert.ok(timeOf(expression) < least * 100_000, expression.slice(0, 60))
  }
})

test('what nests deeper than rules do is refused before it is parsed', () => {
  assert.ok(ask(`${'('.repeat(40)}kernel.fips == false${')'.repeat(40)}`))
  const deep = `${'('.repeat(41)}kernel.fips${')'.repeat(41)}`
  assert.throws(
    () => compileRule(deep, SPECS),
    ({ message }: Error) => message === 'line 1, column 41: nests deeper than 40 brackets',
  )
})

test.run()
