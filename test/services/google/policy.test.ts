import { writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { runProgram } from '../../../src/cli/program.ts'
import { gcpKmsConfig } from '../../../src/services/google/config.ts'
import { gcpKmsPolicy } from '../../../src/services/google/policy.ts'
import { memoryIo } from '../../_lib/console/memory_io.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { suite } from '../../_lib/uvu.ts'

const KEY = 'projects/acme-prod/locations/europe-west1/keyRings/k8s/cryptoKeys/etcd'
const TARGET = 'kms@acme-prod.iam.gserviceaccount.com'
const HOP = 'hop@acme-prod.iam.gserviceaccount.com'
const OWN = 'node@acme-prod.iam.gserviceaccount.com'
const POOL = '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/k8s'

const test = suite('services/google/policy', () => ({}))

function policyOf(auth: object): Promise<string> {
  return gcpKmsPolicy(v.parse(gcpKmsConfig, { name: 'google', type: 'gcpkms', key: KEY, auth }))
}

/** What is bound to whom: resource, member and role of each command. */
function bindingsIn(text: string): string[][] {
  const lines = text.replaceAll(/ \\\n +/g, ' ').split('\n')
  return lines
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const member = /--member='?([^\s']+)/.exec(line)?.[1] ?? ''
      const role = /--role=(\S+)/.exec(line)?.[1] ?? ''
      return [/add-iam-policy-binding (\S+)/.exec(line)?.[1] ?? '', member, role]
    })
}

const KEY_ROLES = ['roles/cloudkms.cryptoKeyEncrypterDecrypter', 'roles/cloudkms.viewer']
const ofKey = (member: string) => KEY_ROLES.map((role) => ['etcd', member, role])

test('the account of an instance gets two roles on the key, and on nothing else', async () => {
  const text = await policyOf({ method: 'metadata', serviceAccount: OWN })

  assert.equal(bindingsIn(text), ofKey(`serviceAccount:${OWN}`))
  assert.match(text, '--project=acme-prod')
  assert.match(text, '--location=europe-west1 --keyring=k8s')
})

test('an account that is impersonated has the key, and the others may only act as the next', async () => {
  const impersonate = { serviceAccount: TARGET, delegates: [HOP] }
  const text = await policyOf({ method: 'metadata', serviceAccount: OWN, impersonate })

  assert.equal(bindingsIn(text), [
    ...ofKey(`serviceAccount:${TARGET}`),
    [HOP, `serviceAccount:${OWN}`, 'roles/iam.serviceAccountTokenCreator'],
    [TARGET, `serviceAccount:${HOP}`, 'roles/iam.serviceAccountTokenCreator'],
  ])
})

test('the account of a key file is read from it, and nothing else of it is shown', async () => {
  await using folder = await tempFolder()
  const file = {
    type: 'service_account',
    client_email: `${OWN}; rm -rf '/'`,
    private_key_id: 'planted',
    private_key: 'planted',
  }
  await writeFile(folder.at('key.json'), JSON.stringify(file))

  const text = await policyOf({ method: 'key', keyFile: folder.at('key.json') })
  const absent = await policyOf({ method: 'key', keyFile: folder.at('none.json') })

  assert.not.match(text, 'planted')
  assert.match(text, `'--member=serviceAccount:${OWN}; rm -rf '\\''/'\\'''`)
  assert.equal(bindingsIn(absent), ofKey('serviceAccount:KEY_ACCOUNT'))
  assert.match(absent, '# KEY_ACCOUNT: client_email in')
})

test('a federated identity is bound as what its pool maps to a subject', async () => {
  await using folder = await tempFolder()
  const url = `https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/${TARGET}:generateAccessToken`
  const file = (change: object) => ({
    type: 'external_account',
    audience: `${POOL}/providers/prod`,
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    credential_source: { file: '/token' },
    ...change,
  })
  const auth = { method: 'federation', credentialsFile: folder.at('config.json') }
  const subject = `principal:${POOL}/subject/SUBJECT`

  await writeFile(folder.at('config.json'), JSON.stringify(file({})))
  const direct = bindingsIn(await policyOf(auth))
  await writeFile(
    folder.at('config.json'),
    JSON.stringify(file({ service_account_impersonation_url: url })),
  )
  const acting = bindingsIn(await policyOf(auth))

  assert.equal(direct, ofKey(subject))
  assert.equal(acting, [
    ...ofKey(`serviceAccount:${TARGET}`),
    [TARGET, subject, 'roles/iam.workloadIdentityUser'],
  ])
})

test('"trousseau gcpkms policy" prints it for the provider of a config', async () => {
  await using folder = await tempFolder()
  const config = {
    apiVersion: 'trousseau.io/v1',
    kind: 'TrousseauConfig',
    socket: { path: '/run/kms.sock' },
    providers: [{ name: 'google', type: 'gcpkms', key: KEY, auth: { method: 'metadata' } }],
  }
  await writeFile(folder.at('config.json'), JSON.stringify(config))
  const io = memoryIo()
  const policy = (...more: string[]) =>
    runProgram(['gcpkms', 'policy', '--config', folder.at('config.json'), ...more], io)

  assert.is(await policy(), 0)
  assert.equal(bindingsIn(io.printed()), ofKey('serviceAccount:NODE_ACCOUNT'))
  assert.is(await policy('--provider', 'other'), 2)
  assert.match(io.complained(), 'has no provider of type gcpkms called "other"')
})

test.run()
