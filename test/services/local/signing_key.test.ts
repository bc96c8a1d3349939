import { readFile } from 'node:fs/promises'
import type { SigningAlgorithm } from '../../../src/base/signing_key.ts'
import { addKeyVersion, createKeyFile } from '../../../src/services/local/key_file.ts'
import { createLocalSigningKey, signingKeys } from '../../../src/services/local/signing_key.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { signingKeyContract } from '../contract/signing_key.ts'

async function setup(algorithm: SigningAlgorithm) {
  const folder = await tempFolder()
  const file = folder.at('signer-keys')
  const now = () => Date.now()
  await createKeyFile(file, now, signingKeys(algorithm))
  const { keys } = JSON.parse(await readFile(file, 'utf8'))
  return {
    source: createLocalSigningKey(file),
    rotate: async () => {
      await addKeyVersion(file, now, signingKeys(algorithm))
    },
    secrets: keys.map(({ key }: { key: string }) => key),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  }
}

for (const algorithm of ['ES256', 'ES384', 'ES512', 'RS256'] as const) {
  signingKeyContract(`local, ${algorithm}`, () => setup(algorithm), algorithm)
}
