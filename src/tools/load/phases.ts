/**
 * What a load generator asks of any plugin, phase by phase: calls of one caller, of many, and those
 * of an API server that starts.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { randomBytes, randomUUID } from 'node:crypto'
import { SEED_BYTES } from '../../base/limits.ts'
import type { KmsClient } from '../../grpc/client.ts'
import { type Call, WrongAnswer } from './run_load.ts'

export const APIS = ['v2', 'v1beta1'] as const
export type Api = (typeof APIS)[number]

export interface Phase {
  readonly name: string
  readonly title: string
  /** How many calls one caller makes at the same moment. */
  readonly together: number
  /** True for one caller alone, whatever concurrency was asked for. */
  readonly alone: boolean
  /** Whether the key service may have to answer, too. */
  readonly remote: boolean
  /** Returns no calls where there is nothing to decrypt. */
  readonly next: () => readonly Call[]
}

/**
 * A starting API server asks about this many times for each seed, all at once, and merges nothing.
 */
const RESTART_COPIES = 7
/** More than are ever under way, so that two callers do not decrypt the same by chance. */
const KEPT = 4_096

interface Made {
  readonly plaintext: Uint8Array
  readonly open: () => Promise<Uint8Array>
}

export function phasesOf(client: KmsClient, api: Api): readonly Phase[] {
  const asked = api === 'v2' ? v2(client) : v1(client)
  const made: Made[] = []
  let encrypted = 0
  let turn = 0
  const encrypt: Call = async () => {
    const plaintext = randomBytes(SEED_BYTES)
    const open = await asked.encrypt(plaintext)
    made[encrypted++ % KEPT] = { plaintext, open }
  }
  const decrypts = (copies: number) => (): Call[] => {
    const one = made[turn++ % made.length]
    return one === undefined ? [] : Array.from({ length: copies }, () => () => opened(one))
  }
  const once = { together: 1, alone: false, remote: true } as const
  return [
    { ...once, name: 'status', title: asked.title, remote: false, next: () => [asked.status] },
    {
      ...once,
      name: 'encrypt-alone',
      title: 'Encrypt, one caller',
      alone: true,
      next: () => [encrypt],
    },
    {
      ...once,
      name: 'decrypt-alone',
      title: 'Decrypt, one caller',
      alone: true,
      next: decrypts(1),
    },
    { ...once, name: 'encrypt', title: 'Encrypt', next: () => [encrypt] },
    { ...once, name: 'decrypt', title: 'Decrypt', next: decrypts(1) },
    {
      ...once,
      name: 'restart',
      title: `Decrypt, each ${RESTART_COPIES} times at once`,
      together: RESTART_COPIES,
      next: decrypts(RESTART_COPIES),
    },
  ]
}

async function opened({ plaintext, open }: Made): Promise<void> {
  if (Buffer.compare(await open(), plaintext) === 0) return
  throw new WrongAnswer('Decrypt gave something else than was encrypted', { code: 'NOT_EQUAL' })
}

interface Asked {
  readonly title: string
  readonly status: Call
  /** Resolves to a function that decrypts what was encrypted. */
  encrypt(plaintext: Uint8Array): Promise<() => Promise<Uint8Array>>
}

function v2({ v2: client }: KmsClient): Asked {
  const uid = () => `trousseau-bench-${randomUUID()}`
  return {
    title: 'Status',
    status: async () => healthy((await client.status()).healthz === 'ok'),
    encrypt: async (plaintext) => {
      const { ciphertext, keyId, annotations } = await client.encrypt({ plaintext, uid: uid() })
      return async () =>
        (await client.decrypt({ ciphertext, keyId, annotations, uid: uid() })).plaintext
    },
  }
}

function v1({ v1: client }: KmsClient): Asked {
  return {
    title: 'Version',
    status: async () => healthy((await client.version()).version === 'v1beta1'),
    encrypt: async (plaintext) => {
      const { cipher } = await client.encrypt(plaintext)
      return async () => (await client.decrypt(cipher)).plain
    },
  }
}

function healthy(well: boolean): void {
  if (!well) throw new WrongAnswer('The plugin says that it is not well', { code: 'UNHEALTHY' })
}
