/** What every source of a signing key must do, whoever keeps the key. @module */

import { Buffer } from 'node:buffer'
import { createPublicKey, verify } from 'node:crypto'
import * as assert from 'uvu/assert'
import { KmsError } from '../../../src/base/errors.ts'
import type { Call } from '../../../src/base/provider.ts'
import { HASH_OF, type SigningKeySource } from '../../../src/base/signing_key.ts'
import { verificationKey } from '../../../src/signer/verification_key.ts'
import { rejection, suite } from '../../_lib/uvu.ts'

export interface SourceUnderTest extends AsyncDisposable {
  readonly source: SigningKeySource
  /** Makes a new version where the key is kept. */
  rotate(): Promise<void>
  /** What must not be in what it says. */
  readonly secrets: readonly string[]
}

const LIMIT_MS = 20_000
const call: Call = { signal: new AbortController().signal, deadline: LIMIT_MS }

export function signingKeyContract(
  name: string,
  setup: () => Promise<SourceUnderTest>,
  algorithm: keyof typeof HASH_OF,
): void {
  const test = suite(`signing key contract: ${name}`, () => ({}))

  test('each input has a signature of its own that its public key verifies, in their order [J11]', async () => {
    await using under = await setup()
    const { source } = under
    const version = await newest(source)
    const inputs = Array.from({ length: 5 }, (_, index) => Buffer.from(`header.claims-${index}`))

    const outcomes = await source.sign({ version: version.label, algorithm, inputs }, call)

    assert.is(verificationKey(version.publicKey, name).algorithm, algorithm)
    const key = createPublicKey({
      key: Buffer.from(version.publicKey),
      format: 'der',
      type: 'spki',
    })
    for (const [index, outcome] of outcomes.entries()) {
      const input = inputs[index] ?? Buffer.alloc(0)
      assert.ok(outcome.ok)
      const options = { key, dsaEncoding: 'ieee-p1363' } as const
      assert.ok(outcome.ok && verify(HASH_OF[algorithm], input, options, outcome.value))
    }
    assert.is(outcomes.length, inputs.length)
  })

  test('versions come oldest first with their own public keys, and an older one still signs', async () => {
    await using under = await setup()
    const { source } = under
    const first = await newest(source)
    await under.rotate()
    const { versions } = await source.publicKeys(call)
    const [old, young] = versions

    assert.is(versions.length, 2)
    assert.is(old?.label, first.label)
    assert.equal(old?.publicKey, first.publicKey)
    assert.ok((young?.createdAt ?? 0) >= (old?.createdAt ?? 0))
    assert.ok(Math.abs((old?.createdAt ?? 0) - Date.now() / 1_000) < 300)
    assert.ok(versions.every(({ maySign }) => maySign))
    const kids = versions.map(({ publicKey }) => verificationKey(publicKey, name).kid)
    assert.is(new Set(kids).size, 2)
    const request = { version: first.label, algorithm, inputs: [Buffer.from('a.b')] }
    assert.ok((await source.sign(request, call))[0]?.ok)
  })

  test('a version that is not there is an error that names what is missing', async () => {
    await using under = await setup()
    const request = { version: '7', algorithm, inputs: [Buffer.from('a.b')] }
    const outcome = await under.source.sign(request, call).then(
      ([first]) => first,
      (error: unknown) => ({ ok: false as const, error }),
    )

    assert.is(outcome?.ok, false)
    const error = outcome?.ok === false ? outcome.error : undefined
    assert.ok(error instanceof KmsError && error.code === 'key_unavailable', String(error))
  })

  test('a call whose signal fired rejects with its reason; what it says of itself is no secret', async () => {
    await using under = await setup()
    const { source, secrets } = under
    await source.publicKeys(call)
    const reason = new KmsError('Enough', { code: 'cancelled' })
    const over = { ...call, signal: AbortSignal.abort(reason) }
    const request = { version: '1', algorithm, inputs: [Buffer.from('a.b')] }

    assert.is(await rejection(source.publicKeys(over)), reason)
    assert.is(await rejection(source.sign(request, over)), reason)
    const said = `${source.id} ${source.describe()}`
    for (const secret of secrets) assert.not.ok(said.includes(secret))
    await source.close()
    await source.close()
  })

  test.run()
}

async function newest(source: SigningKeySource) {
  const version = (await source.publicKeys(call)).versions.at(-1)
  if (version === undefined) throw new Error('It has no version')
  return version
}
