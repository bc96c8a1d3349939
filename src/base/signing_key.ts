/**
 * The seams of the signer of ServiceAccount tokens: what gRPC asks of the domain, and what the
 * domain asks of whoever keeps the key (docs/signer.md).
 *
 * @module
 */

import type { Call, Outcome } from './provider.ts'

/** Those that API servers accept. */
export type SigningAlgorithm = 'RS256' | 'ES256' | 'ES384' | 'ES512'

/** The hash that an algorithm signs. */
export const HASH_OF = {
  RS256: 'sha256',
  ES256: 'sha256',
  ES384: 'sha384',
  ES512: 'sha512',
} as const satisfies Record<SigningAlgorithm, string>

/** One key with its versions, of a key service or a file. */
export interface SigningKeySource {
  /** Stays the same for one key, whatever its address becomes. */
  readonly id: string
  /** How many inputs are worth sending at once; 1 where there are no batches. */
  readonly batchItems: number
  /** All versions that the source has now. */
  publicKeys(call: Call): Promise<PublicVersions>
  /** Signs each input under `version`; results stand in the order of the inputs. */
  sign(request: SignRequest, call: Call): Promise<readonly Outcome<Uint8Array>[]>
  /** For logs; never a secret. */
  describe(): string
  /** @param limitMs how long leaving may take */
  close(limitMs?: number): Promise<void>
}

export interface SignRequest {
  readonly version: string
  readonly algorithm: SigningAlgorithm
  /** Header and claims of a token, joined by a dot. */
  readonly inputs: readonly Uint8Array[]
}

export interface PublicVersions {
  /** Oldest first. */
  readonly versions: readonly PublicVersion[]
  /** The service's own clock when it answered, in milliseconds since the epoch, where it tells. */
  readonly serviceTime: number | undefined
}

export interface PublicVersion {
  readonly label: string
  /** Seconds since the epoch by the service's clock. */
  readonly createdAt: number
  /** SubjectPublicKeyInfo, in DER. */
  readonly publicKey: Uint8Array
  /** False for one that the service lets sign no more. */
  readonly maySign: boolean
}

/** What API servers ask for. */
export interface TokenSigner {
  /** @param claims the second segment of the token, in base64url; nobody looks into it */
  sign(claims: string, call: Call): Promise<SignedToken>
  /** From memory; waits only while no key was ever known. */
  fetchKeys(call: Call): Promise<PublishedKeys>
  readonly maxTokenSeconds: number
}

/** The other segments of a token, in base64url. */
interface SignedToken {
  /** The name of the key that signed. */
  readonly kid: string
  readonly header: string
  readonly signature: string
}

export interface PublishedKeys {
  readonly keys: readonly PublishedKey[]
  /** When they were read from where they are kept, in milliseconds since the epoch. */
  readonly readAt: number
  readonly refreshSeconds: number
}

export interface PublishedKey {
  readonly kid: string
  /** SubjectPublicKeyInfo, in DER. */
  readonly spki: Uint8Array
  /** False for one that discovery does not show. */
  readonly inDiscovery: boolean
}
