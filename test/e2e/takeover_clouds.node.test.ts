/**
 * Takeover from the plugins that used the clouds' key services: the fakes and moto
 * encrypt as those plugins had it done, and the real providers open.
 */

import { Buffer } from 'node:buffer'
import { constants, hash, publicEncrypt, randomBytes } from 'node:crypto'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { systemClock } from '../../src/base/clock.ts'
import { awsKmsConfig } from '../../src/services/aws/config.ts'
import { createAwsKmsProvider } from '../../src/services/aws/provider.ts'
import { RecordedEvents } from '../_lib/events.ts'
import { encrypt, rotate } from '../_lib/services/aws/fake/keys.ts'
import { MOTO_REGION, startMoto } from '../_lib/services/aws/moto.ts'
import { awsSetup } from '../_lib/services/aws/setup.ts'
import { azureSetup } from '../_lib/services/azure/setup.ts'
import { KEY as GOOGLE_KEY } from '../_lib/services/google/fake.ts'
import { googleSetup } from '../_lib/services/google/setup.ts'
import { v1, v2 } from '../_lib/takeover/samples.ts'
import { suite } from '../_lib/uvu.ts'
import { open, type ServiceUnderTest, takeoverContract } from '../services/contract/takeover.ts'

interface CloudService extends ServiceUnderTest {
  /** What the service makes of a plaintext for a plugin that binds nothing to it. */
  seal(plaintext: Buffer, how?: 'RSA1_5'): Promise<Buffer> | Buffer
  /** The v2 key id that the plugin had. */
  keyId(): string
}

/** The byte that aws-encryption-provider puts in front. */
const STORAGE_VERSION = Buffer.from('1')

takeoverContract<CloudService>(
  'AWS KMS on a fake',
  [
    {
      title: 'aws-encryption-provider, v1',
      form: 'aws-encryption-provider',
      store: async (plaintext, service) =>
        v1(Buffer.concat([STORAGE_VERSION, await service.seal(plaintext)])),
    },
    {
      title: 'aws-encryption-provider, v2',
      form: 'aws-encryption-provider',
      store: async (plaintext, service) =>
        v2(Buffer.concat([STORAGE_VERSION, await service.seal(plaintext)]), service.keyId()),
    },
    {
      title: 'trousseau-2',
      form: 'trousseau-2',
      store: async (plaintext, service) => {
        const sealed = (await service.seal(plaintext)).toString('base64')
        return v1(Buffer.from(`awskms:-:${sealed}\n`))
      },
    },
  ],
  async () => {
    const one = await awsSetup()
    return {
      provider: one.provider,
      key: one.key.arn,
      seal: (plaintext) => encrypt(one.key, plaintext, {}),
      keyId: () => one.key.arn,
      rotate() {
        rotate(one.key)
        return Promise.resolve()
      },
      [Symbol.asyncDispose]: () => one[Symbol.asyncDispose](),
    }
  },
)

let size = 2048
const AZURE_ANNOTATIONS = {
  'version.azure.akv.io': Buffer.from('1'),
  'algorithm.azure.akv.io': Buffer.from('RSA-OAEP-256'),
}

