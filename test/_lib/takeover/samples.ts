/**
 * Requests for what other plugins stored, with made-up ciphertexts in the exact format of each.
 * Where the service itself runs in the tests, test/e2e/takeover_vault.node.test.ts lets it make
 * them.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import type { DecryptRequest } from '../../../src/base/service.ts'
import type { ForeignFormName } from '../../../src/takeover/forms.ts'
import { SeededRandom } from '../seeded_random.ts'

/** The same in each run, so that a seed of the fuzzing repeats it. */
const random = new SeededRandom(20_231_123)

interface ForeignSample {
  readonly title: string
  readonly form: ForeignFormName
  readonly request: DecryptRequest
  /** Of the provider; the form's first opener where absent. */
  readonly type?: string
  /** What the provider is to be asked. */
  readonly version: string
  readonly bytes: Buffer
}

export const AWS_KEY = 'arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab'
export const GOOGLE_KEY = 'projects/my-project/locations/europe/keyRings/k8s/cryptoKeys/secrets'
export const AZURE_KEY = {
  url: 'https://testkv.vault.azure.net/keys/k8s',
  version: '262067a9e8ba401aa8a746c5f1a7e147',
}
const AZURE_KEY_ID = createHash('sha256')
  .update(`${AZURE_KEY.url}/${AZURE_KEY.version}`)
  .digest('hex')
const AZURE_ANNOTATIONS = {
  'version.azure.akv.io': Buffer.from('1'),
  'algorithm.azure.akv.io': Buffer.from('RSA-OAEP-256'),
}
const KLEIDI_ANNOTATIONS = { 'v2.kleidi.beezy.dev': Buffer.from('1') }

export function v1(ciphertext: Uint8Array): DecryptRequest {
  return { api: 'v1beta1', ciphertext, keyId: undefined, annotations: {} }
}

export function v2(
  ciphertext: Uint8Array,
  keyId: string,
  annotations: DecryptRequest['annotations'] = {},
): DecryptRequest {
  return { api: 'v2', ciphertext, keyId, annotations }
}

/** As Cloud KMS makes them: a protobuf that begins with the version's id. */
export function google(length = 113): Buffer {
  return Buffer.concat([Buffer.from([0x0a, 0x24, 0x00]), random.bytes(length - 3)])
}

const sealed = Buffer.from(random.bytes(60))
const transit = Buffer.from(`vault:v12:${sealed.toString('base64')}`)
const aws = Buffer.concat([Buffer.from([0x01, 0x02, 0x02, 0x00]), random.bytes(180)])
const cloud = google()

const VAULT: readonly ForeignSample[] = [
  { form: 'trousseau-1' as const, title: 'trousseau-1 of v1beta1', request: v1(transit) },
  {
    form: 'trousseau-2' as const,
    title: 'a line of trousseau-2, whose vault provider encoded it once more',
    request: v1(Buffer.from(`vault:-:${transit.toString('base64')}\n`)),
  },
  {
    form: 'trousseau-2' as const,
    title: 'a line of trousseau-2 with the plain ciphertext',
    request: v1(Buffer.from(`vault:-:${transit}\n`)),
  },
  {
    form: 'vault-kubernetes-kms' as const,
    title: 'vault-kubernetes-kms of v1beta1',
    request: v1(transit),
  },
  {
    form: 'vault-kubernetes-kms' as const,
    title: 'vault-kubernetes-kms of v2 with the version as key id',
    request: v2(transit, '12'),
  },
  {
    form: 'vault-kubernetes-kms' as const,
    title: 'vault-kubernetes-kms of v2 with the creation time as key id',
    request: v2(transit, '1684398177'),
  },
  {
    form: 'vault-kms-provider' as const,
    title: 'vault-kms-provider of v2',
    request: v2(transit, '1742515200'),
  },
  {
    form: 'kleidi' as const,
    title: 'kleidi of v2',
    request: v2(transit, 'kleidi-kms-plugin_12_1742515200', KLEIDI_ANNOTATIONS),
  },
  {
    form: 'kleidi' as const,
    title: 'kleidi of v2 with the key id of its first versions',
    request: v2(transit, 'kleidi-kms-plugin', KLEIDI_ANNOTATIONS),
  },
].map((sample) => ({ ...sample, version: '12', bytes: sealed }))

