/**
 * Events that report what happened. `observe` makes logs and metrics of them; the code that emits
 * them knows neither.
 *
 * No event may hold key material, tokens, plaintexts, ciphertexts or answers of a service.
 *
 * @module
 */

import type { KmsError, KmsErrorCode } from './errors.ts'
import type { Operation } from './gate.ts'
import type { Notice } from './notices.ts'
import type { BatchRecord, RequestRecord } from './request_record.ts'

export type KmsApi = 'v2' | 'v1beta1'
/**
 * `degraded`: fewer providers wrap than the config says; `held`: some that should wrap
 * are away, and the last key id is still answered.
 */
export type HealthState = 'starting' | 'ok' | 'degraded' | 'held' | 'failed'

/** The name of the endpoint of a plugin that has one socket. */
export const ONLY_ENDPOINT = 'default'

export type HedgeReason = 'slow' | 'failed'

/** The service's own, an authority that may vouch for it, or this node's. */
export type CertificateKind = 'server' | 'authority' | 'client'

export type KmsEvent =
  | {
      readonly type: 'request'
      readonly endpoint?: string | undefined
      /** `externaljwt` is that of the signer of ServiceAccount tokens. */
      readonly api: KmsApi | 'externaljwt'
      readonly method:
        | ('Status' | 'Version' | 'Encrypt' | 'Decrypt')
        | ('Sign' | 'FetchKeys' | 'Metadata')
      /** The API server's id of the request; v1beta1 has none. */
      readonly uid?: string | undefined
      readonly code: KmsErrorCode | 'ok'
      readonly durationMs: number
      /** `sha256:` and hex, as in the API server's own metrics. */
      readonly keyIdHash?: string | undefined
      readonly error?: KmsError | undefined
      /** Where the audit stream or traces want it. */
      readonly record?: RequestRecord | undefined
    }
  | {
      readonly type: 'provider_call'
      readonly provider: string
      readonly operation: 'key_state' | 'wrap' | 'unwrap' | 'sign'
      readonly items: number
      readonly code: KmsErrorCode | 'ok'
      readonly durationMs: number
      /** The requests that it was made for, where they have a record. */
      readonly batch?: BatchRecord | undefined
    }
  | {
      /** An unwrap that is not sent, because the answer of an equal one that is under way serves it. */
      readonly type: 'coalesced'
      readonly provider: string
    }
  | {
      /** A provider is asked for an unwrap in addition to others. */
      readonly type: 'hedge'
      readonly provider: string
      /** Of one that was asked before it. */
      readonly reason: HedgeReason
    }
  | {
      /** The log left out lines. */
      readonly type: 'log_loss'
      /** Held back because equal ones came before, or dropped because nobody took them. */
      readonly fate: 'held' | 'dropped'
      readonly lines: number
    }
  | {
      /** What became of spans. */
      readonly type: 'trace_spans'
      readonly outcome: 'sent' | 'dropped'
      readonly spans: number
    }
  | {
      /** Records of the audit stream that were written, or lost because nobody took them. */
      readonly type: 'audit_records'
      readonly outcome: 'written' | 'lost'
      readonly records: number
    }
  | {
      /** Emitted after each observation of a provider of the endpoint. */
      readonly type: 'health'
      readonly endpoint?: string | undefined
      readonly state: HealthState
      /** What it was before this round. */
      readonly previous: HealthState
      readonly keyId: string | undefined
      readonly error?: KmsError | undefined
      /** How much longer Status keeps answering the last key id; absent unless `state` is `held`. */
      readonly holdLeftMs?: number | undefined
      /** Since when fewer providers wrap than the config says, in milliseconds since the epoch. */
      readonly degradedSince?: number | undefined
      /** Why the key id is what it is, in a sentence. */
      readonly why?: string | undefined
      readonly providers: readonly ProviderHealth[]
    }
  | SignerEvent
  | {
      readonly type: 'key_id'
      readonly endpoint?: string | undefined
      readonly keyId: string
      readonly previous: string | undefined
    }
  | {
      /** A login or a renewal, done or failed. */
      readonly type: 'token'
      readonly provider: string
      readonly action: 'login' | 'renew'
      readonly method: string
      readonly code: KmsErrorCode | 'ok'
      /** Life of the token in seconds; 0 for one that does not expire. */
      readonly ttlSeconds?: number | undefined
      readonly error?: KmsError | undefined
    }
  | {
      /** A certificate that TLS to a key service depends on; emitted again every day. */
      readonly type: 'certificate'
      readonly provider: string
      readonly kind: CertificateKind
      /** Milliseconds since the epoch. */
      readonly notAfter: number
      /** Time to renew it. */
      readonly near: boolean
    }
  | {
      /** A request for which a rule did not pass. */
      readonly type: 'policy'
      readonly endpoint?: string | undefined
      readonly rule: string
      readonly mode: RuleMode
      readonly outcome: RuleOutcome
      readonly operation: Operation
      readonly provider: string
      readonly message: string
    }
  | {
      /** What the rules say now, where that is not what they said before. */
      readonly type: 'policy_state'
      readonly rules: readonly RuleState[]
      /** What lifts rules now; `until` in milliseconds since the epoch. */
      readonly waiver: WaiverInForce | undefined
    }
  | Notice

