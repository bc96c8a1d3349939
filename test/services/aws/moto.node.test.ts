import { Buffer } from 'node:buffer'
import { writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { systemClock } from '../../../src/base/clock.ts'
import type { KmsError } from '../../../src/base/errors.ts'
import { awsKmsConfig } from '../../../src/services/aws/config.ts'
import { createAwsKmsProvider } from '../../../src/services/aws/provider.ts'
import { RecordedEvents } from '../../_lib/events.ts'
import { emptyMoto, MOTO_REGION, type Moto, type MotoUser } from '../../_lib/services/aws/moto.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { rejection, suite } from '../../_lib/uvu.ts'
import { providerContract } from '../contract/provider.ts'

const ACTIONS = ['kms:Encrypt', 'kms:Decrypt', 'kms:DescribeKey']
const call = { signal: new AbortController().signal, deadline: Number.POSITIVE_INFINITY }

function providerOn(
  { address }: Moto,
  { accessKeyId, secretAccessKey }: MotoUser,
  key: string,
  credentials: object = { source: 'environment' },
) {
  const config = v.parse(awsKmsConfig, {
    name: 'aws',
    type: 'awskms',
    key,
    region: MOTO_REGION,
    encryptionContext: { cluster: 'prod' },
    endpoint: address,
    stsEndpoint: address,
    allowInsecureHttp: true,
    credentials,
  })
  const provider = createAwsKmsProvider(config, {
    clock: systemClock,
    events: new RecordedEvents(),
    requestTimeoutMs: 10_000,
    environment: { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey },
  })
  return Object.assign(provider, { [Symbol.asyncDispose]: () => provider.close() })
}

providerContract(
  'awskms on moto',
  async () => {
    const moto = await emptyMoto()
    const key = await moto.makeKey()
    const user = await moto.makeUser('trousseau', ACTIONS)
    await moto.enforce()
    const provider = providerOn(moto, user, key)
    return {
      provider,
      secrets: [user.secretAccessKey],
      async rotate() {
        await moto.enforce(false)
        await moto.kms('RotateKeyOnDemand', { KeyId: key })
        await moto.enforce()
      },
      async [Symbol.asyncDispose]() {
        await provider.close()
        await moto[Symbol.asyncDispose]()
      },
    }
  },
  { selectable: false },
)

const test = suite('awskms on moto', () => ({}))

/** A round trip, which shows that moto took the signatures. */
async function roundTrip(provider: ReturnType<typeof providerOn>): Promise<string> {
  const { versions } = await provider.keyState(call)
  const version = versions[0]?.label ?? ''
  const associatedData = Buffer.alloc(32, 1)
  const [made] = await provider.wrap(
    version,
    [{ plaintext: Buffer.from('x'), associatedData }],
    call,
  )
  if (made?.ok !== true) throw made?.error ?? new Error('Nothing')
  const [opened] = await provider.unwrap([{ version, bytes: made.value, associatedData }], call)
  if (opened?.ok !== true) throw opened?.error ?? new Error('Nothing')
  return Buffer.from(opened.value).toString()
}

test('credentials that took on a role at STS are taken, an alias too', async () => {
  await using moto = await emptyMoto()
  const key = await moto.makeKey()
  await moto.kms('CreateAlias', { AliasName: 'alias/k8s', TargetKeyId: key })
  const user = await moto.makeUser('node', ['sts:AssumeRole'])
  const roleArn = await moto.makeRole('trousseau', ACTIONS)
  await moto.enforce()
  const assumeRole = { roleArn, externalId: 'prod-1', sessionName: 'node-1' }
  await using provider = providerOn(moto, user, 'alias/k8s', { source: 'environment', assumeRole })

  const opened = await roundTrip(provider)

  assert.is(opened, 'x')
  assert.match(provider.describe().key, key)
})

test('a web identity token is exchanged at STS', async () => {
  await using moto = await emptyMoto()
  await using folder = await tempFolder()
  await writeFile(folder.at('jwt'), 'aaaa.bbbb.cccc')
  const key = await moto.makeKey()
  const roleArn = await moto.makeRole('trousseau', ACTIONS)
  // moto wants a signature even where STS does without.
  const credentials = { source: 'webIdentity', roleArn, tokenFile: folder.at('jwt') }
  await using provider = providerOn(
    moto,
    { accessKeyId: '', secretAccessKey: '' },
    key,
    credentials,
  )

  assert.is(await roundTrip(provider), 'x')
})

test('a wrong secret and a missing permission are denied', async () => {
  await using moto = await emptyMoto()
  const key = await moto.makeKey()
  const user = await moto.makeUser('trousseau', ['kms:DescribeKey'])
  await moto.enforce()
  await using wrong = providerOn(moto, { ...user, secretAccessKey: 'planted-secret' }, key)
  await using right = providerOn(moto, user, key)

  const refused = (await rejection(wrong.keyState(call))) as KmsError
  const denied = (await rejection(roundTrip(right))) as KmsError

  assert.is(refused.code, 'denied')
  assert.match(refused.message, 'SignatureDoesNotMatch')
  assert.is(denied.code, 'denied')
  assert.match(denied.message, `kms:Encrypt on ${key} is not allowed`)
  for (const { message } of [refused, denied]) assert.not.match(message, 'planted-secret')
})

test.run()
