/**
 * The interface between the keyring and the key services (docs/architecture.md, "Rooms"). A
 * provider holds one key of one service; it knows nothing of gRPC, key ids or other providers.
 *
 * @module
 */

import type { KmsError } from './errors.ts'
import type { RequestRecord } from './request_record.ts'

export interface Provider {
  /** Stays the same for one key, whatever its address or label becomes (rule R8). */
  readonly id: string
  readonly limits: WrapLimits
  /** What the service says of the key now. */
  keyState(call: Call): Promise<KeyState>
  /** Encrypts each item under `version`; results stand in the order of the items. */
  wrap(
    version: string,
    items: readonly Plain[],
    call: Call,
  ): Promise<readonly Outcome<Uint8Array>[]>
  /** Decrypts each item; results stand in the order of the items. */
  unwrap(items: readonly Wrapped[], call: Call): Promise<readonly Outcome<Uint8Array>[]>
  /** For logs, metrics and doctor; never a secret. */
  describe(): ProviderDescription
  /**
   * What an operator should know of the key and of what this login may do, found without
   * changing anything and without seeing key material; for doctor.
   */
  examine?(call: Call): Promise<readonly Remark[]>
  /**
   * Ends timers and connections. Calls under way may fail.
   *
   * @param limitMs how long leaving may take, such as giving a token back
   */
  close(limitMs?: number): Promise<void>
}

export interface WrapLimits {
  /** The longest plaintext that one wrap takes. */
  readonly plaintextBytes: number
  /** How much longer than its plaintext a wrap can be. */
  readonly overheadBytes: number
  /** How many items are worth sending at once; 1 where the service has no batches. */
  readonly batchItems: number
}

interface ProviderDescription {
  readonly type: string
  /** Where the key is, for people: `transit/k8s-etcd at https://vault.example.org:8200`. */
  readonly key: string
}

/** Something that works, and that an operator may want to change. */
export interface Remark {
  /** Stable, for scripts: `key-deletable`. */
  readonly id: string
  readonly level: 'notice' | 'warning' | 'error'
  readonly what: string
  readonly why: string
  readonly todo: string
}

/** The same of a node, or that something there is well. */
export type NodeRemark =
  | Remark
  | { readonly id: string; readonly level: 'ok'; readonly what: string }

/** One item's result: a bad item never fails its neighbours. A rejection means that the whole batch failed. */
export type Outcome<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: KmsError }

export interface Plain {
  readonly plaintext: Uint8Array
  /** Digest of the envelope's header; the service refuses the wrap under any other. */
  readonly associatedData: Uint8Array
}

export interface Wrapped {
  readonly version: string
  readonly bytes: Uint8Array
  /** Undefined for what another plugin wrapped: it bound nothing, or only what the provider's config says. */
  readonly associatedData: Uint8Array | undefined
}

export interface KeyState {
  /** False where the service picks the key material itself (AWS): `versions` then has the key as its only one. */
  readonly selectable: boolean
  /** Oldest first, as far back as the service tells. */
  readonly versions: readonly KeyVersion[]
  /** The service's own clock when it answered, in milliseconds since the epoch, where it tells. */
  readonly serviceTime: number | undefined
  /** Which key material encrypts now, where the service picks it itself and tells; for people only. */
  readonly material?: string | undefined
  /** What an operator should know of how the key is used now, in a sentence; for people only. */
  readonly note?: string | undefined
}

export interface KeyVersion {
  readonly label: string
  /** What the same version is called when its service binds in another way. */
  readonly otherLabel?: string | undefined
  /** Seconds since the epoch by the service's clock. */
  readonly createdAt: number
  readonly mayEncrypt: boolean
  readonly mayDecrypt: boolean
}

/** Facts about one request that travel with it. */
export interface Call {
  /** Fires when the caller gave up or the time limit passed; its reason is a {@link KmsError}. */
  readonly signal: AbortSignal
  /** When the time limit passes, in `Clock.monotonic` milliseconds. */
  readonly deadline: number
  /** Whoever makes another call of this one for the same request hands it on. */
  readonly record?: RequestRecord | undefined
}
