/** What Vault or OpenBao answers, and what stands in between. @module */

import { generateKeyPairSync } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { startFakeVault } from '../../_lib/services/vault/fake.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import type { PlayedAnswer } from '../engine/played_http.ts'
import type { Surface } from '../surface.ts'
import { answerMutator, type Honest, providerTarget, RECORDING_CLOCK } from './providers.ts'

const WORDS = [
  'vault:v1:AAAA',
  'service',
  'batch',
  'aes256-gcm96',
  'chacha20-poly1305',
  '1',
  '2',
  'permission denied',
]
const KEYS = [
  'auth',
  'client_token',
  'lease_duration',
  'renewable',
  'num_uses',
  'data',
  'keys',
  'batch_results',
  'ciphertext',
  'plaintext',
  'min_encryption_version',
  'latest_version',
  'warnings',
  'errors',
]

const GIVEN = { client_token: 'hvs.given', lease_duration: 3_600, renewable: true, num_uses: 0 }
/** The fake has no such login. */
const TOKEN = {
  at: 'POST /v1/auth/jwt/login',
  status: 200,
  body: { auth: { ...GIVEN, token_type: 'service', mfa_requirement: null } },
}
/** The fake lets its role read no settings. */
const SETTINGS = {
  at: 'GET /v1/kv/data/settings',
  status: 200,
  body: { data: { data: { key: 'k8s-etcd', mount: 'transit' }, metadata: { version: 1 } } },
}

export const vault: Surface = {
  name: 'vault',
  from: 'Vault or OpenBao, and whoever is in between',
  files: [
    'services/vault/',
    'remote/http/client.ts',
    'remote/http/json.ts',
    'remote/token_',
    'remote/renewal.ts',
  ],
  mutate: answerMutator(WORDS, KEYS),
  async open() {
    const folder = await tempFolder()
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const key = folder.at('key.pem')
    await writeFile(key, privateKey.export({ format: 'pem', type: 'pkcs8' }))
    const jwt = {
      method: 'jwt',
      role: 'r',
      selfSigned: { keyFile: key, audience: 'vault', subject: 'n' },
    }
    const login = () => Promise.resolve(jwt)
    const ways = [
      honestVault(folder.path, {}),
      honestVault(folder.path, {}, { login, kinder: [TOKEN] }),
      honestVault(
        folder.path,
        { settingsFrom: { mount: 'kv', path: 'settings' }, id: 'fixed' },
        { kinder: [SETTINGS] },
      ),
    ]
    return await providerTarget(ways, () => folder[Symbol.asyncDispose]())
  },
}

function honestVault(
  folder: string,
  more: object,
  { login, kinder = [] }: { login?: () => Promise<object>; kinder?: readonly PlayedAnswer[] } = {},
): () => Promise<Honest> {
  return async () => {
    const fake = await startFakeVault({ now: () => RECORDING_CLOCK.now() })
    const { provider } = await fake.setupApprole(folder)
    fake.putSecret(2, { mount: 'kv', path: 'settings' }, { key: 'k8s-etcd', mount: 'transit' })
    const auth = login === undefined ? {} : { auth: await login() }
    return {
      config: { name: 'v', type: 'vault', allowInsecureHttp: true, ...provider, ...auth, ...more },
      kinder,
      end: () => fake[Symbol.asyncDispose](),
    }
  }
}
