/**
 * What a real server answers besides its results, and what the provider does where these answers
 * are changed.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { withinLimit } from '../../../src/base/call.ts'
import { systemClock } from '../../../src/base/clock.ts'
import { toKmsError } from '../../../src/base/errors.ts'
import type { Call, KeyState, Outcome } from '../../../src/base/provider.ts'
import { vaultConfig } from '../../../src/services/vault/config.ts'
import { createVaultProvider } from '../../../src/services/vault/provider.ts'
import { RecordedEvents } from '../../_lib/events.ts'
import { startLyingProxy } from '../../_lib/remote/lying_proxy.ts'
import { vaultDialect } from '../../_lib/services/vault/lies.ts'
import { startOpenBao } from '../../_lib/services/vault/openbao.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { suite } from '../../_lib/uvu.ts'

const test = suite('services/vault/answers on OpenBao', () => ({}))
const SIZE = 128
const ITEMS = Array.from({ length: SIZE }, (_, at) => ({
  plaintext: Buffer.from(`item ${at}`),
  associatedData: Buffer.alloc(32, at),
}))

test('OpenBao repeats the reference of each item of a full batch, and every lie about one is refused', async () => {
  await using folder = await tempFolder()
  await using bao = await startOpenBao()
  const transit = await bao.setupTransit({ folder: folder.path })
  await using liar = await startLyingProxy(() => bao.address)
  const fields = { name: 'v', type: 'vault', allowInsecureHttp: true, ...transit.provider }
  const provider = createVaultProvider(v.parse(vaultConfig, { ...fields, address: liar.address }), {
    clock: systemClock,
    events: new RecordedEvents(),
    requestTimeoutMs: 5_000,
  })
  const limited = <T>(work: (call: Call) => Promise<T>) => withinLimit(systemClock, 5_000, work)
  const repeated: string[] = []
  liar.lie = (told, { body }) => {
    if (!told.body.includes('batch_results')) return told
    const asked = JSON.parse(body).batch_input.map(referenceOf)
    assert.equal(JSON.parse(told.body).data.batch_results.map(referenceOf), asked)
    repeated.push(...asked)
    return told
  }

  const wraps = (await limited((call) => provider.wrap('1', ITEMS, call))).flatMap((outcome) =>
    outcome.ok ? outcome.value : [],
  )
  const wrapped = wraps.map((bytes, at) => ({
    version: '1',
    bytes,
    associatedData: ITEMS[at]?.associatedData,
  }))
  const opened = await limited((call) => provider.unwrap(wrapped, call))

  assert.equal(
    opened.map((outcome) => outcome.ok && Buffer.from(outcome.value).toString()),
    ITEMS.map(({ plaintext }) => plaintext.toString()),
  )
  // With the trial beside the items to encrypt.
  assert.is(new Set(repeated).size, 2 * SIZE + 1)
  for (const { act, does, lie } of vaultDialect.lies) {
    liar.lie = (told, asked) => (vaultDialect.actOf(asked) === act ? lie(told, asked) : told)
    const asking = {
      keyState: () => limited((call) => provider.keyState(call)),
      wrap: () => limited((call) => provider.wrap('1', ITEMS.slice(0, 2), call)),
      unwrap: () => limited((call) => provider.unwrap(wrapped.slice(8, 12), call)),
    }[act]
    const code = await asking().then(codeIn, (error: unknown) => toKmsError(error).code)
    assert.is(code, 'protocol', `${act}: a service that ${does}`)
  }
  await provider.close()
})

function referenceOf({ reference }: { readonly reference: string }): string {
  return reference
}

/** Of what an act came to: results in a batch have codes of their own. */
function codeIn(outcomes: KeyState | readonly Outcome<Uint8Array>[]): string {
  if (!Array.isArray(outcomes)) return 'ok'
  const codes = outcomes.map((outcome) => (outcome.ok ? 'ok' : outcome.error.code))
  return [...new Set(codes)].join()
}

test.run()
