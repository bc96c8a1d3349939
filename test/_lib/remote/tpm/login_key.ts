/** Login keys in a TPM, and what signs with them, for tests. @module */

import { Buffer } from 'node:buffer'
import { generateKeyPairSync, type KeyObject, verify } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { withinLimit } from '../../../../src/base/call.ts'
import { systemClock } from '../../../../src/base/clock.ts'
import { tpmAssertionKey } from '../../../../src/remote/tpm/assertion_key.ts'
import { lookAtTpm } from '../../../../src/remote/tpm/look.ts'
import { makeTpmKey, type WantedPolicy } from '../../../../src/remote/tpm/make.ts'
import { policyFileText, signPolicy } from '../../../../src/remote/tpm/policy_file.ts'
import type { PcrValues } from '../../../../src/remote/tpm/structures.ts'
import { replaceFile } from '../../replace_file.ts'

/** Generous, since the machine may be busy. */
const LIMIT_MS = 60_000

export function policyKey(): { publicKey: KeyObject; privateKey: KeyObject } {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' })
}

/** Makes a key in the TPM and its file. */
export async function writeTpmKey(
  path: string,
  device: string,
  wanted: WantedPolicy,
): Promise<KeyObject> {
  const { text, publicKey } = await withinLimit(systemClock, LIMIT_MS, (call) =>
    makeTpmKey(device, wanted, { clock: systemClock, call }),
  )
  await writeFile(path, text)
  return publicKey
}

export async function pcrsOf(device: string, pcrs: readonly number[]): Promise<PcrValues> {
  const { pcrs: all } = await withinLimit(systemClock, LIMIT_MS, (call) =>
    lookAtTpm(device, { clock: systemClock, call }),
  )
  return new Map([...all].filter(([pcr]) => pcrs.includes(pcr)))
}

/** Signs policies for these states. */
export async function writePolicies(
  path: string,
  key: KeyObject,
  ...states: readonly PcrValues[]
): Promise<void> {
  await replaceFile(path, policyFileText(states.map((pcrs) => signPolicy(pcrs, key))))
}

interface SigningFiles {
  readonly device: string
  readonly keyFile: string
  readonly policyFile?: string
}

/** Has the key sign a JWT. */
export async function signJwt(files: SigningFiles, limitMs = LIMIT_MS): Promise<string> {
  const key = await tpmAssertionKey({ policyFile: undefined, ...files }, systemClock)
  const header = { alg: key.algorithm, typ: 'JWT' }
  return await withinLimit(systemClock, limitMs, (call) =>
    key.sign({ header, claims: { sub: 'cp-1' } }, call),
  )
}

/** Whether a JWT has a good ES256 signature by the key. */
export function isSignedJwt(jwt: string, key: KeyObject): boolean {
  const [header = '', claims = '', signature = ''] = jwt.split('.')
  const text = Buffer.from(`${header}.${claims}`)
  const bytes = Buffer.from(signature, 'base64url')
  return verify('sha256', text, { key, dsaEncoding: 'ieee-p1363' }, bytes)
}
