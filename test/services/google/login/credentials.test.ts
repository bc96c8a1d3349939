/** Credentials for Google that change, are wrong, or are not to be trusted. */

import { Buffer } from 'node:buffer'
import { writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import {
  fromFile,
  KEYED,
  keyAuth,
  loginNamed,
  loginSetup,
  messageOf,
} from '../../../_lib/services/google/logins.ts'
import { googleSetup } from '../../../_lib/services/google/setup.ts'
import { suite } from '../../../_lib/uvu.ts'

const test = suite('services/google/login/credentials', () => ({}))

test('a key file that is replaced is followed by the health loop, before its old key is deleted', async () => {
  await using one = await loginSetup({ set: keyAuth })
  await one.wrap()
  const kid = () => {
    const token = one.google.requests.at(-1)?.headers.authorization?.replace('Bearer ', '') ?? ''
    return Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()
  }
  const before = kid()

  await writeFile(one.folder.at('key.json'), JSON.stringify(one.google.accounts.makeKey(KEYED)))
  await one.limited((call) => one.provider.keyState(call))
  await one.told('ok', 2)
  await one.wrap()

  assert.is.not(kid(), before)
  assert.equal(one.codes(), ['ok', 'ok'])
})

test('a key file that is half written changes nothing', async () => {
  await using one = await loginSetup({ set: keyAuth })
  await one.wrap()

  await writeFile(one.folder.at('key.json'), '{"type": "service_acc')
  await one.limited((call) => one.provider.keyState(call))

  assert.equal(one.codes(), ['ok'])
})

test('a key that is deleted is denied, and a new file helps at once', async () => {
  await using one = await loginSetup({ set: keyAuth })
  await one.wrap()
  one.google.accounts.deleteKeys()
  const [denied] = await one.wrap()

  await writeFile(one.folder.at('key.json'), JSON.stringify(one.google.accounts.makeKey(KEYED)))
  const [outcome] = await one.wrap()

  assert.match(messageOf(denied), 'is the account or its key disabled or deleted?')
  assert.is(outcome?.ok, true)
})

for (const [aheadMs, said] of [
  // A Date header has whole seconds.
  [600_000, '60[01] s ahead of'],
  [-4_000_000, '(?:3999|4000) s behind'],
] as const) {
  test(`a clock that is off by ${aheadMs} ms is told, and JWTs are signed with the time of Google, within one request`, async () => {
    await using one = await googleSetup({
      aheadMs,
      configure: async (google, folder) => ({ auth: await keyAuth(google, folder) }),
    })

    const { versions } = await one.limited((call) => one.provider.keyState(call))

    assert.is(versions.length, 1)
    const notices = one.events.noticesOf('clock_skew')
    assert.is(notices.length, 1)
    assert.match(notices[0]?.message ?? '', new RegExp(`Clock of this node is ${said}`))
  })
}

for (const body of [
  '{"access_token":"planted\\r\\nheader: x","expires_in":3600}',
  '{"access_token":"planted","expires_in":1e999}',
]) {
  test(`a token answer ${body} is protocol`, async () => {
    await using one = await loginSetup(loginNamed('metadata server'))
    const headers = { 'metadata-flavor': 'Google' }
    one.google.fail(/^\/computeMetadata\//, { status: 200, body, headers })

    const [outcome] = await one.wrap()

    assert.match(messageOf(outcome), /answered an unexpected body at (?:access_token|expires_in)$/)
  })
}

test('something else at the address of the metadata server gets no trust', async () => {
  await using one = await loginSetup(loginNamed('metadata server'))
  one.google.logins.flavor = 'Microsoft'

  const [outcome] = await one.wrap()

  assert.match(messageOf(outcome), "Something other than Google's metadata server")
})

const FILE_FAULTS: readonly (readonly [what: string, change: object, complaint: RegExp])[] = [
  [
    'that sends tokens elsewhere',
    { token_url: 'https://sts.example.org/v1/token' },
    /wrong at token_url/,
  ],
  [
    'that sends tokens to a look-alike',
    { token_url: 'https://sts.googleapis.com.example.org/v1/token' },
    /wrong at token_url/,
  ],
  ['of another type', { type: 'authorized_user', client_secret: 'planted' }, /wrong at type/],
  [
    'that runs a program',
    { credential_source: { executable: { command: 'planted' } } },
    /wrong at credential_source.*a file or a URL/,
  ],
  [
    'that asks somebody far away in the clear',
    { credential_source: { url: 'http://example.org/planted' } },
    /wrong at credential_source/,
  ],
  [
    'whose look-alike of localhost is asked in the clear',
    { credential_source: { url: 'http://localhost.example.org/planted' } },
    /wrong at credential_source/,
  ],
]

for (const [what, change, complaint] of FILE_FAULTS) {
  test(`a credential configuration ${what} is refused`, async () => {
    await using one = await loginSetup({
      set: (google, folder) => fromFile(google, folder, change),
    })

    const [outcome] = await one.wrap()

    assert.match(messageOf(outcome), complaint)
    assert.is(one.google.requests.length, 0)
  })
}

for (const [what, text, complaint] of [
  ['is not JSON', 'planted', /is not JSON/],
  ['lacks its key', '{"type":"service_account","client_email":"planted"}', /private_key/],
  ['is of a user', '{"type":"authorized_user","refresh_token":"planted"}', /wrong at type/],
] as const) {
  test(`a key file that ${what} is refused`, async () => {
    await using one = await loginSetup({
      async set(google, folder) {
        const auth = await keyAuth(google, folder)
        await writeFile(folder.at('key.json'), text)
        return auth
      },
    })

    const [outcome] = await one.wrap()

    assert.match(messageOf(outcome), complaint)
  })
}

test('a key of another kind than RSA is refused', async () => {
  await using one = await loginSetup({
    async set(google, folder) {
      const auth = await keyAuth(google, folder)
      const key = google.accounts.makeKey(KEYED, 'ec')
      await writeFile(folder.at('key.json'), JSON.stringify(key))
      return auth
    },
  })

  const [outcome] = await one.wrap()

  assert.match(messageOf(outcome), 'holds no RSA key')
})

test.run()
