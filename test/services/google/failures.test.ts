/** How Cloud KMS can refuse or fail, on a strict fake. @module */

import * as assert from 'uvu/assert'
import {
  errorInfo,
  failure,
  html,
  preconditionFailure,
  type Reply,
} from '../../_lib/services/google/fake/reply.ts'
import { KEY, type Permission } from '../../_lib/services/google/fake.ts'
import { googleSetup } from '../../_lib/services/google/setup.ts'
import {
  changed,
  errorIn,
  harmless,
  ITEM,
  stateError,
  unwrapOne,
  valueIn,
  wrapOne,
} from '../../_lib/services/google/use.ts'
import { rejection, suite } from '../../_lib/uvu.ts'

const ENCRYPT = /:encrypt$/
const DECRYPT = /:decrypt$/
const SHORT_MS = 1_500

const test = suite('services/google/failures', () => ({}))

const CHECKSUM_FAULTS: readonly (readonly [
  what: string,
  path: RegExp,
  change: (body: Record<string, unknown>) => object,
])[] = [
  [
    'a ciphertext that changed on its way',
    ENCRYPT,
    ({ ciphertext }) => ({ ciphertext: `AAAA${ciphertext}` }),
  ],
  ['a missing checksum of the ciphertext', ENCRYPT, () => ({ ciphertextCrc32c: undefined })],
  ['an unverified plaintext', ENCRYPT, () => ({ verifiedPlaintextCrc32c: undefined })],
  [
    'unverified associated data',
    ENCRYPT,
    () => ({ verifiedAdditionalAuthenticatedDataCrc32c: false }),
  ],
  ['a plaintext that changed on its way', DECRYPT, () => ({ plaintext: 'AAAA' })],
  ['a wrong checksum of the plaintext', DECRYPT, () => ({ plaintextCrc32c: '1' })],
]

for (const [what, path, change] of CHECKSUM_FAULTS) {
  test(`${what} is asked for again, and is a protocol error when it stays`, async () => {
    await using one = await googleSetup({ limitMs: SHORT_MS })
    const wrap = valueIn(await wrapOne(one))
    const ask = () => (path === ENCRYPT ? wrapOne(one) : unwrapOne(one, wrap))

    one.google.tamper(path, changed(change), 1)
    assert.ok((await ask()).ok)
    one.google.tamper(path, changed(change))
    const error = errorIn(await ask())

    assert.is(error.code, 'protocol')
    assert.match(error.message, 'something on the way changes them')
  })
}

test('bytes that Google finds changed are sent again, and are no bad ciphertext', async () => {
  await using one = await googleSetup({ limitMs: SHORT_MS })
  const wrap = valueIn(await wrapOne(one))
  const words =
    'The checksum in field ciphertext_crc32c did not match the data in field ciphertext.'
  one.google.fail(DECRYPT, failure(400, 'INVALID_ARGUMENT', words), 1)

  assert.ok((await unwrapOne(one, wrap)).ok)
  one.google.fail(DECRYPT, failure(400, 'INVALID_ARGUMENT', words))
  assert.is(errorIn(await unwrapOne(one, wrap)).code, 'protocol')
})

test('an answer of another version is a protocol error', async () => {
  await using one = await googleSetup()
  one.google.tamper(
    ENCRYPT,
    changed(() => ({ name: `${KEY}/cryptoKeyVersions/7` })),
  )

  assert.is(errorIn(await wrapOne(one)).code, 'protocol')
})