takeoverContract<CloudService>(
  'Azure Key Vault on a fake',
  [
    {
      title: 'Azure/kubernetes-kms, v1',
      form: 'azure-kubernetes-kms',
      store: async (plaintext, service) =>
        v1(Buffer.from((await service.seal(plaintext, 'RSA1_5')).toString('base64url'))),
    },
    {
      title: 'Azure/kubernetes-kms, v2',
      form: 'azure-kubernetes-kms',
      store: async (plaintext, service) => {
        const text = (await service.seal(plaintext)).toString('base64url')
        return v2(Buffer.from(text), service.keyId(), AZURE_ANNOTATIONS)
      },
    },
  ],
  async () => {
    // The fake's keys of one size are the same every time.
    size = size === 2048 ? 3072 : 2048
    const one = await azureSetup({ bits: size })
    const newest = () => {
      const version = one.azure.state.versions.at(-1)
      if (version?.material.type !== 'rsa') throw new Error('The fake has no RSA key')
      return { id: version.id, publicKey: version.material.publicKey }
    }
    await one.limited((call) => one.provider.keyState(call))
    return {
      provider: one.provider,
      seal(plaintext, how) {
        const { publicKey: key } = newest()
        return how === 'RSA1_5'
          ? publicEncrypt({ key, padding: constants.RSA_PKCS1_PADDING }, plaintext)
          : publicEncrypt(
              { key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' },
              plaintext,
            )
      },
      keyId: () => {
        const { host, key } = one.azure.state
        return hash('sha256', `https://${host}/keys/${key}/${newest().id}`)
      },
      async rotate() {
        one.azure.rotate()
        await one.limited((call) => one.provider.keyState(call))
      },
      [Symbol.asyncDispose]: () => one[Symbol.asyncDispose](),
    }
  },
)

takeoverContract<CloudService>(
  'Google Cloud KMS on a fake',
  [
    {
      title: 'k8s-cloudkms-plugin, v1',
      form: 'k8s-cloudkms-plugin',
      store: async (plaintext, service) => v1(await service.seal(plaintext)),
    },
    {
      title: 'k8s-cloudkms-plugin, v2',
      form: 'k8s-cloudkms-plugin',
      store: async (plaintext, service) => v2(await service.seal(plaintext), service.keyId()),
    },
    {
      title: 'k8s-cloudkms-plugin, v2 with a suffix',
      form: 'k8s-cloudkms-plugin',
      store: async (plaintext, service) =>
        v2(await service.seal(plaintext), `${service.keyId()}:2024`),
    },
  ],
  async () => {
    const one = await googleSetup()
    const newest = () => one.google.key.versions.length
    const answer = v.object({ ciphertext: v.string() })
    return {
      provider: one.provider,
      key: GOOGLE_KEY,
      seal(plaintext) {
        const { body } = one.google.key.encrypt(newest(), {
          plaintext: plaintext.toString('base64'),
        })
        return Buffer.from(v.parse(answer, body).ciphertext, 'base64')
      },
      keyId: () => `${GOOGLE_KEY}/cryptoKeyVersions/${newest()}`,
      rotate() {
        one.google.key.rotate(Date.now())
        return Promise.resolve()
      },
      [Symbol.asyncDispose]: () => one[Symbol.asyncDispose](),
    }
  },
)

const test = suite('takeover with AWS KMS on moto', () => ({}))

test('what aws-encryption-provider stored opens, with the encryption context that it was given too', async () => {
  await using moto = await startMoto()
  const key = await moto.makeKey()
  const user = await moto.makeUser('trousseau', ['kms:Encrypt', 'kms:Decrypt', 'kms:DescribeKey'])
  const context = { cluster: 'prod' }
  const answer = v.object({ CiphertextBlob: v.string() })
  for (const encryptionContext of [{}, context]) {
    const provider = createAwsKmsProvider(
      v.parse(awsKmsConfig, {
        name: 'aws',
        type: 'awskms',
        key,
        region: MOTO_REGION,
        encryptionContext,
        endpoint: moto.address,
        allowInsecureHttp: true,
        credentials: { source: 'environment' },
      }),
      {
        clock: systemClock,
        events: new RecordedEvents(),
        requestTimeoutMs: 10_000,
        environment: {
          AWS_ACCESS_KEY_ID: user.accessKeyId,
          AWS_SECRET_ACCESS_KEY: user.secretAccessKey,
        },
      },
    )
    const plaintext = randomBytes(32)
    const made = await moto.kms('Encrypt', {
      KeyId: key,
      Plaintext: plaintext.toString('base64'),
      EncryptionContext: encryptionContext,
    })
    const sealed = Buffer.from(v.parse(answer, made).CiphertextBlob, 'base64')
    const stored = Buffer.concat([STORAGE_VERSION, sealed])
    try {
      for (const request of [v1(stored), v2(stored, key)]) {
        const opened = await open({ provider, key }, 'aws-encryption-provider', request)
        assert.equal(opened, plaintext)
      }
    } finally {
      await provider.close()
    }
  }
})

test.run()
