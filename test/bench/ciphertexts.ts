/**
 * Ciphertexts that are made in advance, in batches that OpenBao encrypts itself. Thousands of them
 * cost little this way, and the plugin that must decrypt them has never seen them.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import * as v from 'valibot'
import { connectKms } from '../../src/grpc/client.ts'
import {
  ANY,
  decodeEnvelope,
  encodeEnvelope,
  inputsOf,
  sealHeader,
} from '../../src/kms/envelope.ts'
import type { OpenBao, Transit } from '../_lib/services/vault/openbao.ts'

interface Item {
  readonly plaintext: Uint8Array
  readonly associatedData?: Uint8Array
}

/** OpenBao takes at most 1000 strings in a request. */
const BATCH = 128
const TIMEOUT_MS = 10_000
const answer = v.object({
  data: v.object({ batch_results: v.array(v.object({ ciphertext: v.string() })) }),
})

/** The transit engine's own form, `vault:v1:…`. */
export async function transitCiphertexts(
  bao: OpenBao,
  { mount, key }: Transit,
  items: readonly Item[],
): Promise<string[]> {
  const ciphertexts: string[] = []
  for (let at = 0; at < items.length; at += BATCH) {
    const batch_input = items.slice(at, at + BATCH).map(({ plaintext, associatedData }) => ({
      plaintext: base64(plaintext),
      ...(associatedData === undefined ? {} : { associated_data: base64(associatedData) }),
    }))
    const made = await bao.request('POST', `${mount}/encrypt/${key}`, { batch_input })
    for (const { ciphertext } of v.parse(answer, made).data.batch_results) {
      ciphertexts.push(ciphertext)
    }
  }
  return ciphertexts
}

/** What v1beta1's Encrypt of the plugin at `socketPath` would answer for each plaintext. */
export async function v1Ciphertexts(options: {
  readonly socketPath: string
  readonly bao: OpenBao
  readonly transit: Transit
  readonly plaintexts: readonly Uint8Array[]
}): Promise<Uint8Array[]> {
  const { socketPath, bao, transit, plaintexts } = options
  const inputs = inputsOf(ANY, await membersOf(socketPath))
  const items = plaintexts.map((plaintext) => {
    const header = sealHeader(inputs, randomBytes)
    return { plaintext, associatedData: header.digest, header }
  })
  const wraps = await transitCiphertexts(bao, transit, items)
  return items.map(({ header }, n) => {
    const [, , text = ''] = (wraps[n] ?? '').split(':')
    return encodeEnvelope(header, [{ member: 0, data: Buffer.from(text, 'base64') }])
  })
}

/** As one ciphertext of the plugin's own names them. */
async function membersOf(socketPath: string) {
  const client = connectKms(socketPath, { timeoutMs: TIMEOUT_MS })
  try {
    const { cipher } = await client.v1.encrypt(randomBytes(1))
    return decodeEnvelope(cipher).members
  } finally {
    client.close()
  }
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64')
}
