/**
 * Does what Trousseau 1.x did between an API server and Vault, as far as etcd shows it: KMS v1
 * alone, the plain transit ciphertext, and its bug with a static token, which returned an empty
 * ciphertext as a success when Vault refused.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import * as v from 'valibot'
import { startFakePlugin } from '../_lib/grpc/fake_plugin.ts'
import type { Transit } from '../_lib/services/vault/openbao.ts'

const answer = v.object({
  data: v.object({ ciphertext: v.optional(v.string()), plaintext: v.optional(v.string()) }),
})

export interface Trousseau1 extends AsyncDisposable {
  /** Puts a new token into its config, which nothing else does. */
  login(): Promise<void>
}

/** @param path of its socket */
export async function startTrousseau1(path: string, transit: Transit): Promise<Trousseau1> {
  const { address } = transit.provider
  let token = await transit.login()
  /** An empty text where Vault refuses, as with `token:` in its config. */
  const ask = async (operation: 'encrypt' | 'decrypt', body: object) => {
    const url = `${String(address)}/v1/${transit.mount}/${operation}/${transit.key}`
    const headers = { 'x-vault-token': token, 'content-type': 'application/json' }
    const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) })
    if (!response.ok) {
      await response.body?.cancel()
      return ''
    }
    const { data } = v.parse(answer, await response.json())
    return data.ciphertext ?? data.plaintext ?? ''
  }
  const plugin = await startFakePlugin({
    path,
    v1Encrypt: async (plain) =>
      Buffer.from(await ask('encrypt', { plaintext: Buffer.from(plain).toString('base64') })),
    v1Decrypt: async (cipher) =>
      Buffer.from(await ask('decrypt', { ciphertext: Buffer.from(cipher).toString() }), 'base64'),
  })
  return {
    async login() {
      token = await transit.login()
    },
    [Symbol.asyncDispose]: () => plugin[Symbol.asyncDispose](),
  }
}
