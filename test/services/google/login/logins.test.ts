/** Every login to Google end to end: on a strict fake, with tokens that expire on a virtual clock. */

import * as assert from 'uvu/assert'
import { startPlainProxy } from '../../../_lib/remote/plain_proxy.ts'
import {
  LOGINS,
  loginNamed,
  loginSetup,
  MINUTE_MS,
  messageOf,
} from '../../../_lib/services/google/logins.ts'
import { suite } from '../../../_lib/uvu.ts'
import { until } from '../../../_lib/wait.ts'

const test = suite('services/google/login/logins', () => ({}))

for (const login of LOGINS) {
  test(`${login.name}: one login for all, and replaced ahead of its end`, async () => {
    await using one = await loginSetup(login)

    const outcomes = await Promise.all(Array.from({ length: 20 }, one.wrap))
    await one.clock.advance(46 * MINUTE_MS)
    await one.told('ok', 2)
    // Past the end of the first token: that nothing was denied shows in the number of logins.
    await one.clock.advance(20 * MINUTE_MS)
    const late = await one.wrap()

    assert.ok([...outcomes.flat(), ...late].every(({ ok }) => ok))
    assert.equal(one.codes(), ['ok', 'ok'])
  })

  test(`${login.name}: a failing refresh keeps the token until its end, and then says why`, async () => {
    await using one = await loginSetup(login)
    await one.wrap()
    await login.spoil(one)

    await one.clock.advance(50 * MINUTE_MS)
    await until('a refresh failed', () => one.codes().some((code) => code !== 'ok'))
    const [kept] = await one.wrap()
    await one.clock.advance(15 * MINUTE_MS)
    const [ended] = await one.wrap()

    assert.is(messageOf(kept), '')
    assert.is(kept?.ok, true)
    assert.is(ended?.ok, false)
    assert.match(messageOf(ended), login.complaint)
  })

  test(`${login.name}: dead tokens make one shared login, and no request fails`, async () => {
    await using one = await loginSetup(login)
    await one.wrap()
    one.google.accounts.revoke()

    const outcomes = await Promise.all(Array.from({ length: 20 }, one.wrap))

    assert.ok(outcomes.flat().every(({ ok }) => ok))
    assert.ok(one.codes().length <= 2, 'logins')
  })
}

test('no metadata server is asked where the config does not ask for one', async () => {
  for (const login of LOGINS.filter(({ name }) => !name.startsWith('metadata'))) {
    await using one = await loginSetup(login)

    await one.wrap()

    assert.is(one.google.count(/^\/computeMetadata\//), 0)
  }
})

test('neither the metadata server nor what is near is asked through the proxy, and everything else is', async () => {
  await using proxy = await startPlainProxy()
  for (const [name, direct] of [
    ['metadata server', /^\/computeMetadata\//],
    ['federation from a URL', /^\/subject$/],
  ] as const) {
    const login = loginNamed(name)
    await using one = await loginSetup(login, { proxy: { url: proxy.url } })

    const [outcome] = await one.wrap()

    assert.is(messageOf(outcome), '')
    assert.is(one.google.count(direct), 1)
    for (const { path, port } of one.google.requests) {
      assert.is(proxy.ports.has(port), !direct.test(path), path)
    }
  }
})

test('a URL with subject tokens gets the headers of the file, and its query is in no error', async () => {
  const login = loginNamed('federation from a URL')
  await using one = await loginSetup(login)
  await one.wrap()
  const asked = one.google.requests.find(({ path }) => path === '/subject')

  await one.google[Symbol.asyncDispose]()
  one.google.accounts.revoke()
  await one.clock.advance(61 * MINUTE_MS)
  const [outcome] = await one.wrap()

  assert.is(asked?.headers['x-identity'], 'yes')
  assert.is(asked?.query.get('secret'), 'planted')
  assert.match(messageOf(outcome), 'got no answer')
})

test.run()
