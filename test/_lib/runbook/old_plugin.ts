/**
 * A plugin as older ones were: it stores Vault's own text under v1 and v2, and its key id is the
 * number of the key's version. It runs as a process, with its options as JSON.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { readFile } from 'node:fs/promises'
import process from 'node:process'
import * as v from 'valibot'
import { startFakePlugin } from '../grpc/fake_plugin.ts'
import { Server } from '../services/vault/openbao.ts'

const options = v.object({
  socket: v.string(),
  port: v.number(),
  key: v.string(),
  tokenFile: v.string(),
})
export type OldPlugin = v.InferOutput<typeof options>

const answer = v.object({
  data: v.object({ ciphertext: v.optional(v.string(), ''), plaintext: v.optional(v.string(), '') }),
})

if (import.meta.main) await serve(v.parse(options, JSON.parse(process.argv[2] ?? '')))

async function serve({ socket, port, key, tokenFile }: OldPlugin): Promise<void> {
  const token = await readFile(tokenFile, 'utf8')
  const vault = new Server('/nonexistent', port, true)
  const ask = async (verb: 'encrypt' | 'decrypt', body: object) =>
    v.parse(answer, await vault.send('POST', `transit/${verb}/${key}`, body, token)).data
  const encrypt = async (plaintext: Uint8Array) => {
    const { ciphertext } = await ask('encrypt', {
      plaintext: Buffer.from(plaintext).toString('base64'),
    })
    return Buffer.from(ciphertext)
  }
  const decrypt = async (ciphertext: Uint8Array) => {
    const { plaintext } = await ask('decrypt', { ciphertext: Buffer.from(ciphertext).toString() })
    return Buffer.from(plaintext, 'base64')
  }
  await startFakePlugin({
    path: socket,
    status: (good) => ({ ...good, keyId: '1' }),
    encrypt: async (plaintext) => ({
      ciphertext: await encrypt(plaintext),
      keyId: '1',
      annotations: {},
    }),
    decrypt: ({ ciphertext }) => decrypt(ciphertext),
    v1Encrypt: encrypt,
    v1Decrypt: decrypt,
  })
}
