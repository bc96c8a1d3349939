/** What a policy decides over uses of keys: rules, what they guard, waivers, and how seldom a rule is asked. @module */

import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { rm, writeFile } from 'node:fs/promises'
import { SignJWT } from 'jose'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import type { KeyUse } from '../../src/base/gate.ts'
import { policyConfig } from '../../src/policy/config.ts'
import { RuleGate } from '../../src/policy/gate.ts'
import { makePolicy } from '../../src/policy/make.ts'
import { BoundFacts, Rule } from '../../src/policy/rules.ts'
import { waiverClaims } from '../../src/policy/waiver_text.ts'
import { RecordedEvents } from '../_lib/events.ts'
import { FakeClock } from '../_lib/fake_clock.ts'
import { madeUpRoot } from '../_lib/policy/made_up_root.ts'
import { CALL, ENCRYPT } from '../_lib/policy/use.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const LOCKDOWN = 'sys/kernel/security/lockdown'
const HOUR_MS = 3_600_000
const LOCKED = {
  name: 'lockdown',
  expression: 'kernel.lockdown == "integrity"',
  message: 'Not locked down',
  mode: 'enforce',
}

const test = suite('policy/gate', () => ({}))

async function scene(rules: readonly object[], more: (folder: TempFolder) => object = () => ({})) {
  const folder = await tempFolder()
  const root = await madeUpRoot(folder.at('root'))
  const clock = new FakeClock()
  clock.wallOffset = Date.now()
  const events = new RecordedEvents()
  const config = v.parse(policyConfig, {
    roots: root.roots,
    interval: '500ms',
    node: 'cp-1',
    rules,
    ...more(folder),
  })
  const policy = await makePolicy(config, {
    clock,
    events,
    version: '1',
    sockets: {},
    providers: { default: ['a', 'b'] },
    claimed: ['node.machine'],
  })
  const gate = policy.gate('default')
  await policy.ready
  return {
    folder,
    root,
    clock,
    events,
    policy,
    gate,
    /** The message of a refusal; undefined where there is none. */
    async admit(change: Partial<KeyUse> = {}): Promise<string | undefined> {
      await gate?.wait({ ...ENCRYPT, ...change }, CALL)
      const refusal = gate?.admit({ ...ENCRYPT, ...change })
      if (refusal !== undefined) assert.is(refusal.code, 'policy_denied')
      assert.is(gate?.refusal({ ...ENCRYPT, ...change })?.message, refusal?.message)
      return refusal?.message
    },
    outcomes: () => events.of('policy').map(({ rule, outcome }) => `${rule} ${outcome}`),
    async [Symbol.asyncDispose]() {
      await policy.close()
      await folder[Symbol.asyncDispose]()
    },
  }
}

test('without rules and an outside decision there is no gate, and the language is not loaded', async () => {
  await using one = await scene([])

  assert.is(one.gate, undefined)
  assert.match(one.policy.facts.text('node.machine'), /^[0-9a-f]{64}$/)
  assert.is(one.policy.facts.text('kernel.lockdown'), 'unknown', 'nobody uses it')
})

test('a rule refuses as soon as its fact has changed, and lets pass again when it is as it was', async () => {
  await using one = await scene([LOCKED])
  assert.is(await one.admit(), undefined)

  await one.root.put(LOCKDOWN, '[none] integrity')
  await one.clock.advance(500)
  assert.is(await one.admit(), 'Rule "lockdown" refuses encrypt: Not locked down')

  await one.root.put(LOCKDOWN, 'none [integrity]')
  await one.clock.advance(500)
  assert.is(await one.admit(), undefined)
  assert.equal(one.outcomes(), ['lockdown refused'])
  const states = one.events.of('policy_state').map(({ rules }) => rules[0]?.state)
  assert.equal(states, ['passes', 'refuses', 'passes'])
})

test('a rule guards what it names: operations and providers', async () => {
  await using one = await scene([
    { ...LOCKED, expression: 'false', guards: ['decrypt'], providers: ['b'] },
  ])

  const decrypt = { operation: 'decrypt' } as const
  assert.is(await one.admit(), undefined)
  assert.is(await one.admit(decrypt), undefined)
  assert.match(String(await one.admit({ ...decrypt, provider: 'b' })), 'refuses decrypt')
})

