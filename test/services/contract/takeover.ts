/**
 * The rules of takeover with every key service: wraps that the service itself makes, put into the
 * exact format in which another plugin stored them, are recognised and opened by the real provider.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import * as assert from 'uvu/assert'
import { systemClock } from '../../../src/base/clock.ts'
import { KmsError } from '../../../src/base/errors.ts'
import type { Call, Provider } from '../../../src/base/provider.ts'
import type { DecryptRequest } from '../../../src/base/service.ts'
import { BatchedProvider } from '../../../src/kms/batched_provider.ts'
import { type ForeignReader, findForeign } from '../../../src/takeover/foreign.ts'
import type { ForeignFormName } from '../../../src/takeover/forms.ts'
import { RecordedEvents } from '../../_lib/events.ts'
import { rejection, suite } from '../../_lib/uvu.ts'

/** A plugin that stored something with this service. */
export interface Golden<TService> {
  /** The form, and what tells this vector from others of it. */
  readonly title: string
  readonly form: ForeignFormName
  /** The request that an API server sends for what the plugin made of a plaintext. */
  store(plaintext: Buffer, service: TService): Promise<DecryptRequest>
}

export interface ServiceUnderTest extends AsyncDisposable {
  readonly provider: Provider
  /** As the config has it, for key ids that name a key. */
  readonly key?: string
  /** Makes a new version of the key. */
  rotate(): Promise<void>
}

const call: Call = { signal: new AbortController().signal, deadline: Number.POSITIVE_INFINITY }
const deps = { clock: systemClock, events: new RecordedEvents() }

export function takeoverContract<TService extends ServiceUnderTest>(
  name: string,
  vectors: readonly Golden<TService>[],
  setup: () => Promise<TService>,
): void {
  const test = suite(`takeover with ${name}`, () => ({}))

  test('what every plugin stored opens, before a rotation and after it [D4]', async () => {
    await using service = await setup()
    const stored = await storeAll(vectors, service)
    await service.rotate()
    const later = await storeAll(vectors, service)

    for (const { title, form, plaintext, request } of [...stored, ...later]) {
      assert.equal(await open(service, form, request), plaintext, title)
    }
  })

  test('the service refuses what was changed or is of another key', async () => {
    await using service = await setup()
    await using other = await setup()
    const stored = await storeAll(vectors, service)

    for (const { title, form, request } of stored) {
      // A key id that names the other key is refused before it is asked.
      const code = await codeOf(open(other, form, request))
      assert.ok(code === 'ciphertext_invalid' || code === 'key_unknown', `${title}: ${code}`)
      const changed = { ...request, ciphertext: changedIn(request.ciphertext) }
      assert.is(await codeOf(open(service, form, changed)), 'ciphertext_invalid', title)
    }
  })

  test('what is no key of an API server does not come out', async () => {
    await using service = await setup()
    for (const { title, form, store } of vectors) {
      const request = await store(randomBytes(33), service)

      assert.is(await codeOf(open(service, form, request)), 'ciphertext_invalid', title)
    }
  })

  test.run()
}

/** Through the one reader that there is, as the keyring does it. */
export async function open(
  { provider, key }: Pick<ServiceUnderTest, 'provider' | 'key'>,
  form: ForeignFormName,
  request: DecryptRequest,
): Promise<Buffer> {
  const { type } = provider.describe()
  const reader: ForeignReader = { name: 'mine', type, reads: [form], key }
  const [found] = findForeign(request, [reader]) ?? []
  if (found === undefined) throw new Error('Not foreign')
  const unwrapped = await new BatchedProvider('mine', provider, deps).unwrap(found.item, call)
  return Buffer.from(found.plaintextOf(unwrapped))
}

async function storeAll<TService extends ServiceUnderTest>(
  vectors: readonly Golden<TService>[],
  service: TService,
) {
  return await Promise.all(
    vectors.map(async ({ title, form, store }) => {
      const plaintext = randomBytes(32)
      return { title, form, plaintext, request: await store(plaintext, service) }
    }),
  )
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  const error = await rejection(promise)
  assert.instance(error, KmsError)
  return (error as KmsError).code
}

/** Another letter in the middle, so that text stays text. */
function changedIn(ciphertext: Uint8Array): Buffer {
  const changed = Buffer.from(ciphertext)
  const at = Math.floor(changed.length * 0.75)
  changed[at] = changed[at] === 0x41 ? 0x42 : 0x41
  return changed
}
