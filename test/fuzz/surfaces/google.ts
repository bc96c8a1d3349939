/** What Google answers: Cloud KMS, STS, IAM and the metadata of a machine. @module */

import { FakeGoogle, KEY } from '../../_lib/services/google/fake.ts'
import { LOGINS } from '../../_lib/services/google/logins.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import type { Surface } from '../surface.ts'
import { answerMutator, providerTarget, RECORDING_CLOCK } from './providers.ts'

const WORDS = [
  'ENABLED',
  'DISABLED',
  'DESTROYED',
  'ENCRYPT_DECRYPT',
  'GOOGLE_SYMMETRIC_ENCRYPTION',
  'Bearer',
  'PERMISSION_DENIED',
  'KEY_DISABLED',
  'invalid_grant',
  '-1',
  '2026-11-30T00:00:00Z',
]
const KEYS = [
  'cryptoKeyVersions',
  'nextPageToken',
  'name',
  'state',
  'createTime',
  'primary',
  'purpose',
  'ciphertext',
  'ciphertextCrc32c',
  'plaintext',
  'plaintextCrc32c',
  'verifiedPlaintextCrc32c',
  'access_token',
  'expires_in',
  'accessToken',
  'expireTime',
  'error',
  'details',
  'violations',
]

export const google: Surface = {
  name: 'google',
  from: 'Google Cloud, the metadata of its machines, and whoever is in between',
  files: [
    'services/google/',
    'remote/http/client.ts',
    'remote/http/json.ts',
    'remote/token_source.ts',
  ],
  mutate: answerMutator(WORDS, KEYS),
  async open() {
    const folders: AsyncDisposable[] = []
    const ways = LOGINS.map(({ set }) => async () => {
      const folder = await tempFolder()
      folders.push(folder)
      const fake = await FakeGoogle.start(() => RECORDING_CLOCK.now())
      const auth = await set(fake, folder)
      const config = {
        name: 'google',
        type: 'gcpkms',
        key: KEY,
        endpoint: fake.address,
        allowInsecureHttp: true,
        auth,
      }
      return { config, end: () => fake[Symbol.asyncDispose]() }
    })
    return await providerTarget(ways, async () => {
      for (const folder of folders) await folder[Symbol.asyncDispose]()
    })
  },
}
