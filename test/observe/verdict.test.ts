/** What the first lines say in each scene, and which command comes next. @module */

import * as assert from 'uvu/assert'
import { nextCommand } from '../../src/observe/next_command.ts'
import { headingOf, verdictOf } from '../../src/observe/verdict.ts'
import { type Scene, sceneOf } from '../_lib/observe/scenes.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('observe/verdict', () => ({}))

const CASES: Readonly<
  Record<Exclude<Scene, 'hostile'>, [tone: string, word: string, next: string]>
> = {
  well: ['good', 'Well', 'trousseau top'],
  degraded: ['warn', 'Degraded', 'trousseau doctor'],
  rotating: ['good', 'Well', 'trousseau scan'],
  held: ['warn', 'Held', 'trousseau doctor'],
  down: ['bad', 'Down', 'trousseau doctor'],
  token: ['warn', 'Well', 'trousseau doctor'],
  denied: ['bad', 'Down', 'trousseau vault policy --provider vault-a'],
}

for (const [scene, [tone, word, next]] of Object.entries(CASES)) {
  test(`${scene}: ${word}, and then ${next}`, () => {
    const document = sceneOf(scene as Scene)
    const verdict = verdictOf(document)

    assert.equal([verdict.tone, verdict.word], [tone, word])
    const command = `${next} --config /etc/trousseau/trousseau.yaml`
    assert.is(document.next?.command, command)
  })
}

test('an enforced rule that refuses is told first, and an audited one, one that lets pass undecided, and a waiver are no refusal', () => {
  const rules = (mode: string, state: string) => ({
    ...sceneOf('well'),
    policy: { rules: [{ name: 'lockdown', mode, state, message: 'the kernel is open' }] },
  })
  const refused = verdictOf(rules('enforce', 'refuses'))
  assert.equal([refused.tone, refused.word], ['bad', 'Refused'])
  assert.match(
    refused.sentence,
    /^Rule lockdown does not let keys be used here\. the kernel is open$/,
  )
  const target = { configPath: '/etc/trousseau/trousseau.yaml' }
  assert.is(
    nextCommand(rules('enforce', 'refuses'), target)?.command,
    'trousseau policy explain --config /etc/trousseau/trousseau.yaml',
  )
  const passing = [
    rules('audit', 'refuses'),
    rules('enforce', 'undecided'),
    rules('enforce', 'passes'),
  ]
  for (const well of passing) {
    assert.is(verdictOf(well).word, 'Well')
  }
  const { now } = sceneOf('well')
  const until = new Date(Date.parse(now) + 3_600_000).toISOString()
  const waiver = { id: 'w-1', who: 'A. Person', why: 'kernel update', until }
  const waived = verdictOf({ ...sceneOf('well'), policy: { rules: [], waiver } })
  assert.equal(waived.warnings, [
    'A waiver of A. Person lifts rules, and ends in 1 h: kernel update',
  ])
})

test('the sentence says why, what to do, and what is near its end', () => {
  const held = verdictOf(sceneOf('held'))
  assert.match(held.sentence, /for another 28 m, .* unavailable: Key service at .* does not answer/)
  assert.match(held.remedy ?? '', 'trousseau doctor')
  assert.equal(held.warnings, [])
  const token = verdictOf(sceneOf('token'))
  assert.match(
    headingOf(token, Date.parse(sceneOf('token').now)),
    /^Well for 1 h, with 2 warnings$/,
  )
  assert.equal(token.warnings, [
    'The token of vault-a ends in 5 m.',
    'The certificate (client) of vault-a ends in 3 d.',
  ])
  assert.match(verdictOf(sceneOf('rotating')).sentence, 'version 4 of vault-a takes over in 20 m')
})

test('a hold that is over, and a state that is unknown here, count as down', () => {
  const { endpoints, ...rest } = sceneOf('held')
  const changed = (change: object) =>
    verdictOf({ ...rest, endpoints: endpoints.map((each) => ({ ...each, ...change })) })

  assert.is(changed({ holdLeftMs: 0 }).word, 'Down')
  assert.is(changed({ state: 'molten' }).word, 'Down')
})

test('a config that is no file has its socket asked, and paths are quoted for the shell', () => {
  const well = sceneOf('well')

  assert.is(
    nextCommand(well, { socketPath: '/run/kms.sock' })?.command,
    'trousseau status --socket /run/kms.sock',
  )
  assert.is(nextCommand(well, {}), undefined)
  const configPath = `/etc/$(reboot) it's.yaml`
  assert.is(
    nextCommand(well, { configPath })?.command,
    `trousseau top --config '/etc/$(reboot) it'\\''s.yaml'`,
  )
})

test.run()
