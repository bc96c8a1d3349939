import { Buffer } from 'node:buffer'
import { writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { runProgram } from '../../../src/cli/program.ts'
import { awsKmsConfig } from '../../../src/services/aws/config.ts'
import { awsKmsPolicy } from '../../../src/services/aws/policy.ts'
import { memoryIo } from '../../_lib/console/memory_io.ts'
import { allows } from '../../_lib/services/aws/fake/iam.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { suite } from '../../_lib/uvu.ts'

const KEY = 'arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab'
const MRK = 'mrk-1234abcd12ab34cd56ef1234567890ab'
const CONTEXT = 'kms:EncryptionContext:'
const digest = { [`${CONTEXT}trousseau-envelope`]: Buffer.alloc(32).toString('base64') }
const names = (...more: string[]) => ({
  'kms:EncryptionContextKeys': ['trousseau-envelope', ...more],
})

const test = suite('services/aws/policy', () => ({}))

function policyOf(change: object): string {
  return awsKmsPolicy([v.parse(awsKmsConfig, { name: 'aws', type: 'awskms', key: KEY, ...change })])
}

test('the policy allows what the plugin does with its key, and nothing else', () => {
  const policy = policyOf({})

  assert.ok(allows(policy, 'kms:Encrypt', KEY, { ...digest, ...names() }))
  assert.ok(allows(policy, 'kms:Decrypt', KEY, { ...digest, ...names() }))
  assert.ok(allows(policy, 'kms:DescribeKey', KEY, {}))
  assert.not.ok(allows(policy, 'kms:GenerateDataKey', KEY, { ...digest, ...names() }))
  assert.not.ok(allows(policy, 'kms:Encrypt', KEY.replace('1234abcd', '99999999'), digest))
  assert.not.ok(allows(policy, 'kms:Encrypt', KEY, {}))
  assert.not.ok(allows(policy, 'kms:Decrypt', KEY, {}))
  assert.not.ok(allows(policy, 'kms:Encrypt', KEY, { ...digest, ...names('other') }))
})

test('your own context is wanted of Encrypt; Decrypt takes an earlier one', () => {
  const policy = policyOf({ encryptionContext: { cluster: 'prod' } })
  const facts = (value: string) => ({
    ...digest,
    ...names('cluster'),
    [`${CONTEXT}cluster`]: value,
  })

  assert.ok(allows(policy, 'kms:Encrypt', KEY, facts('prod')))
  assert.not.ok(allows(policy, 'kms:Encrypt', KEY, facts('dev')))
  assert.not.ok(allows(policy, 'kms:Encrypt', KEY, { ...digest, ...names() }))
  assert.ok(allows(policy, 'kms:Decrypt', KEY, facts('dev')))
})

test('what another plugin wrapped has no digest, and is allowed where the config reads it', () => {
  const policy = policyOf({ reads: ['aws-encryption-provider'] })

  assert.ok(allows(policy, 'kms:Decrypt', KEY, {}))
  assert.not.ok(allows(policy, 'kms:Encrypt', KEY, {}))
})

test('a multi-Region key is allowed in every region', () => {
  const policy = policyOf({ key: `arn:aws:kms:eu-west-1:111122223333:key/${MRK}` })

  const replica = `arn:aws:kms:us-east-1:111122223333:key/${MRK}`

  assert.ok(allows(policy, 'kms:Encrypt', replica, { ...digest, ...names() }))
})

test('an alias allows the keys that have it, in its region and account', () => {
  const policy = policyOf({ key: 'arn:aws:kms:eu-central-1:111122223333:alias/k8s' })
  const facts = { ...digest, ...names(), 'kms:ResourceAliases': ['alias/other', 'alias/k8s'] }

  assert.ok(allows(policy, 'kms:Encrypt', KEY, facts))
  assert.not.ok(allows(policy, 'kms:Encrypt', KEY, { ...facts, 'kms:ResourceAliases': [] }))
  assert.not.ok(allows(policy, 'kms:Encrypt', KEY.replace('eu-central-1', 'eu-west-1'), facts))
})

/** Runs the command on a config file with one provider. */
async function printed(provider: object, ...more: readonly string[]) {
  await using folder = await tempFolder()
  const file = folder.at('config.json')
  const config = {
    apiVersion: 'trousseau.io/v1',
    kind: 'TrousseauConfig',
    socket: { path: folder.at('kms.sock') },
    providers: [{ name: 'aws', type: 'awskms', ...provider }],
  }
  await writeFile(file, JSON.stringify(config))
  const io = memoryIo()
  const code = await runProgram(['awskms', 'policy', '--config', file, ...more], io)
  return { code, out: io.printed(), err: io.complained() }
}

test('trousseau awskms policy prints it for the config file', async () => {
  const { code, out, err } = await printed({ key: KEY })

  assert.is(code, 0)
  assert.is(out, policyOf({}))
  assert.is(err, '')
})

test('trousseau awskms policy warns of an alias', async () => {
  const { code, err } = await printed({ key: 'alias/k8s', region: 'eu-central-1' })

  assert.is(code, 0)
  assert.match(err, 'Provider "aws" names an alias')
})

test('trousseau awskms policy refuses a provider that is not there', async () => {
  const { code, err } = await printed({ key: KEY }, '--provider', 'none')

  assert.is(code, 2)
  assert.match(err, 'has no provider of type awskms called "none"')
})

test.run()
