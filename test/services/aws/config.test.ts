import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { awsKmsConfig, providerIdOf } from '../../../src/services/aws/config.ts'
import { suite } from '../../_lib/uvu.ts'

const UUID = '1234abcd-12ab-34cd-56ef-1234567890ab'
const MRK = 'mrk-1234abcd12ab34cd56ef1234567890ab'
const ARN = `arn:aws:kms:eu-central-1:111122223333:key/${UUID}`

const test = suite('services/aws/config', () => ({}))

function parse(change: object) {
  return v.safeParse(awsKmsConfig, { name: 'aws', type: 'awskms', key: ARN, ...change })
}

for (const [title, change, id] of [
  ['the ARN of a key', { key: ARN }, `awskms:${UUID}`],
  ['the id of the same key', { key: UUID, region: 'eu-central-1' }, `awskms:${UUID}`],
  ['a multi-Region key', { key: `arn:aws:kms:us-east-1:111122223333:key/${MRK}` }, `awskms:${MRK}`],
  [
    'its replica elsewhere',
    { key: `arn:aws:kms:eu-west-1:111122223333:key/${MRK}` },
    `awskms:${MRK}`,
  ],
  [
    'an alias',
    { key: 'alias/k8s/etcd', region: 'eu-central-1' },
    'awskms:eu-central-1:alias/k8s/etcd',
  ],
  [
    'the ARN of an alias',
    { key: 'arn:aws-cn:kms:cn-north-1:111122223333:alias/k8s' },
    'awskms:cn-north-1:111122223333:alias/k8s',
  ],
  ['an id of its own', { id: 'aws:prod' }, 'aws:prod'],
] as const) {
  test(`the identity of ${title} is ${id} [R8]`, () => {
    const { output } = parse(change) as { output: v.InferOutput<typeof awsKmsConfig> }

    assert.is(providerIdOf(output), id)
  })
}

test('neither address nor credentials change the identity [R8]', () => {
  const change = {
    endpoint: 'https://vpce-1.kms.eu-central-1.vpce.amazonaws.com/',
    credentials: { source: 'imds' },
    encryptionContext: { cluster: 'prod' },
  }

  const { output } = parse(change) as { output: v.InferOutput<typeof awsKmsConfig> }

  assert.is(providerIdOf(output), `awskms:${UUID}`)
  assert.is(output.endpoint, 'https://vpce-1.kms.eu-central-1.vpce.amazonaws.com')
})

for (const [title, change, at] of [
  ['something that is no key', { key: 'k8s' }, 'key'],
  [
    'an ARN whose partition is not that of its region',
    { key: ARN.replace('aws', 'aws-cn') },
    'key',
  ],
  ['an ARN of another service', { key: ARN.replace(':kms:', ':s3:') }, 'key'],
  ['a key id without a region', { key: UUID }, 'region'],
  ['a region that is not that of the ARN', { region: 'us-east-1' }, 'region'],
  ['http without leave', { endpoint: 'http://localhost' }, 'endpoint'],
  ['http for STS without leave', { stsEndpoint: 'http://localhost' }, 'endpoint'],
  ['an endpoint beside fips', { endpoint: 'https://localhost', fips: true }, 'endpoint'],
  ['a path in the endpoint', { endpoint: 'https://localhost/kms' }, 'endpoint'],
  ["AWS's own names in the context", { encryptionContext: { 'aws:x': 'y' } }, 'encryptionContext'],
  [
    "the digest's name in the context",
    { encryptionContext: { 'trousseau-envelope': 'y' } },
    'encryptionContext',
  ],
  ['an empty value in the context', { encryptionContext: { a: '' } }, 'encryptionContext'],
  [
    'a context that is too long',
    { encryptionContext: { a: 'x'.repeat(128), b: 'x'.repeat(128), c: 'x'.repeat(128) } },
    'encryptionContext',
  ],
  [
    'a secret in the file',
    { credentials: { source: 'environment', secretAccessKey: 'x' } },
    'credentials.secretAccessKey',
  ],
  [
    'metadata on a named host',
    { credentials: { source: 'imds', endpoint: 'http://evil' } },
    'credentials.endpoint',
  ],
  [
    'a role that is none',
    { credentials: { source: 'default', assumeRole: { roleArn: 'x' } } },
    'credentials.assumeRole.roleArn',
  ],
] as const) {
  test(`${title} is refused at ${at}`, () => {
    const { issues = [] } = parse(change)

    assert.ok(issues.length > 0)
    assert.ok(issues.every((issue) => v.getDotPath(issue)?.startsWith(at)))
  })
}

test.run()
