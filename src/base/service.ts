/**
 * The interface between the gRPC handlers and the domain: three operations with plain types.
 *
 * @module
 */

import type { KmsApi } from './events.ts'
import type { Call } from './provider.ts'

export interface KmsService {
  /**
   * The key id that the next Encrypt will use, from memory and at once (rules S8, S12).
   *
   * @throws KmsError when writes must stop (rule S6)
   */
  status(): string
  encrypt(request: EncryptRequest, call: Call): Promise<EncryptReply>
  decrypt(request: DecryptRequest, call: Call): Promise<Uint8Array>
}

export interface EncryptRequest {
  readonly api: KmsApi
  readonly plaintext: Uint8Array
}

export interface EncryptReply {
  readonly ciphertext: Uint8Array
  readonly keyId: string
  readonly annotations: Readonly<Record<string, Uint8Array>>
}

export interface DecryptRequest {
  readonly api: KmsApi
  readonly ciphertext: Uint8Array
  /** As the API server stored it; v1beta1 stores none. */
  readonly keyId: string | undefined
  readonly annotations: Readonly<Record<string, Uint8Array>>
}
