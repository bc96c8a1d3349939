/** What Azure answers: Key Vault, Entra ID, and the metadata of a machine. @module */

import { writeFile } from 'node:fs/promises'
import { type FakeAzure, startFakeAzure } from '../../_lib/services/azure/fake.ts'
import { application, makeCertificate } from '../../_lib/services/azure/login.ts'
import { type TempFolder, tempFolder } from '../../_lib/temp_folder.ts'
import type { Surface } from '../surface.ts'
import { answerMutator, type Honest, providerTarget, RECORDING_CLOCK } from './providers.ts'

const WORDS = [
  'Bearer',
  'RSA-OAEP-256',
  'A256GCM',
  'RSA',
  'oct-HSM',
  'wrapKey',
  'unwrapKey',
  'Forbidden',
  'KeyNotFound',
  'invalid_client',
  'AADSTS700024',
]
const KEYS = [
  'access_token',
  'expires_in',
  'expires_on',
  'token_type',
  'value',
  'kid',
  'key',
  'attributes',
  'created',
  'enabled',
  'key_ops',
  'error',
  'innererror',
  'code',
  'nextLink',
  'www-authenticate',
]

export const azure: Surface = {
  name: 'azure',
  from: 'Azure, the metadata of its machines, and whoever is in between',
  files: [
    'services/azure/',
    'remote/http/client.ts',
    'remote/http/json.ts',
    'remote/token_source.ts',
  ],
  mutate: answerMutator(WORDS, KEYS),
  async open() {
    const folder = await tempFolder()
    const ways = [secretLogin, certificateLogin, identityLogin, federatedLogin].map((login) =>
      honestAzure(folder, login),
    )
    return await providerTarget(ways, () => folder[Symbol.asyncDispose]())
  },
}

type Login = (fake: FakeAzure, folder: TempFolder) => Promise<object>

const secretLogin: Login = async (fake, { at }) => {
  await writeFile(at('secret'), `${fake.tokens.secret}\n`)
  return { method: 'clientSecret', ...application(fake), secretFile: at('secret') }
}

const certificateLogin: Login = async (fake, folder) => {
  const certFile = await makeCertificate(fake, folder)
  return { method: 'clientCertificate', ...application(fake), certFile }
}

const identityLogin: Login = () => Promise.resolve({ method: 'managedIdentity' })

const federatedLogin: Login = async (fake, { at }) => {
  await writeFile(at('token'), 'header.payload.signature\n')
  return { method: 'workloadIdentity', ...application(fake), tokenFile: at('token') }
}

function honestAzure(folder: TempFolder, login: Login): () => Promise<Honest> {
  return async () => {
    const fake = await startFakeAzure({ now: () => RECORDING_CLOCK.now() })
    const endpoints = {
      vault: fake.keys.address,
      authority: fake.entra.address,
      metadata: fake.metadata.address,
    }
    return {
      config: { ...fake.config, endpoints, login: await login(fake, folder) },
      end: () => fake[Symbol.asyncDispose](),
    }
  }
}