for (const [permission, role, act] of [
  ['cloudkms.cryptoKeyVersions.useToEncrypt', 'roles/cloudkms.cryptoKeyEncrypterDecrypter', 'wrap'],
  [
    'cloudkms.cryptoKeyVersions.useToDecrypt',
    'roles/cloudkms.cryptoKeyEncrypterDecrypter',
    'unwrap',
  ],
  ['cloudkms.cryptoKeys.get', 'roles/cloudkms.viewer', 'state'],
  ['cloudkms.cryptoKeyVersions.list', 'roles/cloudkms.viewer', 'state'],
] as const satisfies readonly (readonly [Permission, string, string])[]) {
  test(`without ${permission} it is denied after one fresh login, and the error names it`, async () => {
    await using one = await googleSetup()
    const wrap = valueIn(await wrapOne(one))
    for (const [account, permissions] of one.google.policy) {
      one.google.allow(
        account,
        [...permissions].filter((each) => each !== permission),
      )
    }

    const error =
      act === 'state'
        ? await stateError(one)
        : errorIn(await (act === 'wrap' ? wrapOne(one) : unwrapOne(one, wrap)))

    assert.is(error.code, 'denied')
    assert.match(error.message, `permission ${permission} on the key is missing (${role})`)
    assert.is(one.google.count(/^\/computeMetadata\//), 2)
  })
}

const REASONS: readonly (readonly [reply: Reply, code: string, message: RegExp])[] = [
  [
    failure(403, 'PERMISSION_DENIED', 'not enabled', [errorInfo('SERVICE_DISABLED')]),
    'key_unavailable',
    /gcloud services enable cloudkms\.googleapis\.com --project acme-prod/,
  ],
  [
    failure(403, 'PERMISSION_DENIED', 'billing', [errorInfo('BILLING_DISABLED')]),
    'key_unavailable',
    /Billing is off for project acme-prod/,
  ],
  [
    failure(403, 'PERMISSION_DENIED', 'scopes', [errorInfo('ACCESS_TOKEN_SCOPE_INSUFFICIENT')]),
    'denied',
    /scope cloud-platform/,
  ],
  [
    failure(403, 'PERMISSION_DENIED', 'organisation', [
      preconditionFailure('VPC_SERVICE_CONTROLS', 'x'),
    ]),
    'denied',
    /VPC Service Controls/,
  ],
  [failure(404, 'NOT_FOUND', 'no key'), 'key_unknown', /serves location europe-west1/],
  [html(404), 'unavailable', /not in Google's words/],
  [html(403), 'unavailable', /is there a proxy in between/],
  [{ status: 200, body: 'hello' }, 'unavailable', /something other than JSON/],
]

for (const [reply, code, message] of REASONS) {
  test(`keyState() answered with ${reply.status} (${message.source}) is ${code}`, async () => {
    await using one = await googleSetup()
    one.google.fail(/\/cryptoKeys\/etcd/, reply)

    const error = await stateError(one)

    assert.is(error.code, code)
    assert.match(error.message, message)
  })
}

test('a key in another location than the endpoint serves is unknown, and the error names the location', async () => {
  await using one = await googleSetup()
  one.google.location = 'us-east1'

  const error = await stateError(one)

  assert.is(error.code, 'key_unknown')
  assert.match(error.message, 'the endpoint serves location europe-west1')
})

test('a key of another purpose is refused', async () => {
  await using one = await googleSetup()
  one.google.key.purpose = 'ASYMMETRIC_DECRYPT'

  const error = await stateError(one)

  assert.is(error.code, 'key_unavailable')
  assert.match(error.message, '--purpose encryption')
})

for (const [status, state, code] of [
  [429, 'RESOURCE_EXHAUSTED', 'throttled'],
  [503, 'UNAVAILABLE', 'unavailable'],
  [500, 'INTERNAL', 'unavailable'],
] as const) {
  test(`${state} is tried again inside the deadline, and is ${code} when it stays`, async () => {
    await using one = await googleSetup({ limitMs: SHORT_MS })
    one.google.fail(ENCRYPT, failure(status, state, 'later'), 2)

    assert.ok((await wrapOne(one)).ok)
    one.google.fail(ENCRYPT, failure(status, state, 'later'))
    const error = errorIn(await wrapOne(one))

    assert.is(error.code, code)
  })
}

test('a request without an answer ends at its deadline', async () => {
  await using one = await googleSetup({ limitMs: SHORT_MS })
  await wrapOne(one)
  one.google.hang(ENCRYPT)

  const error = harmless(await rejection(wrapOne(one)))

  assert.is(error.code, 'timeout')
})

test('nobody listening is unavailable, and a bad item fails alone', async () => {
  await using one = await googleSetup()
  const wrap = valueIn(await wrapOne(one))
  one.google.fail(ENCRYPT, failure(400, 'INVALID_ARGUMENT', 'bad'), 1)
  const outcomes = await one.limited((call) => one.provider.wrap('1', [ITEM, ITEM, ITEM], call))
  assert.is(outcomes.filter(({ ok }) => ok).length, 2)

  await one.google[Symbol.asyncDispose]()

  assert.is(errorIn(await unwrapOne(one, wrap)).code, 'unavailable')
})

test.run()