test('what cannot be decided refuses, or passes where the rule says so, and is told', async () => {
  await using one = await scene([
    { ...LOCKED, name: 'a', unknown: 'pass' },
    { ...LOCKED, name: 'b' },
  ])

  await one.root.take(LOCKDOWN)
  await one.clock.advance(500)

  const refusal = String(await one.admit())
  assert.match(refusal, /^Rule "b" refuses encrypt: Not locked down: kernel\.lockdown is not known/)
  assert.equal(one.outcomes(), ['a undecided', 'b refused'])
  // What is shown: only one of them is against the use of a key.
  const states = one.events
    .of('policy_state')
    .at(-1)
    ?.rules.map(({ state }) => state)
  assert.equal(states, ['undecided', 'refuses'])
})

test('a rule may ask for the request, and for its size', async () => {
  await using one = await scene([
    { ...LOCKED, name: 'api', expression: 'request.api == "v2"' },
    { ...LOCKED, name: 'size', expression: 'request.size <= 32 && request.endpoint == "default"' },
  ])

  assert.is(await one.admit(), undefined)
  assert.match(String(await one.admit({ api: 'v1beta1' })), 'Rule "api"')
  assert.match(String(await one.admit({ size: 33 })), 'Rule "size"')
  const [told] = one.events.of('policy_state')
  assert.equal(
    told?.rules.map(({ state }) => state),
    ['by_request', 'by_request'],
  )
})

/** A scene with one rule that never passes, and a waiver's file; `give` puts one in. */
async function waived() {
  const keys = generateKeyPairSync('ed25519')
  const one = await scene([{ ...LOCKED, expression: 'false' }], (folder) => ({
    waiver: {
      file: folder.at('waiver'),
      keyFiles: [folder.at('waiver.pub')],
      revoked: ['revoked-id'],
    },
  }))
  const pem = keys.publicKey.export({ type: 'spki', format: 'pem' }).toString()
  await writeFile(one.folder.at('waiver.pub'), pem)
  const machine = one.policy.facts.text('node.machine')
  return Object.assign(one, {
    pem,
    async give(change: object = {}, key: KeyObject = keys.privateKey, lifetimeMs = HOUR_MS) {
      const who = { rules: ['lockdown'], who: 'A. Person', why: 'kernel update' }
      const claims = waiverClaims({ node: 'cp-1', machine }, who, lifetimeMs, one.clock.now())
      const text = await new SignJWT({ ...claims, ...change })
        .setProtectedHeader({ alg: key.asymmetricKeyType === 'ed25519' ? 'EdDSA' : 'ES256' })
        .sign(key)
      await writeFile(one.folder.at('waiver'), text)
      const before = one.events.notices().length
      await until('the waiver was looked at', async () => {
        await one.clock.advance(500)
        return one.events.notices().length > before
      })
    },
  })
}

test('a waiver lifts the rule that it names, is told with who gave it until it ends, and then the rule holds again', async () => {
  await using one = await waived()
  assert.match(String(await one.admit()), 'Rule "lockdown"')

  await one.give()
  assert.is(await one.admit(), undefined)
  assert.equal(one.outcomes(), ['lockdown refused', 'lockdown waived'])
  await one.clock.advance(HOUR_MS / 2)
  const reminders = one.events.noticesOf('waiver_in_force')
  assert.ok(reminders.length >= 3, `${reminders.length} times`)
  assert.match(reminders[0]?.message ?? '', /A\. Person lifts lockdown until .*: kernel update/)
  assert.is(one.events.of('policy_state').at(-1)?.waiver?.who, 'A. Person')

  await one.clock.advance(HOUR_MS / 2)
  assert.match(String(await one.admit()), 'Rule "lockdown"')
  assert.match(one.events.noticesOf('waiver_ended')[0]?.message ?? '', 'has ended')
  assert.is(one.events.of('policy_state').at(-1)?.waiver, undefined)
})

test('a waiver that is taken away lifts nothing any more', async () => {
  await using one = await waived()
  await one.give({ rules: ['*'] })
  assert.is(await one.admit(), undefined)

  await rm(one.folder.at('waiver'))
  await one.clock.advance(500)

  assert.match(String(await one.admit()), 'Rule "lockdown"')
  assert.match(one.events.noticesOf('waiver_ended')[0]?.message ?? '', 'was taken away')
})

