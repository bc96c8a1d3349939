/**
 * A server that ignores associated data, as HashiCorp Vault before 1.13 does: the whole
 * contract there, the server's upgrade and downgrade under the plugin, and what was made
 * before anybody noticed.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import type { KmsError } from '../../../src/base/errors.ts'
import type { Call, Outcome, Provider } from '../../../src/base/provider.ts'
import { onceMoreIfUnbound } from '../../../src/kms/round_trip.ts'
import { vaultConfig } from '../../../src/services/vault/config.ts'
import { createVaultProvider } from '../../../src/services/vault/provider.ts'
import { RecordedEvents } from '../../_lib/events.ts'
import { FakeClock } from '../../_lib/fake_clock.ts'
import { startDeafProxy } from '../../_lib/services/vault/deaf_proxy.ts'
import type { OpenBao, Transit } from '../../_lib/services/vault/openbao.ts'
import { endSharedOpenBao, sharedOpenBao } from '../../_lib/services/vault/shared_openbao.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { rejection, suite } from '../../_lib/uvu.ts'
import { providerContract } from '../contract/provider.ts'

const SEED = Buffer.alloc(32, 0x5e)
const DIGEST = Buffer.alloc(32, 0xd1)
const OTHER_DIGEST = Buffer.alloc(32, 0xd2)
const call: Call = { signal: new AbortController().signal, deadline: Number.POSITIVE_INFINITY }

async function setup() {
  const folder = await tempFolder()
  const { bao, transit } = await sharedOpenBao(folder.path)
  const proxy = await startDeafProxy(bao.address)
  const providers: Provider[] = []
  const clock = new FakeClock()
  const events = new RecordedEvents()
  /** One more node. */
  const node = (fields: object = {}) => {
    const config = v.parse(vaultConfig, {
      name: 'vault-prod',
      type: 'vault',
      allowInsecureHttp: true,
      ...transit.provider,
      address: proxy.address,
      ...fields,
    })
    const provider = createVaultProvider(config, { clock, events, requestTimeoutMs: 2_500 })
    providers.push(provider)
    return provider
  }
  return {
    bao,
    transit,
    proxy,
    node,
    clock,
    events,
    async [Symbol.asyncDispose]() {
      for (const provider of providers) await provider.close()
      await proxy[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

const test = suite('services/vault/binding', () => ({}))

test('wrap() makes nothing that the service did not bind, and keyState() then has versions that are bound inside', async () => {
  await using one = await setup()
  const provider = one.node()

  assert.equal(await labels(provider), ['1'])
  const error = (await rejection(wrap(provider, '1'))) as KmsError
  assert.is(error.code, 'unbound')
  assert.match(error.message, /"vault-prod" ignores associated data.*before 1\.13/)

  assert.equal(await labels(provider), ['1.inside'])
  const wrapped = await wrap(provider, '1.inside')
  assert.equal(await open(provider, '1.inside', wrapped), SEED)
  assert.is(codeOf(await unwrap(provider, '1.inside', wrapped, OTHER_DIGEST)), 'ciphertext_invalid')
  assert.match((await provider.keyState(call)).note ?? '', /bound inside their plaintext/)
  assert.equal(one.events.notices(), ['binding_inside'])
})

test('what was written before an upgrade of the service opens after it, and the other way round', async () => {
  await using one = await setup()
  const [noticed, unaware] = [one.node(), one.node()]
  for (const provider of [noticed, unaware]) await notice(provider)
  const before = await wrap(noticed, '1.inside')

  one.proxy.deaf = false
  const late = await wrap(unaware, '1.inside')
  await one.clock.advance(600_001)
  assert.equal(await labels(noticed), ['1'])
  const after = await wrap(noticed, '1')

  for (const provider of [noticed, unaware, one.node()]) {
    assert.equal(await open(provider, '1.inside', before), SEED)
    assert.equal(await open(provider, '1.inside', late), SEED)
    assert.equal(await open(provider, '1', after), SEED)
    assert.is(codeOf(await unwrap(provider, '1', after, OTHER_DIGEST)), 'ciphertext_invalid')
  }
})

test('a service that stops to heed associated data gets no wrap out of a node that trusted it', async () => {
  await using one = await setup()
  one.proxy.deaf = false
  const provider = one.node()
  const bound = await wrap(provider, '1')
  assert.equal(await open(provider, '1', bound), SEED)

  one.proxy.deaf = true
  const error = (await rejection(wrap(provider, '1'))) as KmsError

  assert.is(error.code, 'unbound')
  assert.equal(await labels(provider), ['1.inside'])
  // Its answer proves nothing of what it opens: such a wrap waits until the service heeds it again.
  assert.is(codeOf(await unwrap(provider, '1', bound)), 'ciphertext_invalid')
  one.proxy.deaf = false
  assert.equal(await open(provider, '1', bound), SEED)
})

test('a wrap that nothing was bound to opens with allowUnboundDecrypt alone, before and after the upgrade', async () => {
  await using one = await setup()
  const old = await unboundWrap(one.bao, one.transit)

  const strict = (await unwrap(one.node(), '1', old)) as { error?: KmsError }
  assert.is(strict.error?.code, 'unbound')
  assert.match(strict.error?.message ?? '', /allowUnboundDecrypt/)
  const willing = one.node({ allowUnboundDecrypt: true })
  assert.equal(await open(willing, '1', old), SEED)

  one.proxy.deaf = false
  assert.is(codeOf(await unwrap(one.node(), '1', old)), 'ciphertext_invalid')
  const after = one.node({ allowUnboundDecrypt: true })
  assert.equal(await open(after, '1', old), SEED)
  assert.equal(await open(willing, '1', old), SEED)
  const bound = await wrap(after, '1')
  assert.is(codeOf(await unwrap(after, '1', bound, OTHER_DIGEST)), 'ciphertext_invalid')
  assert.is(codeOf(await unwrap(after, '1', Buffer.alloc(60, 7))), 'ciphertext_invalid')
  assert.ok(one.events.notices().includes('opened_unbound'))
})

test('a wrap that is bound inside opens under no label of another form, with allowUnboundDecrypt neither', async () => {
  await using one = await setup()
  const provider = one.node()
  await notice(provider)
  const inside = await wrap(provider, '1.inside')
  assert.is(codeOf(await unwrap(provider, '1', inside)), 'unbound')
  one.proxy.deaf = false
  const bound = await wrap(one.node(), '1')

  assert.is(codeOf(await unwrap(one.node(), '1', inside)), 'ciphertext_invalid')
  assert.is(codeOf(await unwrap(one.node(), '1.inside', bound)), 'ciphertext_invalid')
  for (const label of ['1.outside', '', '.inside', '1.inside.inside', '-1', '1e3']) {
    assert.is(codeOf(await unwrap(provider, label, bound)), 'key_unavailable', label)
  }
})

test.run()

providerContract('vault on a service that ignores associated data', async () => {
  const one = await setup()
  const provider = one.node()
  await notice(provider)
  return {
    provider,
    secrets: [one.bao.rootToken],
    rotate: () => one.bao.rotate(one.transit),
    [Symbol.asyncDispose]: () => one[Symbol.asyncDispose](),
  }
})

const last = suite('services/vault/binding, at its end', () => ({}))

last('what the tests shared ends', endSharedOpenBao)

last.run()

/** As a first look does. */
async function notice(provider: Provider): Promise<void> {
  await onceMoreIfUnbound(async () => wrap(provider, (await labels(provider)).at(-1) ?? ''))
}

async function labels(provider: Provider): Promise<string[]> {
  return (await provider.keyState(call)).versions.map(({ label }) => label)
}

async function wrap(provider: Provider, label: string): Promise<Uint8Array> {
  const [outcome] = await provider.wrap(label, [{ plaintext: SEED, associatedData: DIGEST }], call)
  if (outcome?.ok === true) return outcome.value
  throw outcome?.error
}

async function unwrap(
  provider: Provider,
  version: string,
  bytes: Uint8Array,
  associatedData: Uint8Array = DIGEST,
): Promise<Outcome<Uint8Array> | undefined> {
  return (await provider.unwrap([{ version, bytes, associatedData }], call))[0]
}

async function open(provider: Provider, version: string, bytes: Uint8Array): Promise<Buffer> {
  const outcome = await unwrap(provider, version, bytes)
  if (outcome?.ok === true) return Buffer.from(outcome.value)
  throw outcome?.error
}

function codeOf(outcome: Outcome<Uint8Array> | undefined): string | undefined {
  return outcome?.ok === false ? outcome.error.code : 'ok'
}

const encrypted = v.object({ data: v.object({ ciphertext: v.string() }) })

/** As a version of the plugin before this one had it made on such a server. */
async function unboundWrap(bao: OpenBao, { mount, key }: Transit): Promise<Uint8Array> {
  const body = { plaintext: SEED.toString('base64') }
  const reply = v.parse(encrypted, await bao.request('POST', `${mount}/encrypt/${key}`, body))
  return Buffer.from(reply.data.ciphertext.slice('vault:v1:'.length), 'base64')
}
