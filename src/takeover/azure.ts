/**
 * Which version of a Key Vault key another plugin used. Its ciphertexts do not say:
 * Azure/kubernetes-kms was started with one version, and under v2 its key id is a digest of that
 * version's URL. So the provider gets a label with what is known, in place of a version, and finds
 * the version itself, since it knows all of them.
 *
 * @module
 */

import { hash } from 'node:crypto'
import type { KmsApi } from '../base/events.ts'

const V1_ALGORITHM = 'RSA1_5'
const V2_ALGORITHM = 'RSA-OAEP-256'
const ANY = '*'
const DIGEST = 'sha256:'

/** `RSA1_5/*` under v1beta1, `RSA-OAEP-256/sha256:…` under v2. */
export function azureVersion(api: KmsApi, keyId: string | undefined): string {
  return api === 'v2' ? `${V2_ALGORITHM}/${DIGEST}${keyId}` : `${V1_ALGORITHM}/${ANY}`
}

/**
 * The versions that {@link azureVersion} can mean, each with its algorithm in front: `RSA1_5/` or
 * `RSA-OAEP-256/` and the version. Under v1beta1 these are all versions, in their order.
 *
 * @param keyUrl the key's URL as the service itself writes it, without a version
 */
export function azureVersions(
  version: string,
  keyUrl: string,
  labels: readonly string[],
): readonly string[] {
  const [algorithm, wanted] = version.split('/')
  return labels
    .filter((label) => wanted === ANY || wanted === DIGEST + digestOf(`${keyUrl}/${label}`))
    .map((label) => `${algorithm}/${label}`)
}

function digestOf(text: string): string {
  return hash('sha256', text, 'hex')
}
