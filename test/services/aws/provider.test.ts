import { Buffer } from 'node:buffer'
import { writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import type { KmsError } from '../../../src/base/errors.ts'
import { encrypt, rotate } from '../../_lib/services/aws/fake/keys.ts'
import { FakeAws } from '../../_lib/services/aws/fake.ts'
import {
  awsSetup,
  callOn,
  DIGEST,
  unwrapOne,
  valueIn,
  wrapOne,
} from '../../_lib/services/aws/setup.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { rejection, suite } from '../../_lib/uvu.ts'
import { until } from '../../_lib/wait.ts'

const test = suite('services/aws/provider', () => ({}))

test('keyState() shows the key as its only version, and the material that encrypts', async () => {
  await using one = await awsSetup()
  const { provider, key, clock } = one
  const before = await provider.keyState(callOn(clock))
  rotate(key)

  const after = await provider.keyState(callOn(clock))

  const versions = [{ label: key.id, createdAt: 1_700_000_000, mayEncrypt: true, mayDecrypt: true }]
  assert.equal([before.versions, after.versions], [versions, versions])
  assert.equal([before.material, after.material], [key.materials[0]?.id, key.materials[1]?.id])
  assert.is(after.selectable, false)
  assert.is(after.serviceTime, Math.floor(clock.now() / 1000) * 1000)
})

test('a wrap of a seed under a context of one pair stays below 220 bytes', async () => {
  await using one = await awsSetup({ config: { encryptionContext: { cluster: 'prod' } } })

  const bytes = await wrapOne(one, 'x'.repeat(32))

  assert.ok(bytes.length < 220, `${bytes.length} bytes`)
})

test("the operator's context is stored with the wrap: a later change of the config does not matter", async () => {
  await using one = await awsSetup({
    config: { encryptionContext: { cluster: 'prod', a: 'b' } },
  })
  const bytes = await wrapOne(one, 'seed')

  const opened = await unwrapOne(
    { ...one, provider: one.another({ encryptionContext: {} }) },
    bytes,
  )

  assert.is(opened, 'seed')
  const { EncryptionContext } = JSON.parse(one.fake.seen.at(-1)?.body ?? '')
  assert.equal(EncryptionContext, {
    cluster: 'prod',
    a: 'b',
    'trousseau-envelope': DIGEST.toString('base64'),
  })
})

test('Decrypt always names the ARN of the key', async () => {
  await using one = await awsSetup({ config: { key: 'alias/k8s' } })

  await unwrapOne(one, await wrapOne(one, 'seed'))

  const asked = one.fake.seen.filter(({ action }) => action !== 'DescribeKey')
  assert.equal(
    asked.map(({ action, body }) => [action, JSON.parse(body).KeyId]),
    [
      ['Encrypt', one.key.arn],
      ['Decrypt', one.key.arn],
    ],
  )
})

test("what aws-encryption-provider wrote opens under the config's context alone", async () => {
  await using one = await awsSetup({ config: { encryptionContext: { cluster: 'prod' } } })
  const foreign = encrypt(one.key, Buffer.from('theirs'), { cluster: 'prod' })
  const item = { version: '', bytes: foreign, associatedData: undefined }

  const [opened] = await one.provider.unwrap([item], callOn(one.clock))

  assert.is(Buffer.from(valueIn(opened)).toString(), 'theirs')
})

test('own wraps do not pass for foreign ones, nor foreign for own', async () => {
  await using one = await awsSetup()
  const own = await wrapOne(one, 'own')
  const foreign = encrypt(one.key, Buffer.from('theirs'), {})
  const items = [
    { version: one.key.id, bytes: own.subarray(2, -4), associatedData: undefined },
    { version: one.key.id, bytes: foreign, associatedData: DIGEST },
  ]

  const outcomes = await one.provider.unwrap(items, callOn(one.clock))

  const codes = outcomes.map((outcome) => (outcome.ok ? 'ok' : outcome.error.code))
  assert.equal(codes, ['ciphertext_invalid', 'ciphertext_invalid'])
})

test('an alias that moves while the plugin runs is reported once, and the key stays', async () => {
  await using one = await awsSetup({ config: { key: 'alias/k8s' } })
  const before = await one.provider.keyState(callOn(one.clock))
  const next = one.fake.keys.make({ createdAt: 1_750_000_000 })
  one.fake.keys.aliases.set('k8s', next.id)

  const after = await one.provider.keyState(callOn(one.clock))
  await one.provider.keyState(callOn(one.clock))

  assert.equal(after.versions, before.versions)
  assert.is(await unwrapOne(one, await wrapOne(one, 'seed')), 'seed')
  const told = one.events.noticesOf('alias_moved')
  assert.is(told.length, 1)
  assert.is(told[0]?.level, 'error')
  assert.match(told[0]?.message ?? '', next.arn)
})

test('after a restart a moved alias is followed, and what the old key wrapped still opens', async () => {
  await using one = await awsSetup({ config: { key: 'alias/k8s' } })
  const old = await wrapOne(one, 'old')
  const next = one.fake.keys.make({ createdAt: 1_600_000_000 })
  one.fake.keys.aliases.set('k8s', next.id)
  const provider = one.another()

  const { versions } = await provider.keyState(callOn(one.clock))
  const opened = await unwrapOne({ ...one, provider }, old)
  const [refused] = await provider.wrap(
    one.key.id,
    [{ plaintext: Buffer.from('x'), associatedData: DIGEST }],
    callOn(one.clock),
  )

  assert.is(versions[0]?.label, next.id)
  assert.is(opened, 'old')
  assert.is(refused?.ok === false && refused.error.code, 'key_unavailable')
})

test('a replica in another region opens what the first one wrapped, under the same id', async () => {
  await using one = await awsSetup({ multiRegion: true })
  await using other = await FakeAws.start({ region: 'us-east-1' })
  const replica = other.keys.make({ multiRegion: true, like: one.key, createdAt: 1_760_000_000 })
  other.principals.all.set(one.user.accessKeyId, one.user)
  other.now = () => one.clock.now()
  const bytes = await wrapOne(one, 'seed')

  const moved = one.another({ key: replica.arn, region: 'us-east-1', endpoint: other.address })

  assert.is(await unwrapOne({ ...one, provider: moved }, bytes), 'seed')
  assert.is(moved.id, one.provider.id)
  const [here, there] = [one.provider, moved].map((each) => each.keyState(callOn(one.clock)))
  assert.equal((await here)?.versions, (await there)?.versions)
})

for (const [state, code, word] of [
  ['Disabled', 'key_unavailable', 'enable-key'],
  ['PendingDeletion', 'key_unavailable', '2030-03-17'],
  ['PendingReplicaDeletion', 'key_unavailable', 'cancel-key-deletion'],
  ['PendingImport', 'key_unavailable', 'import it again'],
  ['Unavailable', 'unavailable', 'connect-custom-key-store'],
  ['Creating', 'unavailable', 'still being made'],
] as const) {
  test(`keyState() of a key that is ${state} is ${code} and says what to do`, async () => {
    await using one = await awsSetup()
    one.key.state = state

    const error = (await rejection(one.provider.keyState(callOn(one.clock)))) as KmsError

    assert.is(error.code, code)
    assert.match(error.message, word)
    assert.match(error.message, one.key.arn)
  })
}

test('keyState() refuses a key that is not symmetric, and lets one that is updated through', async () => {
  await using one = await awsSetup()
  one.key.state = 'Updating'
  await one.provider.keyState(callOn(one.clock))
  one.key.spec = 'RSA_4096'

  const error = (await rejection(one.provider.keyState(callOn(one.clock)))) as KmsError

  assert.is(error.code, 'key_unavailable')
  assert.match(error.message, 'SYMMETRIC_DEFAULT')
})

for (const [type, code, word] of [
  ['AccessDeniedException', 'denied', 'kms:Encrypt on arn:'],
  ['DisabledException', 'key_unavailable', 'enable-key'],
  ['KMSInvalidStateException', 'key_unavailable', 'describe-key'],
  ['NotFoundException', 'key_unavailable', 'in region eu-central-1'],
  ['InvalidKeyUsageException', 'key_unavailable', 'SYMMETRIC_DEFAULT'],
  ['IncorrectKeyException', 'ciphertext_invalid', 'is not of KMS key'],
  ['InvalidCiphertextException', 'ciphertext_invalid', 'encryption context'],
  ['InvalidGrantTokenException', 'denied', 'grantTokenFile'],
  ['UnrecognizedClientException', 'denied', 'does not know these credentials'],
  ['InvalidSignatureException', 'denied', 'another region than eu-central-1'],
  ['SomethingNewException', 'protocol', 'SomethingNewException'],
] as const) {
  test(`${type} with status 400 is ${code}`, async () => {
    await using one = await awsSetup()
    const message = 'planted words of the service'
    one.fake.fail({ service: 'kms', action: 'Encrypt', status: 400, type, message })

    const error = (await rejection(wrapOne(one, 'seed'))) as KmsError

    assert.is(error.code, code)
    assert.match(error.message, word)
    assert.not.match(error.message, 'planted')
  })
}

for (const [type, status, code] of [
  ['ThrottlingException', 400, 'throttled'],
  ['KMSInternalException', 500, 'unavailable'],
  ['KeyUnavailableException', 500, 'unavailable'],
  ['DependencyTimeoutException', 503, 'unavailable'],
  ['InternalFailure', 500, 'unavailable'],
] as const) {
  test(`${type} is tried again inside the deadline, and then ${code}`, async () => {
    await using one = await awsSetup()
    one.fake.fail({ service: 'kms', action: 'Encrypt', status, type, times: 2 })
    const bytes = await advancing(one, wrapOne(one, 'seed'))
    const tries = one.fake.actions('kms').length
    one.fake.fail({ service: 'kms', action: 'Encrypt', status, type })

    const error = (await advancing(one, rejection(wrapOne(one, 'seed')))) as KmsError

    assert.is(await unwrapOne(one, bytes), 'seed')
    assert.is(tries, 3)
    assert.is(error.code, code)
  })
}

test('a request that would come after the deadline is not tried again', async () => {
  await using one = await awsSetup()
  one.fake.fail({ service: 'kms', status: 400, type: 'ThrottlingException' })
  const item = { plaintext: Buffer.from('x'), associatedData: DIGEST }

  const [outcome] = await one.provider.wrap(one.key.id, [item], callOn(one.clock, 60))

  assert.is(outcome?.ok === false && outcome.error.code, 'throttled')
  assert.is(one.fake.seen.length, 1)
})

test('a connection that breaks is made anew', async () => {
  await using one = await awsSetup()
  one.fake.fail({ service: 'kms', status: 0, cut: true, times: 3 })

  const bytes = await advancing(one, wrapOne(one, 'seed'))

  assert.is(await unwrapOne(one, bytes), 'seed')
})

test('at most eight requests are under way, whoever asks', async () => {
  await using one = await awsSetup()
  const gate = Promise.withResolvers<void>()
  one.fake.gate = gate.promise
  const items = Array.from({ length: 40 }, (_, at) => ({
    plaintext: Buffer.from(`item ${at}`),
    associatedData: DIGEST,
  }))
  const all = Promise.all(
    items.map((item) => one.provider.wrap(one.key.id, [item], callOn(one.clock))),
  )
  await until('eight requests wait at the gate', () => one.fake.mostUnderWay === 8)

  gate.resolve()
  const outcomes = await all

  assert.is(one.fake.mostUnderWay, 8)
  assert.ok(outcomes.every(([outcome]) => outcome?.ok === true))
})

test('credentials that KMS no longer knows are read again once, and the request goes on', async () => {
  await using folder = await tempFolder()
  const file = folder.at('credentials')
  const credentials = { source: 'profile', credentialsFile: file, configFile: folder.at('none') }
  await using one = await awsSetup({ config: { credentials } })
  const write = ({
    accessKeyId,
    secretAccessKey,
  }: {
    accessKeyId: string
    secretAccessKey: string
  }) =>
    writeFile(
      file,
      `[default]\naws_access_key_id=${accessKeyId}\naws_secret_access_key=${secretAccessKey}\n`,
    )
  await write(one.user)
  await one.provider.keyState(callOn(one.clock))
  one.fake.principals.all.delete(one.user.accessKeyId)
  await write(one.fake.principals.user())
  await one.clock.advance(10_000)

  const bytes = await Promise.all(['a', 'b', 'c'].map((text) => wrapOne(one, text)))

  assert.is(bytes.length, 3)
  assert.equal(
    one.events.of('token').map(({ action, code }) => [action, code]),
    [
      ['login', 'ok'],
      ['renew', 'ok'],
    ],
  )
})

test('a clock that is wrong is put right by the time of AWS, once', async () => {
  await using one = await awsSetup()
  one.fake.now = () => one.clock.now() + 3_600_000
  const before = one.fake.seen.length

  const opened = await unwrapOne(one, await wrapOne(one, 'seed'))

  assert.is(opened, 'seed')
  assert.is(one.fake.seen.length - before, 3)
  const [told, ...more] = one.events.noticesOf('clock_skew')
  assert.match(told?.message ?? '', '3600 s behind that of AWS')
  assert.is(more.length, 0)
})

test('an endpoint of another region is denied with a hint, an ARN of another region refused', async () => {
  await using one = await awsSetup({ config: { key: 'alias/k8s', region: 'us-west-2' } })

  const error = (await rejection(one.provider.keyState(callOn(one.clock)))) as KmsError

  assert.is(error.code, 'denied')
  assert.match(error.message, 'another region than us-west-2')
})

test('grant tokens are read from their file with every request', async () => {
  await using folder = await tempFolder()
  const grantTokenFile = folder.at('grants')
  await using one = await awsSetup({ config: { grantTokenFile } })
  await writeFile(grantTokenFile, 'planted-grant-1\nplanted-grant-2\n')
  await wrapOne(one, 'seed')
  await writeFile(grantTokenFile, 'bad')

  const error = (await rejection(wrapOne(one, 'seed'))) as KmsError

  const bodies = one.fake.seen.map(({ body }) => JSON.parse(body).GrantTokens)
  assert.equal(bodies, [['planted-grant-1', 'planted-grant-2'], ['bad']])
  assert.is(error.code, 'denied')
})

test('an answer for another key, or one without what was asked for, is a protocol error, and a page an outage', async () => {
  await using one = await awsSetup()
  const other = JSON.stringify({ CiphertextBlob: 'AAAA', KeyId: `${one.key.arn}0` })
  one.fake.fail({ service: 'kms', status: 200, body: other, times: 1 })
  one.fake.fail({ service: 'kms', status: 200, body: '{"planted":"body"}', times: 1 })
  one.fake.fail({ service: 'kms', status: 200, body: '<html>planted', times: 1 })

  const errors: KmsError[] = []
  for (const _ of [1, 2, 3]) errors.push((await rejection(wrapOne(one, 'x'))) as KmsError)

  assert.equal(
    errors.map(({ code }) => code),
    ['protocol', 'protocol', 'unavailable'],
  )
  assert.not.ok(errors.some(({ message }) => message.includes('planted')))
})

test('a wrap that lost a byte is told as damaged without asking KMS', async () => {
  await using one = await awsSetup()
  const bytes = await wrapOne(one, 'seed')
  const asked = one.fake.seen.length

  const error = (await rejection(unwrapOne(one, bytes.subarray(1)))) as KmsError

  assert.is(error.code, 'ciphertext_invalid')
  assert.match(error.message, 'damaged')
  assert.is(one.fake.seen.length, asked)
})

test('no proxy is used for metadata, and one is for KMS', async () => {
  await using one = await awsSetup({ config: { proxy: { url: 'http://127.0.0.1:1' } } })
  const credentials = { source: 'imds', endpoint: one.fake.address }
  const provider = one.another({ credentials })

  const error = (await advancing(one, rejection(provider.keyState(callOn(one.clock))))) as KmsError

  assert.is(error.code, 'unavailable')
  assert.is(one.fake.actions('imds').length, 3)
  assert.equal(one.fake.actions('kms'), [])
})

test('nothing is asked before the first request, and the identity is there at once', async () => {
  await using one = await awsSetup({ config: { key: 'alias/k8s' } })

  assert.is(one.provider.id, 'awskms:eu-central-1:alias/k8s')
  assert.equal(one.provider.describe(), { type: 'awskms', key: 'alias/k8s in eu-central-1' })
  assert.equal(one.fake.seen, [])
})

/** Moves time on in small steps until `work` is done. */
async function advancing<T>(
  { clock }: { readonly clock: { advance(ms: number): Promise<void> } },
  work: Promise<T>,
): Promise<T> {
  let done = false
  const ended = work.finally(() => {
    done = true
  })
  await until(
    'the work is done',
    async () => {
      if (!done) await clock.advance(20)
      return done
    },
    { everyMs: 1 },
  )
  return await ended
}

test.run()
