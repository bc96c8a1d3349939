/** A login key in a TPM, as what signs JWTs. @module */

import { Buffer } from 'node:buffer'
import { verify } from 'node:crypto'
import type { Clock } from '../../base/clock.ts'
import { KmsError } from '../../base/errors.ts'
import type { AssertionKey } from '../assertion.ts'
import { fingerprintOf } from '../secret_file.ts'
import type { TpmKeyConfig } from './config.ts'
import { readTpmKeyFile } from './login_key_file.ts'
import { POLICY_FILE, readPolicyFile } from './policy_file.ts'
import { signInTpm } from './signing.ts'
import { sha256 } from './structures.ts'
import { useTpm } from './use.ts'

const R_AND_S = { dsaEncoding: 'ieee-p1363' } as const

/** @throws KmsError `denied` where the files cannot be used; the TPM is asked when it is to sign */
export async function tpmAssertionKey(
  { keyFile, policyFile, device }: TpmKeyConfig,
  clock: Clock,
): Promise<AssertionKey> {
  const key = await readTpmKeyFile(keyFile)
  if ('pcrs' in key.policy && policyFile !== undefined) {
    throw new KmsError(
      `Login key "${keyFile}" was made for fixed PCRs, and takes no signed policies: leave ${POLICY_FILE} out`,
      { code: 'denied' },
    )
  }
  const policies = policyFile === undefined ? undefined : await readPolicyFile(policyFile)
  return {
    publicKey: key.publicKey,
    algorithm: 'ES256',
    fingerprint: fingerprintOf(key.fingerprint, policies?.text ?? ''),
    async sign({ header, claims }, call) {
      const text = [header, claims].map(encoded).join('.')
      const bytes = Buffer.from(text)
      const signature = await useTpm(device, { clock, call }, (tpm) =>
        signInTpm(tpm, key, policies, sha256(bytes)),
      )
      if (!verify('sha256', bytes, { key: key.publicKey, ...R_AND_S }, signature)) throw wrong()
      return `${text}.${signature.toString('base64url')}`
    },
  }
}

function wrong(): KmsError {
  return new KmsError('The TPM made a signature that its own key does not verify', {
    code: 'protocol',
  })
}

function encoded(part: object): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url')
}
