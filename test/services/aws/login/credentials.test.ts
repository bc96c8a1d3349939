import { rename, symlink, writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import type { KmsError } from '../../../../src/base/errors.ts'
import { HttpClient } from '../../../../src/remote/http/client.ts'
import { Transport } from '../../../../src/remote/http/transport.ts'
import { AwsApi, awsClock } from '../../../../src/services/aws/api.ts'
import { CredentialStore } from '../../../../src/services/aws/login/credential_store.ts'
import {
  awsCredentialsConfig,
  createCredentialSource,
} from '../../../../src/services/aws/login/credentials.ts'
import { RecordedEvents } from '../../../_lib/events.ts'
import { FakeClock } from '../../../_lib/fake_clock.ts'
import type { Service } from '../../../_lib/services/aws/fake/answers.ts'
import { FakeAws, REGION } from '../../../_lib/services/aws/fake.ts'
import { type TempFolder, tempFolder } from '../../../_lib/temp_folder.ts'
import { rejection, suite } from '../../../_lib/uvu.ts'
import { until } from '../../../_lib/wait.ts'

const call = { signal: new AbortController().signal, deadline: Number.POSITIVE_INFINITY }
const JWT = 'planted-header.planted-claims.planted-signature'

type Environment = Readonly<Record<string, string>>

/** A fake, a folder, and stores over sources on both. */
async function setup() {
  const [fake, folder] = [await FakeAws.start(), await tempFolder()]
  const clock = new FakeClock()
  fake.now = () => clock.now()
  const events = new RecordedEvents()
  const direct = new Transport({ provider: 'aws', tls: {}, clock, events })
  const signing = awsClock(clock, { events, provider: 'aws' })
  const client = new HttpClient(fake.address, direct)
  const api = (service: string) => new AwsApi(client, { service, region: REGION, clock: signing })
  const stores: CredentialStore[] = []
  const storeOf = (config: object, environment: Environment = {}) => {
    const source = createCredentialSource(v.parse(awsCredentialsConfig, config), {
      clock,
      direct,
      signing,
      sts: api('sts'),
      environment,
    })
    const deps = { clock, events, random: () => 0.5, provider: 'aws', requestTimeoutMs: 2_500 }
    const store = new CredentialStore(source, deps)
    stores.push(store)
    return store
  }
  const kms = api('kms')
  const key = fake.keys.make()
  /** What KMS says to a request with the store's credentials. */
  const used = async (store: CredentialStore) => {
    const credentials = await store.get(call)
    const headers = {
      'content-type': 'application/x-amz-json-1.1',
      'x-amz-target': 'TrentService.DescribeKey',
    }
    const body = JSON.stringify({ KeyId: key.arn })
    const { status } = await kms.send({ headers, body }, credentials, call)
    return { status, accessKeyId: credentials.accessKeyId }
  }
  return {
    fake,
    folder,
    clock,
    events,
    storeOf,
    used,
    async [Symbol.asyncDispose]() {
      for (const store of stores) store.close()
      await direct.close()
      await fake[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

interface Case {
  readonly config: object
  readonly environment?: Environment
  /** Which service has to fail so that nothing is replaced. */
  readonly from: Service
}

const ini = (sections: Readonly<Record<string, Readonly<Record<string, string>>>>) =>
  Object.entries(sections)
    .map(([name, pairs]) =>
      [`[${name}]`, ...Object.entries(pairs).map(([key, value]) => `${key} = ${value}`)].join('\n'),
    )
    .join('\n\n')

/** The two shared files; secrets stand in the second. */
async function sharedFiles(folder: TempFolder, config: object, credentials: object) {
  const [configFile, credentialsFile] = [folder.at('config'), folder.at('credentials')]
  await writeFile(configFile, `# comment\n${ini(config as Parameters<typeof ini>[0])}\n`)
  await writeFile(credentialsFile, `${ini(credentials as Parameters<typeof ini>[0])}\n`)
  return { configFile, credentialsFile }
}

function variablesOf(user: { readonly accessKeyId: string; readonly secretAccessKey: string }) {
  return { AWS_ACCESS_KEY_ID: user.accessKeyId, AWS_SECRET_ACCESS_KEY: user.secretAccessKey }
}

function keysOf(user: { readonly accessKeyId: string; readonly secretAccessKey: string }) {
  return { aws_access_key_id: user.accessKeyId, aws_secret_access_key: user.secretAccessKey }
}

/** Each source whose credentials end, ready to be used. */
const TEMPORARY: Readonly<
  Record<string, (fake: FakeAws, folder: TempFolder) => Promise<Case> | Case>
> = {
  'instance metadata': (fake) => ({
    config: { source: 'imds', endpoint: fake.address },
    from: 'imds',
  }),
  'instance metadata with a named role': (fake) => ({
    config: { source: 'imds', endpoint: fake.address, role: 'control-plane' },
    from: 'imds',
  }),
  'a container with its token in a file, as EKS Pod Identity': async (fake, folder) => {
    await writeFile(folder.at('token'), `${fake.metadata.containerToken}\n`)
    const environment = {
      AWS_CONTAINER_CREDENTIALS_FULL_URI: fake.containerUri,
      AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: folder.at('token'),
    }
    return { config: { source: 'default' }, environment, from: 'container' }
  },
  'a container with its token in the environment, as ECS': (fake) => ({
    config: { source: 'container', uri: fake.containerUri },
    environment: { AWS_CONTAINER_AUTHORIZATION_TOKEN: fake.metadata.containerToken },
    from: 'container',
  }),
  'web identity from the environment': async (fake, folder) => {
    await writeFile(folder.at('jwt'), JWT)
    const { arn } = fake.role('irsa', { jwts: [JWT] })
    const environment = { AWS_ROLE_ARN: arn, AWS_WEB_IDENTITY_TOKEN_FILE: folder.at('jwt') }
    return { config: { source: 'default' }, environment, from: 'sts' }
  },
  'web identity from the config': async (fake, folder) => {
    await writeFile(folder.at('jwt'), JWT)
    const { arn } = fake.role('irsa', { jwts: [JWT] })
    const config = { source: 'webIdentity', roleArn: arn, tokenFile: folder.at('jwt') }
    return { config, from: 'sts' }
  },
  'a role with an external id on top of the environment': (fake) => {
    const user = fake.principals.user()
    const { arn } = fake.role('k8s', { trusts: [user.accessKeyId], externalId: 'prod/1' })
    const assumeRole = { roleArn: arn, externalId: 'prod/1', sessionName: 'node-1' }
    return {
      config: { source: 'environment', assumeRole },
      environment: variablesOf(user),
      from: 'sts',
    }
  },
  'a profile with a role over another profile with a role': async (fake, folder) => {
    const user = fake.principals.user()
    const inner = fake.role('inner', { trusts: [user.accessKeyId] })
    const outer = fake.role('outer', { trusts: [inner.arn], externalId: 'x1' })
    const files = await sharedFiles(
      folder,
      {
        'profile outer': { role_arn: outer.arn, source_profile: 'inner', external_id: 'x1' },
        'profile inner': { role_arn: inner.arn, source_profile: 'base', region: 'us-west-1' },
      },
      { base: keysOf(user) },
    )
    return { config: { source: 'profile', profile: 'outer', ...files }, from: 'sts' }
  },
  'a profile that names itself for the keys of its role': async (fake, folder) => {
    const user = fake.principals.user()
    const { arn } = fake.role('self', { trusts: [user.accessKeyId] })
    const files = await sharedFiles(
      folder,
      { default: { role_arn: arn, source_profile: 'default' } },
      { default: keysOf(user) },
    )
    return { config: { source: 'profile', ...files }, from: 'sts' }
  },
  'a profile with a web identity': async (fake, folder) => {
    await writeFile(folder.at('jwt'), JWT)
    const { arn } = fake.role('web', { jwts: [JWT] })
    const role = { role_arn: arn, web_identity_token_file: folder.at('jwt') }
    const files = await sharedFiles(folder, { 'profile web': role }, {})
    return { config: { source: 'profile', profile: 'web', ...files }, from: 'sts' }
  },
  'a profile with a role over the environment': async (fake, folder) => {
    const user = fake.principals.user()
    const { arn } = fake.role('env', { trusts: [user.accessKeyId] })
    const role = { role_arn: arn, credential_source: 'Environment' }
    const files = await sharedFiles(folder, { 'profile env': role }, {})
    return {
      config: { source: 'profile', profile: 'env', ...files },
      environment: variablesOf(user),
      from: 'sts',
    }
  },
}

const test = suite('services/aws/login/credentials', () => ({}))

for (const [name, caseOf] of Object.entries(TEMPORARY)) {
  test(`${name}: used, replaced ahead, kept while that fails, then a clear error`, async () => {
    await using one = await setup()
    const { fake, clock, events } = one
    const { config, environment, from } = await caseOf(fake, one.folder)
    const store = one.storeOf(config, environment)
    const tokens = () => events.of('token').length

    const first = await one.used(store)
    await clock.advance(fake.lifeMs * 0.7)
    await until('others have come', () => tokens() === 2)
    const second = await one.used(store)
    const fault = fake.fail({ service: from, status: 500 })
    await clock.advance(fake.lifeMs * 0.7)
    await until('an attempt has failed', () => tokens() === 3)
    const third = await one.used(store)
    await clock.advance(fake.lifeMs * 0.3)
    const error = (await rejection(store.get(call))) as KmsError
    fault.times = 0
    await clock.advance(60_000)
    const fourth = await one.used(store)

    const all = [first, second, third, fourth]
    assert.equal(
      all.map(({ status }) => status),
      [200, 200, 200, 200],
    )
    assert.is.not(second.accessKeyId, first.accessKeyId)
    assert.is(third.accessKeyId, second.accessKeyId)
    assert.match(error.message, /^Credentials \(.+\) have expired and cannot be replaced: /)
    assert.not.match(JSON.stringify(events.all) + error.stack, 'planted')
  })
}

test('the environment gives keys, with a session token where there is one', async () => {
  await using one = await setup()
  const user = one.fake.principals.temporary(1_000_000)
  const variables = {
    AWS_ACCESS_KEY_ID: user.accessKeyId,
    AWS_SECRET_ACCESS_KEY: user.secretAccessKey,
    AWS_SESSION_TOKEN: user.sessionToken,
  }

  const { status } = await one.used(one.storeOf({ source: 'environment' }, variables))

  assert.is(status, 200)
})

test('a profile whose file is swapped is read again', async () => {
  await using one = await setup()
  const { folder, fake } = one
  const [before, after] = [fake.principals.user(), fake.principals.user()]
  await writeFile(folder.at('1'), ini({ node: keysOf(before) }))
  await writeFile(folder.at('2'), ini({ node: keysOf(after) }))
  await symlink('1', folder.at('credentials'))
  const place = { configFile: folder.at('none'), credentialsFile: folder.at('credentials') }
  const store = one.storeOf({ source: 'profile', profile: 'node', ...place })
  const first = await one.used(store)
  await symlink('2', folder.at('next'))
  await rename(folder.at('next'), folder.at('credentials'))
  await one.clock.advance(300_000)
  await until('the file was read', () => one.events.of('token').length === 2)

  const second = await one.used(store)

  assert.equal([first.accessKeyId, second.accessKeyId], [before.accessKeyId, after.accessKeyId])
})

test('the shared files lie in the home folder, unless variables say otherwise', async () => {
  await using one = await setup()
  const { folder, fake } = one
  const user = fake.principals.user()
  const { credentialsFile } = await sharedFiles(folder, {}, { other: keysOf(user) })
  const variables = {
    HOME: folder.path,
    AWS_PROFILE: 'other',
    AWS_SHARED_CREDENTIALS_FILE: credentialsFile,
  }

  const { status } = await one.used(one.storeOf({ source: 'default' }, variables))

  assert.is(status, 200)
})

test('the default chain takes the first source that there is anything for', async () => {
  await using one = await setup()
  const { folder, fake } = one
  const user = fake.principals.user()
  const files = await sharedFiles(folder, {}, { default: keysOf(user) })
  const everything = {
    AWS_ACCESS_KEY_ID: 'AKIAENVIRONMENT',
    AWS_SECRET_ACCESS_KEY: 'planted',
    AWS_WEB_IDENTITY_TOKEN_FILE: folder.at('missing'),
    AWS_SHARED_CREDENTIALS_FILE: files.credentialsFile,
    AWS_CONTAINER_CREDENTIALS_FULL_URI: fake.containerUri,
  }
  const { AWS_ACCESS_KEY_ID: _, ...withoutKeys } = everything
  const { AWS_WEB_IDENTITY_TOKEN_FILE: __, ...withoutJwt } = withoutKeys

  const first = await one.storeOf({ source: 'default' }, everything).get(call)
  const second = (await rejection(
    one.storeOf({ source: 'default' }, withoutKeys).get(call),
  )) as KmsError
  const third = await one.storeOf({ source: 'default' }, withoutJwt).get(call)

  assert.is(first.accessKeyId, 'AKIAENVIRONMENT')
  assert.match(second.message, 'AWS_ROLE_ARN')
  assert.is(third.accessKeyId, user.accessKeyId)
})

test('the default chain never asks the metadata of the instance', async () => {
  await using one = await setup()
  const store = one.storeOf({ source: 'default' }, { HOME: one.folder.path })

  const error = (await rejection(store.get(call))) as KmsError

  assert.is(error.code, 'denied')
  assert.match(error.message, 'source: imds')
  assert.equal(one.fake.seen, [])
})

test('instance metadata is asked with version 2 alone, and a token of its own', async () => {
  await using one = await setup()
  await one.storeOf({ source: 'imds', endpoint: one.fake.address }).get(call)

  assert.equal(one.fake.actions('imds'), [
    '/latest/api/token',
    '/latest/meta-data/iam/security-credentials/',
    '/latest/meta-data/iam/security-credentials/control-plane',
  ])
  const [token] = one.fake.seen
  assert.is(token?.headers['x-aws-ec2-metadata-token-ttl-seconds'], '60')
})

type Setup = Awaited<ReturnType<typeof setup>>
/** Config, environment, and what the error's code and message are. */
type Refused = readonly [config: object, environment: Environment, code: string, word: string]

/** A login with a token that the fake takes, unless it is told otherwise. */
async function webIdentity({ fake, folder }: Setup): Promise<object> {
  await writeFile(folder.at('jwt'), JWT)
  const { arn } = fake.role('irsa', { jwts: [JWT] })
  return { source: 'webIdentity', roleArn: arn, tokenFile: folder.at('jwt') }
}

const REFUSED: Readonly<Record<string, (one: Setup) => Promise<Refused> | Refused>> = {
  'an instance without a role': ({ fake }) => {
    fake.metadata.hasRole = false
    return [{ source: 'imds', endpoint: fake.address }, {}, 'denied', 'role is not attached']
  },
  'instance metadata that is turned off': ({ fake }) => {
    fake.fail({ service: 'imds', status: 403 })
    return [{ source: 'imds', endpoint: fake.address }, {}, 'denied', 'turned off']
  },
  'instance metadata that nobody serves': () => [
    { source: 'imds', endpoint: 'http://127.0.0.1:1' },
    {},
    'unavailable',
    'hop limit',
  ],
  'a container token that is refused': ({ fake }) => {
    const variables = { AWS_CONTAINER_AUTHORIZATION_TOKEN: 'planted' }
    return [{ source: 'container', uri: fake.containerUri }, variables, 'denied', 'are refused']
  },
  'a container address on another machine over http': () => [
    { source: 'container', uri: 'http://192.0.2.1/planted' },
    {},
    'denied',
    'must be https',
  ],
  'a role that does not trust the user': ({ fake }) => {
    const user = fake.principals.user()
    const { arn } = fake.role('k8s', { trusts: [user.accessKeyId], externalId: 'planted' })
    const config = { source: 'environment', assumeRole: { roleArn: arn } }
    return [config, variablesOf(user), 'denied', 'trust policy']
  },
  'a web identity that STS refuses': async (one) => {
    const config = await webIdentity(one)
    await writeFile(one.folder.at('jwt'), 'planted.other.token')
    return [config, {}, 'denied', 'issuer, audience']
  },
  'a web identity that has expired': async (one) => {
    one.fake.fail({
      service: 'sts',
      status: 400,
      type: 'ExpiredTokenException',
      message: 'planted',
    })
    return [await webIdentity(one), {}, 'denied', 'who renews its file']
  },
  'STS that throttles': async (one) => {
    one.fake.fail({ service: 'sts', status: 400, type: 'Throttling', message: 'planted' })
    return [await webIdentity(one), {}, 'throttled', 'limits the rate']
  },
  'STS that answers something else': async (one) => {
    const body = '<AssumeRoleWithWebIdentityResponse>planted'
    one.fake.fail({ service: 'sts', status: 200, body })
    return [await webIdentity(one), {}, 'protocol', 'without credentials']
  },
  'STS with a page in its place': async (one) => {
    one.fake.fail({ service: 'sts', status: 200, body: '<html>planted</html>' })
    return [await webIdentity(one), {}, 'unavailable', 'not in the words of AWS']
  },
  'STS with a refusal of somebody else': async (one) => {
    one.fake.fail({ service: 'sts', status: 403, body: '<html>planted</html>' })
    return [await webIdentity(one), {}, 'unavailable', 'not in the words of AWS']
  },
  'metadata with a token that no header can carry': ({ fake }) => {
    const keys = { AccessKeyId: 'a', SecretAccessKey: 'b', Token: 'planted\r\nheader: x' }
    const body = JSON.stringify({ ...keys, Expiration: '2030-01-01T00:00:00Z' })
    fake.fail({ service: 'container', status: 200, body })
    return [{ source: 'container', uri: fake.containerUri }, {}, 'protocol', 'at Token']
  },
  'metadata that answers something else': ({ fake }) => {
    fake.fail({ service: 'container', status: 200, body: '{"AccessKeyId":"planted"}' })
    return [{ source: 'container', uri: fake.containerUri }, {}, 'protocol', 'unexpected body at']
  },
}

for (const [name, caseOf] of Object.entries(REFUSED)) {
  test(`${name} is told, without a secret`, async () => {
    await using one = await setup()
    const [config, environment, code, word] = await caseOf(one)

    const error = (await rejection(one.storeOf(config, environment).get(call))) as KmsError

    assert.is(error.code, code)
    assert.match(error.message, word)
    assert.not.match(`${error.message} ${error.stack}`, 'planted')
  })
}

for (const [name, config, credentials, word] of [
  ['a profile that is nowhere', {}, {}, 'is in neither of'],
  ['a profile without keys', { default: { region: 'x' } }, {}, 'has no aws_access_key_id'],
  [
    'a program for credentials',
    { default: { credential_process: '/planted' } },
    {},
    'uses credential_process',
  ],
  ['single sign-on', { default: { sso_session: 'planted' } }, {}, 'uses sso_session'],
  ['a role over nothing', { default: { role_arn: 'planted' } }, {}, 'without source_profile'],
  [
    'profiles that name each other',
    {
      default: { role_arn: 'a', source_profile: 'b' },
      'profile b': { role_arn: 'b', source_profile: 'default' },
    },
    {},
    'chain of source_profile that is too long',
  ],
] as const) {
  test(`${name}: denied, and says what is missing`, async () => {
    await using one = await setup()
    const files = await sharedFiles(one.folder, config, credentials)

    const error = (await rejection(
      one.storeOf({ source: 'profile', ...files }).get(call),
    )) as KmsError

    assert.is(error.code, 'denied')
    assert.match(error.message, word)
    assert.not.match(error.message, 'planted')
  })
}

test('a role is taken on with the right time where the clock of the node is wrong', async () => {
  await using one = await setup()
  const { fake, clock } = one
  fake.now = () => clock.now() - 7_200_000
  const user = fake.principals.user()
  const { arn } = fake.role('k8s', { trusts: [user.accessKeyId] })
  const config = { source: 'environment', assumeRole: { roleArn: arn } }
  const store = one.storeOf(config, variablesOf(user))

  const { status } = await one.used(store)
  const { expiresAt = 0 } = await store.get(call)

  assert.is(status, 200)
  assert.ok(
    Math.abs(expiresAt - clock.monotonic() - fake.lifeMs) <= 1_000,
    'life by the clock of STS',
  )
  assert.equal(one.events.notices(), ['clock_skew'])
})

test.run()
