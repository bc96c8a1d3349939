/**
 * What every provider does where a service answers something else than it was asked for: each lie
 * is refused, with the same code at every provider, and the next true answer is accepted again.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import * as assert from 'uvu/assert'
import { type KmsError, toKmsError } from '../../../src/base/errors.ts'
import type { Call, Outcome, Provider } from '../../../src/base/provider.ts'
import type { Lie, LyingProxy } from '../../_lib/remote/lying_proxy.ts'
import { type Act, type Dialect, HOLLOW } from '../../_lib/services/lie.ts'
import { suite } from '../../_lib/uvu.ts'

interface ProviderBehindLiar extends AsyncDisposable {
  readonly provider: Provider
  /** On the way to its key service. */
  readonly liar: LyingProxy
}

const call: Call = { signal: new AbortController().signal, deadline: Number.POSITIVE_INFINITY }
const ITEMS = ['the first plaintext', 'the second one, which is longer'].map((text, at) => ({
  plaintext: Buffer.from(text),
  associatedData: Buffer.alloc(32, at),
}))

/** @param scene what the provider is a part of, and ends with it */
export function behindLiar(
  provider: Provider,
  liar: LyingProxy,
  scene: AsyncDisposable,
): ProviderBehindLiar {
  return {
    provider,
    liar,
    async [Symbol.asyncDispose]() {
      await scene[Symbol.asyncDispose]()
      await liar[Symbol.asyncDispose]()
    },
  }
}

export function answerContract(
  name: string,
  setup: () => Promise<ProviderBehindLiar>,
  { actOf, lies }: Dialect,
): void {
  const test = suite(`answers to ${name}`, () => ({}))
  const only = (act: Act, lie: Lie): Lie => {
    return (told, asked) => (actOf(asked) === act ? lie(told, asked) : told)
  }

  for (const { act, does, lie, later = false } of lies) {
    test(`${act}: a service that ${does} is not believed`, async () => {
      await using under = await setup()
      const asking = await prepared(under, act)

      under.liar.lie = only(act, lie)
      const errors = await asking()

      const codes = errors.map((error) => error?.code)
      assert.equal([...new Set(codes.filter((code) => !later || code !== undefined))], ['protocol'])
      checkWords(errors)
      under.liar.lie = undefined
      assert.equal([...new Set(await asking())], [undefined])
    })
  }

  for (const [does, code, told] of HOLLOW) {
    for (const act of ['keyState', 'wrap', 'unwrap'] as const) {
      test(`${act}: a service that ${does} is ${code}`, async () => {
        await using under = await setup()
        const asking = await prepared(under, act)
        const hollow = told()

        under.liar.lie = only(act, () => hollow)
        const errors = await asking()

        assert.equal([...new Set(errors.map((error) => error?.code))], [code])
        checkWords(errors)
        under.liar.lie = undefined
        assert.equal([...new Set(await asking())], [undefined])
      })
    }
  }

  test.run()
}

/** What asks for something that works as long as nobody lies, and gives the error of each item. */
async function prepared({ provider }: ProviderBehindLiar, act: Act) {
  // A first look: what was found good once is not always looked at again.
  if (act === 'keyState')
    return async () => [await provider.keyState(call).then(nothing, toKmsError)]
  const version = (await provider.keyState(call)).versions.at(-1)?.label ?? ''
  const wraps = (await provider.wrap(version, ITEMS, call)).map(valueIn)
  const wrapped = wraps.map((bytes, at) => ({
    version,
    bytes,
    associatedData: ITEMS[at]?.associatedData,
  }))
  return async (): Promise<readonly (KmsError | undefined)[]> => {
    try {
      if (act === 'wrap') return (await provider.wrap(version, ITEMS, call)).map(errorIn)
      return (await provider.unwrap(wrapped, call)).map(errorIn)
    } catch (error) {
      return [toKmsError(error)]
    }
  }
}

/** Nothing that the service or somebody in between said, and nothing that was to be kept secret. */
function checkWords(errors: readonly (KmsError | undefined)[]): void {
  const said = errors.map((error) => `${error?.message} ${error?.stack}`).join('\n')
  for (const secret of [
    'planted',
    'plaintext, ',
    ...ITEMS.map(({ plaintext }) => `${plaintext}`),
  ]) {
    assert.not.ok(said.includes(secret), `no ${secret} in: ${said}`)
  }
}

function nothing(): undefined {
  return undefined
}

function errorIn(outcome: Outcome<Uint8Array>): KmsError | undefined {
  return outcome.ok ? undefined : outcome.error
}

function valueIn(outcome: Outcome<Uint8Array>): Uint8Array {
  if (!outcome.ok) throw outcome.error
  return outcome.value
}
