/** Logins with JWTs that this node signs, by a clock that is wrong, at a real OpenBao. @module */

import { Buffer } from 'node:buffer'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { withinLimit } from '../../../../src/base/call.ts'
import { systemClock } from '../../../../src/base/clock.ts'
import type { KmsError } from '../../../../src/base/errors.ts'
import { vaultConfig } from '../../../../src/services/vault/config.ts'
import { createVaultProvider } from '../../../../src/services/vault/provider.ts'
import { RecordedEvents } from '../../../_lib/events.ts'
import { type Lie, startLyingProxy } from '../../../_lib/remote/lying_proxy.ts'
import { LOGIN_SCENES } from '../../../_lib/services/vault/login_setup.ts'
import { startOpenBao } from '../../../_lib/services/vault/openbao.ts'
import { tempFolder } from '../../../_lib/temp_folder.ts'
import { rejection, suite } from '../../../_lib/uvu.ts'

const LIMIT_MS = 5_000
const HOUR_MS = 3_600_000
const SECONDS = '3(?:599|60[01])'
const ITEM = { plaintext: Buffer.from('plaintext'), associatedData: Buffer.alloc(32) }

const test = suite('services/vault/login/clock on OpenBao', () => ({}))

for (const aheadMs of [100_000, -100_000]) {
  test(`a clock that is ${aheadMs / 1_000} s ahead logs in at once`, async () => {
    await using one = await setup(aheadMs)

    assert.is((await one.wrap())[0]?.ok, true)
    assert.is(one.logins(), 1)
  })
}

for (const [aheadMs, said] of [
  [HOUR_MS, 'ahead of'],
  [-HOUR_MS, 'behind'],
] as const) {
  test(`a clock that is ${aheadMs / 1_000} s ahead logs in with the time of the service, within one request, and says so once`, async () => {
    await using one = await setup(aheadMs)

    assert.is((await one.wrap())[0]?.ok, true)
    await one.revoke()
    assert.is((await one.wrap())[0]?.ok, true)

    assert.is(one.logins(), 3, 'one refused, and one for each token')
    const notices = one.events.noticesOf('clock_skew')
    assert.is(notices.length, 1)
    // The service tells whole seconds.
    const words = new RegExp(`Clock of this node is ${SECONDS} s ${said} that of the key service`)
    assert.match(notices[0]?.message ?? '', words)
  })
}

test('a clock that is set while the time of the service is in use is believed again', async () => {
  await using one = await setup(HOUR_MS)
  assert.is((await one.wrap())[0]?.ok, true)

  one.aheadMs = 0
  await one.revoke()
  assert.is((await one.wrap())[0]?.ok, true)
  one.aheadMs = -HOUR_MS
  await one.revoke()
  assert.is((await one.wrap())[0]?.ok, true)

  assert.is(one.logins(), 4, 'one refused, and one for each token')
})

test('credentials that are refused for another reason say how far the clock is off', async () => {
  await using one = await setup(HOUR_MS)
  await one.spoil()

  const error = (await rejection(one.wrap())) as KmsError

  assert.is(error.code, 'denied')
  const words = `was refused \\(400\\).*; the clock of this node is ${SECONDS} s ahead of`
  assert.match(error.message, new RegExp(words))
})

test('without the time of the service a refused key is tried again as soon as the clock is set', async () => {
  await using one = await setup(HOUR_MS)
  one.lie = ({ headers: { date: _, ...headers } = {}, ...told }) => ({ ...told, headers })
  for (const _ of [1, 2, 3]) {
    const error = (await rejection(one.wrap())) as KmsError
    assert.is(error.code, 'denied')
  }
  assert.is(one.logins(), 1)

  one.aheadMs = 0

  assert.is((await one.wrap())[0]?.ok, true)
  assert.is(one.logins(), 2)
})

async function setup(aheadMs: number) {
  const folder = await tempFolder()
  const bao = await startOpenBao()
  const transit = await bao.setupTransit({ folder: folder.path })
  const scene = await LOGIN_SCENES['jwt, self-signed with ES256']?.({ bao, transit, folder })
  const liar = await startLyingProxy(() => bao.address)
  const events = new RecordedEvents()
  const fields = { name: 'v', type: 'vault', allowInsecureHttp: true, ...transit.provider }
  let logins = 0
  const one = {
    events,
    aheadMs,
    lie: ((told) => told) as Lie,
    logins: () => logins,
    spoil: async () => await scene?.spoil(),
    revoke: async () => await scene?.revoke(),
    wrap: () => withinLimit(clock, LIMIT_MS, (call) => provider.wrap('1', [ITEM], call)),
    async [Symbol.asyncDispose]() {
      await provider.close()
      await liar[Symbol.asyncDispose]()
      await bao[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
  liar.lie = (told, asked) => {
    if (asked.path.endsWith('/login')) logins += 1
    return one.lie(told, asked)
  }
  const clock = { ...systemClock, now: () => systemClock.now() + one.aheadMs }
  const provider = createVaultProvider(
    v.parse(vaultConfig, { ...fields, auth: scene?.auth, address: liar.address }),
    { clock, events, requestTimeoutMs: LIMIT_MS },
  )
  return one
}

test.run()
