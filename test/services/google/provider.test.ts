/** The requests to Cloud KMS, and how its answers are read, on a strict fake. @module */

import { Buffer } from 'node:buffer'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { crcOf } from '../../_lib/services/google/fake/key.ts'
import { KEY } from '../../_lib/services/google/fake.ts'
import { googleSetup } from '../../_lib/services/google/setup.ts'
import {
  changed,
  errorIn,
  ITEM,
  unwrapOne,
  valueIn,
  wrapOne,
} from '../../_lib/services/google/use.ts'
import { suite } from '../../_lib/uvu.ts'

const AAD = ITEM.associatedData
const ENCRYPT = /:encrypt$/
const DECRYPT = /:decrypt$/

const test = suite('services/google/provider', () => ({}))

test('wrap() names the version and sends the digest and both checksums', async () => {
  await using one = await googleSetup()

  const wrap = valueIn(await wrapOne(one))

  const sent = one.google.requests.find(({ path }) => ENCRYPT.test(path))
  assert.is(sent?.path, `/v1/${KEY}/cryptoKeyVersions/1:encrypt`)
  assert.equal(sent?.json, {
    plaintext: ITEM.plaintext.toString('base64'),
    plaintextCrc32c: crcOf(ITEM.plaintext),
    additionalAuthenticatedData: AAD.toString('base64'),
    additionalAuthenticatedDataCrc32c: crcOf(AAD),
  })
  assert.ok(wrap.length <= ITEM.plaintext.length + one.provider.limits.overheadBytes)
})

test('unwrap() asks for the key and lets the service find the version', async () => {
  await using one = await googleSetup()
  const wrap = valueIn(await wrapOne(one))
  one.google.key.rotate(Date.now())

  const opened = valueIn(await unwrapOne(one, wrap))

  assert.equal(Buffer.from(opened), ITEM.plaintext)
  const sent = one.google.requests.find(({ path }) => DECRYPT.test(path))
  assert.is(sent?.path, `/v1/${KEY}:decrypt`)
  assert.equal(sent?.json, {
    ciphertext: Buffer.from(wrap).toString('base64'),
    ciphertextCrc32c: crcOf(wrap),
    additionalAuthenticatedData: AAD.toString('base64'),
    additionalAuthenticatedDataCrc32c: crcOf(AAD),
  })
})

test("unwrap() without associated data opens what Google's own plugin wrapped", async () => {
  await using one = await googleSetup()
  const plaintext = Buffer.from('wrapped by k8s-cloudkms-plugin').toString('base64')
  const { body } = one.google.key.encrypt(1, { plaintext })
  const { ciphertext } = v.parse(v.object({ ciphertext: v.string() }), body)
  const item = { version: '1', bytes: Buffer.from(ciphertext, 'base64'), associatedData: undefined }

  const [outcome] = await one.limited((call) => one.provider.unwrap([item], call))

  assert.is(
    String(outcome?.ok === true && Buffer.from(outcome.value)),
    'wrapped by k8s-cloudkms-plugin',
  )
  const sent = one.google.requests.find(({ path }) => DECRYPT.test(path))
  assert.equal(Object.keys(sent?.json ?? {}), ['ciphertext', 'ciphertextCrc32c'])
})

test('keyState() reads every page, whole seconds, and the clock of the service', async () => {
  const now = Date.parse('2026-11-23T10:00:00.999Z')
  await using one = await googleSetup({ clock: fixedClock(now) })
  for (let count = 0; count < 4; count += 1) one.google.key.rotate(now)
  one.google.pageSize = 2

  const state = await one.limited((call) => one.provider.keyState(call))

  assert.equal(
    state.versions.map(({ label, createdAt }) => [label, createdAt]),
    ['1', '2', '3', '4', '5'].map((label) => [label, Math.floor(now / 1000)]),
  )
  assert.is(state.serviceTime, Math.floor(now / 1000) * 1000)
  assert.is(one.google.count(/\/cryptoKeyVersions$/), 3)
})

test('versions are sorted by number, not as text', async () => {
  await using one = await googleSetup()
  for (let count = 0; count < 10; count += 1) one.google.key.rotate(Date.now())

  const { versions } = await one.limited((call) => one.provider.keyState(call))

  assert.is(versions.at(-1)?.label, '11')
})

test('a version newer than the primary one does not encrypt until it is made primary', async () => {
  await using one = await googleSetup()
  one.google.key.rotate(Date.now(), { primary: false })
  const mayEncrypt = async () =>
    (await one.limited((call) => one.provider.keyState(call))).versions.map(
      (each) => each.mayEncrypt,
    )

  assert.equal(await mayEncrypt(), [true, false])
  one.google.key.primary = 2
  assert.equal(await mayEncrypt(), [true, true])
  one.google.key.primary = undefined
  assert.equal(await mayEncrypt(), [false, false])
})

for (const state of ['DISABLED', 'DESTROY_SCHEDULED', 'DESTROYED', 'PENDING_GENERATION']) {
  test(`a version that is ${state} neither encrypts nor decrypts, and errors say what to do`, async () => {
    await using one = await googleSetup()
    const wrap = valueIn(await wrapOne(one))
    one.google.key.version(1).state = state

    const { versions } = await one.limited((call) => one.provider.keyState(call))
    const errors = [errorIn(await wrapOne(one)), errorIn(await unwrapOne(one, wrap))]

    assert.equal(
      versions.map(({ mayEncrypt, mayDecrypt }) => [mayEncrypt, mayDecrypt]),
      [[false, false]],
    )
    for (const { code, message } of errors) {
      assert.is(code, 'key_unavailable')
      const what =
        /^Version 1 of the key is (disabled: .*enable|about to be destroyed: .*restore|destroyed: |still being made: )/
      assert.match(message, what)
    }
  })
}

test('the id is of project, location, ring and key, never of the endpoint or the name [R8]', async () => {
  await using one = await googleSetup({ configure: () => ({ name: 'other' }) })
  await using two = await googleSetup({ configure: () => ({ id: 'chosen' }) })

  assert.is(one.provider.id, 'gcpkms:acme-prod/europe-west1/k8s/etcd')
  assert.is(two.provider.id, 'chosen')
  assert.equal(one.provider.describe(), { type: 'gcpkms', key: `${KEY} at ${one.google.address}` })
})

test('a project number where an id was asked for is the same project', async () => {
  await using one = await googleSetup()
  one.google.tamper(
    ENCRYPT,
    changed(({ name }) => ({ name: String(name).replace('acme-prod', '123456') })),
  )

  assert.ok((await wrapOne(one)).ok)
})

test('many items go side by side, and not all at once', async () => {
  await using one = await googleSetup()
  const items = Array.from({ length: 40 }, () => ITEM)
  let most = 0
  let now = 0
  one.google.onRequest = () => {
    now += 1
    most = Math.max(most, now)
    return () => {
      now -= 1
    }
  }

  await one.limited((call) => one.provider.wrap('1', items, call))

  assert.ok(most > 1 && most <= 8, `${most} at once`)
})

/** Its wall clock stands still; everything else is as usual. */
function fixedClock(now: number) {
  return {
    now: () => now,
    monotonic: () => performance.now(),
    after(ms: number, run: () => void) {
      const timer = setTimeout(run, ms)
      return () => clearTimeout(timer)
    },
    soon: (run: () => void) => void setTimeout(run, 0),
  }
}

test.run()
