/** The rules that every provider keeps, whatever its service. @module */

import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import * as assert from 'uvu/assert'
import { KmsError } from '../../../src/base/errors.ts'
import type { Call, Outcome, Provider } from '../../../src/base/provider.ts'
import { alone, roundTrip } from '../../../src/kms/round_trip.ts'
import { rejection, suite } from '../../_lib/uvu.ts'

interface ProviderUnderTest extends AsyncDisposable {
  readonly provider: Provider
  /** Makes a new version of the key. */
  rotate(): Promise<void>
  /** What no error and no description may hold. */
  readonly secrets: readonly string[]
  /**
   * True where the service finds the version in the wrap itself, so that the label
   * beside it decides nothing; the envelope's digest binds the label all the same.
   */
  readonly versionInWrap?: boolean
  /** From now on the service ignores associated data. */
  deafen?(): void
}

const call: Call = { signal: new AbortController().signal, deadline: Number.POSITIVE_INFINITY }
const DIGEST = Buffer.alloc(32, 0xd1)
const OTHER_DIGEST = Buffer.alloc(32, 0xd2)

/**
 * @param selectable false where the service picks the key material itself, as AWS does
 * @param deafens true where the service can be made one that ignores associated data
 */
export function providerContract(
  name: string,
  setup: () => Promise<ProviderUnderTest>,
  { selectable: selects = true, deafens = false } = {},
): void {
  const test = suite(`contract of ${name}`, () => ({}))
  const testVersions: typeof test = selects ? test : Object.assign(() => undefined, test)

  test('wrap() and unwrap() give back every size up to the limit [D1 E1]', async () => {
    await using under = await setup()
    const { provider } = under
    const version = await newest(provider)
    const { plaintextBytes: limit } = provider.limits
    const sizes = [1, 4, 16, 32, 33, 200, limit].filter((size) => size <= limit)
    const plaintexts = sizes.map((size) => randomBytes(size))

    const wraps = await wrapAll(provider, version, plaintexts)
    const opened = await provider.unwrap(
      wraps.map((bytes) => ({ version, bytes, associatedData: DIGEST })),
      call,
    )

    assert.equal(
      opened.map((outcome) => Buffer.from(valueIn(outcome))),
      plaintexts,
    )
    for (const [index, bytes] of wraps.entries()) {
      assert.ok(bytes.length <= (sizes[index] ?? 0) + provider.limits.overheadBytes, 'overhead')
    }
  })

  test('300 items come back in their order', async () => {
    await using under = await setup()
    const { provider } = under
    const version = await newest(provider)
    const plaintexts = Array.from({ length: 300 }, (_, index) => Buffer.from(`item ${index}`))

    const wraps = await wrapAll(provider, version, plaintexts)
    const opened = await provider.unwrap(
      wraps.map((bytes) => ({ version, bytes, associatedData: DIGEST })),
      call,
    )

    assert.equal(
      opened.map((outcome) => Buffer.from(valueIn(outcome)).toString()),
      plaintexts.map(String),
    )
  })

  test('equal plaintexts have different wraps [E9 E10]', async () => {
    await using under = await setup()
    const { provider } = under
    const same = Array.from({ length: 20 }, () => Buffer.alloc(32, 1))

    const wraps = await wrapAll(provider, await newest(provider), same)

    assert.is(new Set(wraps.map((bytes) => Buffer.from(bytes).toString('hex'))).size, 20)
  })

  test('a bad item fails alone', async () => {
    await using under = await setup()
    const { provider } = under
    const version = await newest(provider)
    const [good = new Uint8Array()] = await wrapAll(provider, version, [Buffer.from('good')])
    const bad = Uint8Array.from(good)
    bad[bad.length - 1] = (bad.at(-1) ?? 0) ^ 1

    const item = (bytes: Uint8Array) => ({ version, bytes, associatedData: DIGEST })
    const outcomes = await provider.unwrap([item(good), item(bad), item(good)], call)

    assert.equal(
      outcomes.map(({ ok }) => ok),
      [true, false, true],
    )
    assert.is(codeOf(outcomes[1]), 'ciphertext_invalid')
  })

  test('a wrap opens under no other associated data [D5]', async () => {
    await using under = await setup()
    const { provider } = under
    const version = await newest(provider)
    const [bytes = new Uint8Array()] = await wrapAll(provider, version, [Buffer.from('bound')])

    for (const associatedData of [OTHER_DIGEST, DIGEST.subarray(1), new Uint8Array()]) {
      const [outcome] = await provider.unwrap([{ version, bytes, associatedData }], call)
      assert.is(codeOf(outcome), 'ciphertext_invalid')
    }
  })

  test('roundTrip() proves that a wrap opens, and under other associated data does not [S14 E10]', async () => {
    await using under = await setup()
    const { provider } = under
    const version = await newest(provider)

    // Each turn changes another bit of the associated data.
    for (const _ of [1, 2, 3]) await roundTrip(alone(name, provider), version, randomBytes, call)
  })

  if (deafens) {
    test('roundTrip() finds a service that ignores associated data [S14 E10]', async () => {
      await using under = await setup()
      const { provider } = under
      const version = await newest(provider)
      under.deafen?.()

      const error = await rejection(roundTrip(alone(name, provider), version, randomBytes, call))

      assert.is((error as KmsError).code, 'unbound')
    })
  }

  test('a wrap with any byte changed, cut or added is refused as such [E10]', async () => {
    await using under = await setup()
    const { provider } = under
    const version = await newest(provider)
    const [bytes = new Uint8Array()] = await wrapAll(provider, version, [Buffer.alloc(32, 7)])
    const changed = Array.from(bytes, (byte, at) => {
      const copy = Uint8Array.from(bytes)
      copy[at] = byte ^ 0x80
      return copy
    })
    const cut = [0, 1, 11, 12, 27, 28, bytes.length - 1].map((length) => bytes.subarray(0, length))
    const bad = [...changed, ...cut, Uint8Array.from([...bytes, 0])]

    const outcomes = await provider.unwrap(
      bad.map((wrong) => ({ version, bytes: wrong, associatedData: DIGEST })),
      call,
    )

    assert.equal([...new Set(outcomes.map(codeOf))], ['ciphertext_invalid'])
  })

  test('a version that does not exist is key_unavailable', async () => {
    await using under = await setup()
    const { provider } = under
    const version = await newest(provider)
    const [bytes = new Uint8Array()] = await wrapAll(provider, version, [Buffer.from('x')])

    const wrapped = await provider.wrap('99', [{ plaintext: bytes, associatedData: DIGEST }], call)
    const opened = await provider.unwrap([{ version: '99', bytes, associatedData: DIGEST }], call)

    assert.is(codeOf(wrapped[0]), 'key_unavailable')
    assert.is(codeOf(opened[0]), under.versionInWrap === true ? 'ok' : 'key_unavailable')
  })

  if (!selects) {
    test('one version is the key, whatever material is in it, and old material still opens', async () => {
      await using under = await setup()
      const { provider, rotate } = under
      const first = await provider.keyState(call)
      const label = first.versions[0]?.label ?? ''
      const [old = new Uint8Array()] = await wrapAll(provider, label, [Buffer.from('old')])
      await rotate()

      const next = await provider.keyState(call)
      const opened = await provider.unwrap(
        [{ version: label, bytes: old, associatedData: DIGEST }],
        call,
      )

      assert.is(first.selectable, false)
      assert.equal(next.versions, first.versions)
      assert.is(first.versions.length, 1)
      assert.equal(
        opened.map((outcome) => Buffer.from(valueIn(outcome)).toString()),
        ['old'],
      )
    })
  }

  testVersions(
    'every version still opens what it wrapped, and an older one can be named [D4]',
    async () => {
      await using under = await setup()
      const { provider, rotate } = under
      const first = await newest(provider)
      const [old = new Uint8Array()] = await wrapAll(provider, first, [Buffer.from('old')])
      await rotate()
      const second = await newest(provider)
      assert.is.not(second, first)
      const [late = new Uint8Array()] = await wrapAll(provider, first, [Buffer.from('late')])
      const [fresh = new Uint8Array()] = await wrapAll(provider, second, [Buffer.from('new')])

      const opened = await provider.unwrap(
        [
          { version: first, bytes: old, associatedData: DIGEST },
          { version: first, bytes: late, associatedData: DIGEST },
          { version: second, bytes: fresh, associatedData: DIGEST },
          { version: second, bytes: old, associatedData: DIGEST },
        ],
        call,
      )

      assert.equal(
        opened.slice(0, 3).map((outcome) => Buffer.from(valueIn(outcome)).toString()),
        ['old', 'late', 'new'],
      )
      assert.is(codeOf(opened[3]), under.versionInWrap === true ? 'ok' : 'ciphertext_invalid')
    },
  )

  testVersions(
    'keyState() lists versions oldest first, with times that do not run back',
    async () => {
      await using under = await setup()
      const { provider, rotate } = under
      const labels = [await newest(provider)]
      for (const _ of [2, 3]) {
        await rotate()
        labels.push(await newest(provider))
      }

      const { selectable, versions } = await provider.keyState(call)

      assert.is(selectable, true)
      assert.equal(
        versions.map(({ label }) => label),
        labels,
      )
      const times = versions.map(({ createdAt }) => createdAt)
      assert.equal(
        times,
        [...times].sort((a, b) => a - b),
      )
      assert.ok(Math.abs((times[0] ?? 0) - Date.now() / 1000) < 120)
      assert.ok(versions.every(({ mayEncrypt, mayDecrypt }) => mayEncrypt && mayDecrypt))
    },
  )

  test('a call whose signal fired rejects with its reason', async () => {
    await using under = await setup()
    const { provider } = under
    const reason = new KmsError('Enough', { code: 'cancelled' })
    const over = { ...call, signal: AbortSignal.abort(reason) }
    const item = { plaintext: Buffer.from('x'), associatedData: DIGEST }

    assert.is(await rejection(provider.keyState(over)), reason)
    assert.is(await rejection(provider.wrap('1', [item], over)), reason)
    const wrapped = { version: '1', bytes: Buffer.from('x'), associatedData: DIGEST }
    assert.is(await rejection(provider.unwrap([wrapped], over)), reason)
  })

  test('id and description stay, and neither they nor errors hold a secret [S11 F8]', async () => {
    await using under = await setup()
    const { provider, secrets } = under
    const { id } = provider
    const planted = Buffer.from('planted-plaintext')
    const version = await newest(provider)
    const wrong = { version, bytes: planted, associatedData: DIGEST }

    const outcomes = await provider.unwrap([wrong], call)

    assert.is(provider.id, id)
    const said = [id, JSON.stringify(provider.describe()), ...outcomes.map(saidBy)].join('\n')
    for (const secret of [...secrets, String(planted), planted.toString('base64')]) {
      assert.not.ok(said.includes(secret), 'no secret')
    }
  })

  test('close() may be called twice', async () => {
    await using under = await setup()
    await under.provider.keyState(call)

    await under.provider.close()
    await under.provider.close()
  })

  test.run()
}

async function newest(provider: Provider): Promise<string> {
  return (await provider.keyState(call)).versions.at(-1)?.label ?? ''
}

async function wrapAll(
  provider: Provider,
  version: string,
  plaintexts: readonly Uint8Array[],
): Promise<Uint8Array[]> {
  const items = plaintexts.map((plaintext) => ({ plaintext, associatedData: DIGEST }))
  return (await provider.wrap(version, items, call)).map(valueIn)
}

function valueIn(outcome: Outcome<Uint8Array>): Uint8Array {
  if (!outcome.ok) throw outcome.error
  return outcome.value
}

function codeOf(outcome: Outcome<Uint8Array> | undefined): string {
  if (outcome === undefined) return 'missing'
  return outcome.ok ? 'ok' : outcome.error.code
}

function saidBy(outcome: Outcome<Uint8Array>): string {
  return outcome.ok ? '' : `${outcome.error.message} ${outcome.error.stack}`
}