/** How the signer of ServiceAccount tokens stands, after each look at its key. */
export interface SignerEvent {
  readonly type: 'signer'
  /** Whether the key is as it should be, and can be reached. */
  readonly ok: boolean
  readonly error?: KmsError | undefined
  /** Of the key that signs. */
  readonly kid: string | undefined
  readonly version: string | undefined
  readonly algorithm: string | undefined
  /** A newer version that waits for its activation delay. */
  readonly pendingVersion: string | undefined
  /** When it signs, in milliseconds since the epoch. */
  readonly switchAt: number | undefined
  /** How many versions are published. */
  readonly published: number
  /** When the key was read last where it is kept, in milliseconds since the epoch; 0 for never. */
  readonly readAt: number
  /** Whether it says something else than the one before. */
  readonly changed: boolean
}

/** What is counted alone, and never a line of the log. */
export type CountedEvent = 'log_loss' | 'trace_spans' | 'audit_records'

type RuleMode = 'enforce' | 'audit'
/**
 * `undecided`: it gave neither true nor false, and its config lets that pass; `waived`: it would
 * have refused, and a waiver lifts it.
 */
export type RuleOutcome = 'refused' | 'would_refuse' | 'undecided' | 'waived'

export interface RuleState {
  readonly name: string
  readonly mode: RuleMode
  readonly guards: readonly Operation[]
  /** As the outcomes; `by_request`: it depends on the request too. */
  readonly state: 'passes' | 'refuses' | 'undecided' | 'waived' | 'by_request'
  readonly message?: string
}

interface WaiverInForce {
  readonly id: string
  readonly who: string
  readonly why: string
  readonly until: number
}

export interface ProviderHealth {
  readonly name: string
  readonly id: string
  readonly type: string
  readonly ok: boolean
  readonly error?: KmsError | undefined
  /** The version that Encrypt names, once known. */
  readonly activeVersion: string | undefined
  /** A newer version that waits for its activation delay. */
  readonly pendingVersion: string | undefined
  /** When `pendingVersion` becomes active, in milliseconds since the epoch. */
  readonly switchAt: number | undefined
  readonly versions: number
  /** The versions, oldest first; `createdAt` in seconds since the epoch. */
  readonly keyVersions?: readonly { readonly label: string; readonly createdAt: number }[]
  /** Which key material encrypts now, where the service picks it itself and tells. */
  readonly material?: string | undefined
  /** What an operator should know of how the key is used now, in a sentence. */
  readonly note?: string | undefined
  /** Whether it wraps what is written now. */
  readonly role?: ProviderRole
  /**
   * The earliest time at which it wraps again, if it was left out and is healthy, or from which the
   * config lets it write.
   */
  readonly joinsAt?: number | undefined
  /** Since when it has been ok, or has not been, in milliseconds since the epoch. */
  readonly since?: number
  /** What an unwrap typically takes, in milliseconds. */
  readonly latencyMs?: number | undefined
}

/**
 * `writes`: it wraps; `left_out`: it should wrap but does not, because it was not healthy;
 * `waiting`: the config lets it write later; `reads`: it only unwraps.
 */
export type ProviderRole = 'writes' | 'left_out' | 'waiting' | 'reads'

export interface EventSink {
  emit(event: KmsEvent): void
}
