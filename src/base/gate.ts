/**
 * The seam between the domain and whoever decides whether a key may be used here and now. Where
 * nothing is configured there is no gate, and nothing on the way of a request.
 *
 * @module
 */

import type { KmsError } from './errors.ts'
import type { KmsApi } from './events.ts'
import type { Call } from './provider.ts'
import type { RequestRecord } from './request_record.ts'

export type Operation = 'encrypt' | 'decrypt'

/** One use of one key. */
export interface KeyUse {
  readonly operation: Operation
  readonly api: KmsApi
  /** The provider's name. */
  readonly provider: string
  readonly keyVersion: string
  /** Bytes of what is to be encrypted or opened. */
  readonly size: number
  /** Of the request; what rules say of it is written down there. */
  readonly record?: RequestRecord | undefined
}

export interface Gate {
  /** Settles when all is known that decides over this use; undefined where it is known already, as nearly always. */
  wait(use: KeyUse, call: Call): Promise<void> | undefined
  /** Why the key may not be used now, from memory; of a request, which is counted. */
  admit(use: KeyUse): KmsError | undefined
  /** The same for Status, which nobody counts. */
  refusal(use: KeyUse): KmsError | undefined
}
