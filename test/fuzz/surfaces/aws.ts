/** What AWS answers: KMS, STS, the metadata of an instance and the credentials of a container. @module */

import { writeFile } from 'node:fs/promises'
import { FakeAws, REGION } from '../../_lib/services/aws/fake.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import type { Surface } from '../surface.ts'
import { answerMutator, type Honest, providerTarget, RECORDING_CLOCK } from './providers.ts'

const WORDS = [
  'Enabled',
  'Disabled',
  'PendingDeletion',
  'ENCRYPT_DECRYPT',
  'SYMMETRIC_DEFAULT',
  'ThrottlingException',
  'AccessDeniedException',
  'ExpiredTokenException',
  'InvalidCiphertextException',
  'RequestExpired',
]
const KEYS = [
  'KeyMetadata',
  'KeyId',
  'Arn',
  'KeyState',
  'DeletionDate',
  'CreationDate',
  'CiphertextBlob',
  'Plaintext',
  '__type',
  'message',
  'Expiration',
  'Token',
  'x-amzn-requestid',
  'x-amzn-errortype',
]

const GIVEN = {
  ...{ AccessKeyId: 'ASIAGIVEN', SecretAccessKey: 'secret', Token: 'token' },
  Expiration: '2027-12-01T00:00:00Z',
}
const XML = Object.entries({ ...GIVEN, SessionToken: 'token' })
  .map(([name, value]) => `<${name}>${value}</${name}>`)
  .join('')
/** What the fake gives to those alone who have more than a config. */
const KINDER = [
  { at: 'GET /v2/credentials/planted-container-path', status: 200, body: GIVEN },
  ...['AssumeRole', 'AssumeRoleWithWebIdentity'].map((action) => ({
    at: `POST / Action=${action}`,
    status: 200,
    body: `<${action}Response><${action}Result><Credentials>${XML}</Credentials></${action}Result></${action}Response>`,
  })),
]

export const aws: Surface = {
  name: 'aws',
  from: 'AWS, its metadata services, and whoever is in between',
  files: [
    'services/aws/',
    'remote/http/client.ts',
    'remote/http/json.ts',
    'remote/signing_clock.ts',
  ],
  mutate: answerMutator(WORDS, KEYS),
  async open() {
    const folder = await tempFolder()
    const token = folder.at('token')
    await writeFile(token, 'header.payload.signature\n')
    const keys = (fake: FakeAws) => {
      const { accessKeyId, secretAccessKey } = fake.principals.user()
      return { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey }
    }
    const ways = [
      honestAws(() => ({ source: 'environment' }), keys),
      honestAws((fake) => ({ source: 'imds', endpoint: fake.address })),
      honestAws((fake) => ({ source: 'container', uri: fake.containerUri })),
      honestAws(
        (fake) => ({
          source: 'environment',
          assumeRole: { roleArn: fake.role('r', {}).arn },
        }),
        keys,
      ),
      honestAws((fake) => ({
        source: 'webIdentity',
        tokenFile: token,
        roleArn: fake.role('w', {}).arn,
      })),
    ]
    return await providerTarget(ways, () => folder[Symbol.asyncDispose]())
  },
}

function honestAws(
  credentials: (fake: FakeAws) => object,
  environment: (fake: FakeAws) => Readonly<Record<string, string>> = () => ({}),
): () => Promise<Honest> {
  return async () => {
    const fake = await FakeAws.start()
    fake.now = () => RECORDING_CLOCK.now()
    const { arn } = fake.keys.make({ multiRegion: false })
    const endpoints = { endpoint: fake.address, stsEndpoint: fake.address, allowInsecureHttp: true }
    const made = credentials(fake)
    return {
      config: {
        name: 'aws',
        type: 'awskms',
        key: arn,
        region: REGION,
        ...endpoints,
        credentials: made,
      },
      environment: environment(fake),
      kinder: KINDER,
      end: () => fake[Symbol.asyncDispose](),
    }
  }
}