const second = () => Math.floor(Date.now() / 1_000)
const REFUSED: Readonly<
  Record<
    string,
    readonly [change: object, why: RegExp, key?: KeyObject | undefined, lifetimeMs?: number]
  >
> = {
  expired: [{ exp: second() - 60 }, /has ended/],
  'for another node': [{ sub: 'cp-2' }, /is for a node of another name/],
  'replayed on another node': [{ machine: 'f'.repeat(64) }, /is for another machine/],
  'of the wrong signer': [{}, /not signed by a key/, generateKeyPairSync('ed25519').privateKey],
  'of another kind of key': [
    {},
    /not signed by a key/,
    generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
  ],
  revoked: [{ jti: 'revoked-id' }, /is revoked/],
  'good for too long': [{}, /longer than policy\.waiver\.maxLifetime/, undefined, 25 * HOUR_MS],
  'of the future': [{ iat: second() + 7_200 }, /another claim "iat"/],
  'for another purpose': [{ aud: 'vault' }, /another claim "aud"/],
  'without a name': [{ who: undefined }, /lacks a claim/],
  'without rules': [{ rules: [] }, /lacks a claim/],
}

for (const [what, [change, why, key, lifetimeMs]] of Object.entries(REFUSED)) {
  test(`a waiver that is ${what} is refused, told, and lifts nothing`, async () => {
    await using one = await waived()

    await one.give(change, key, lifetimeMs)

    assert.match(String(await one.admit()), 'Rule "lockdown"')
    assert.match(one.events.noticesOf('waiver_refused')[0]?.message ?? '', why)
    assert.equal(one.events.notices(), ['waiver_refused'])
  })
}

test('a waiver for another rule lifts nothing of this one', async () => {
  await using one = await waived()

  await one.give({ rules: ['secure-boot'] })

  assert.match(String(await one.admit()), 'Rule "lockdown"')
})

test('a waiver whose key cannot be read is refused, and is good as soon as it can', async () => {
  await using one = await waived()
  await writeFile(one.folder.at('waiver.pub'), 'no key')
  await one.give()
  assert.match(one.events.noticesOf('waiver_refused')[0]?.message ?? '', 'holds no public key')

  assert.match(String(await one.admit()), 'Rule "lockdown"')
  const told = one.events.notices()
  await one.clock.advance(5_000)
  assert.equal(one.events.notices(), told, 'each reason once')

  // Nobody touches the waiver itself.
  await writeFile(one.folder.at('waiver.pub'), one.pem)
  await until('the waiver lifts the rule', async () => {
    await one.clock.advance(500)
    return (await one.admit()) === undefined
  })
})

test('sixty-four rules cost a request one look: each is asked once, and again only after a fact of its own has changed', async () => {
  let asked = 0
  const rules = Array.from({ length: 64 }, (_, at) => {
    const config = v.parse(policyConfig, { rules: [{ ...LOCKED, name: `rule-${at}` }] }).rules[0]
    if (config === undefined) throw new Error('No rule')
    const used = new Set([at === 0 ? 'kernel.fips' : 'kernel.lockdown'])
    const ask = () => {
      asked += 1
      return true
    }
    return new Rule(config, { used, ask })
  })
  const facts = new BoundFacts(new Map(), [])
  const events = new RecordedEvents()
  const waiverOf = () => undefined
  const ready = Promise.resolve()
  const deciders = { rules, facts: () => facts, waiverOf, opa: undefined, ready, events }
  const gate = new RuleGate('default', deciders)

  await ready
  assert.is(gate.wait(ENCRYPT, CALL), undefined)
  for (let turn = 0; turn < 1_000; turn += 1) {
    assert.is(gate.admit(ENCRYPT), undefined)
    assert.is(gate.refusal(ENCRYPT), undefined)
  }
  assert.is(asked, 64)
  gate.refusal({ ...ENCRYPT, provider: 'b' })
  assert.is(asked, 64, 'another kind of use asks rules about the node no more')

  for (const rule of rules) rule.forget(new Set(['kernel.fips']))
  gate.forget()
  gate.refusal(ENCRYPT)
  assert.is(asked, 65)
})

test.run()