const CLOUDS: readonly ForeignSample[] = [
  ...[v1, (bytes: Uint8Array) => v2(bytes, AWS_KEY)].map((request): ForeignSample => {
    const made = request(Buffer.concat([Buffer.from('1'), aws]))
    const title = `aws-encryption-provider of ${made.api}`
    return { title, form: 'aws-encryption-provider', request: made, version: '', bytes: aws }
  }),
  {
    title: 'aws-encryption-provider of v1beta1 before its ciphertexts had a storage version',
    form: 'aws-encryption-provider',
    request: v1(aws),
    version: '',
    bytes: aws,
  },
  ...[v1, (bytes: Uint8Array) => v2(bytes, `${GOOGLE_KEY}/cryptoKeyVersions/3`)].map(
    (request): ForeignSample => {
      const made = request(cloud)
      const title = `k8s-cloudkms-plugin of ${made.api}`
      const version = made.api === 'v2' ? '3' : ''
      return { title, form: 'k8s-cloudkms-plugin', request: made, version, bytes: cloud }
    },
  ),
]

const AZURE: readonly ForeignSample[] = [2048, 3072, 4096].flatMap((bits): ForeignSample[] => {
  const rsa = Buffer.from(random.bytes(bits / 8))
  rsa[0] = 0x41
  const text = Buffer.from(rsa.toString('base64url'))
  const [old, oaep] = ['RSA1_5/*', `RSA-OAEP-256/sha256:${AZURE_KEY_ID}`]
  const headers = {
    ...AZURE_ANNOTATIONS,
    'date.azure.akv.io': Buffer.from('Wed, 19 Apr 2023 21:08:53 GMT'),
    'x-ms-request-id.azure.akv.io': Buffer.from('1f0fc2d4-8a8e-4bc5-8f87-9b5b0e6b7d3a'),
    'x-ms-keyvault-region.azure.akv.io': Buffer.from('westus2'),
  }
  return [
    [`text, v1beta1, ${bits} bits`, v1(text), old],
    [`text, v2, ${bits} bits`, v2(text, AZURE_KEY_ID, headers), oaep],
    [`bytes, v1beta1, ${bits} bits`, v1(rsa), old],
    [`bytes, v2, ${bits} bits`, v2(rsa, AZURE_KEY_ID, AZURE_ANNOTATIONS), oaep],
  ].map(([title, request, version]) => ({
    title: `azure-kubernetes-kms as ${title as string}`,
    form: 'azure-kubernetes-kms',
    request: request as DecryptRequest,
    version: version as string,
    bytes: rsa,
  }))
})

const LINES: readonly ForeignSample[] = [
  {
    title: 'a line of trousseau-2 for AWS KMS',
    form: 'trousseau-2',
    type: 'awskms',
    request: v1(Buffer.from(`awskms:-:${aws.toString('base64')}\n`)),
    version: '',
    bytes: aws,
  },
  ...AZURE.filter(({ title }) => title.includes('text, v1beta1')).map(
    ({ title, request, version, bytes }): ForeignSample => ({
      title: `a line of trousseau-2 with ${title}`,
      form: 'trousseau-2',
      type: 'azurekms',
      request: v1(Buffer.from(`azurekms:-:${Buffer.from(request.ciphertext)}\n`)),
      version,
      bytes,
    }),
  ),
]

export const SAMPLES: readonly ForeignSample[] = [...VAULT, ...LINES, ...CLOUDS, ...AZURE]

/** The first sample of a form whose title has these words. */
export function sampleOf(form: ForeignFormName, words: string): ForeignSample {
  const found = SAMPLES.find((sample) => sample.form === form && sample.title.includes(words))
  if (found === undefined) throw new Error(`No sample of ${form} with "${words}"`)
  return found
}
