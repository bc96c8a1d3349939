/**
 * The present state as one document. `/statusz` prints it, the status page draws it, and `status`
 * and `top` read it back, so that no two of them can say different things.
 *
 * Names of states, parts and codes are strings here, since a command may ask a plugin of a later
 * version, which has more of them.
 *
 * @module
 */

export interface StatusDocument {
  readonly version: string
  readonly runtime: string
  readonly startedAt: string
  readonly now: string
  readonly endpoints: readonly EndpointReport[]
  readonly providers: readonly ProviderReport[]
  /** Absent without a signer. */
  readonly signer?: SignerReport | undefined
  /** Absent without rules. */
  readonly policy?: PolicyDocument | undefined
  /** The latest first. */
  readonly failures: readonly FailureReport[]
  /** Absent where a plugin of an earlier version was asked. */
  readonly lastHour?: LastHour | undefined
  /** What to type next on the node. */
  readonly next?: NextCommand | undefined
}

/** The key that signs ServiceAccount tokens. */
export interface SignerReport {
  readonly ok: boolean
  readonly error?: Fault | undefined
  readonly kid?: string | undefined
  readonly version?: string | undefined
  readonly algorithm?: string | undefined
  readonly pendingVersion?: string | undefined
  readonly switchAt?: string | undefined
  /** How many versions API servers are given. */
  readonly published: number
  /** When it was read where it is kept. */
  readonly readAt?: string | undefined
}

interface PolicyDocument {
  readonly rules: readonly {
    readonly name: string
    readonly mode: string
    readonly state: string
    readonly message?: string | undefined
  }[]
  readonly waiver?:
    | { readonly id: string; readonly who: string; readonly why: string; readonly until: string }
    | undefined
}

export interface EndpointReport {
  readonly name: string
  readonly state: string
  /** When it came into that state. */
  readonly since?: string | undefined
  readonly keyId?: string | undefined
  readonly why?: string | undefined
  readonly error?: Fault | undefined
  readonly holdLeftMs?: number | undefined
  readonly degradedSince?: string | undefined
  readonly providers: Readonly<Record<string, Part>>
  /** The latest changes of its state, the oldest first. */
  readonly changes: readonly { readonly at: string; readonly state: string }[]
}

interface Part {
  readonly role?: string | undefined
  readonly joinsAt?: string | undefined
}

export interface Fault {
  readonly code: string
  readonly message: string
}

export interface ProviderReport {
  readonly name: string
  readonly type: string
  readonly ok: boolean
  readonly error?: Fault | undefined
  readonly since?: string | undefined
  readonly latencyMs?: number | undefined
  readonly activeVersion?: string | undefined
  readonly pendingVersion?: string | undefined
  readonly switchAt?: string | undefined
  readonly material?: string | undefined
  readonly note?: string | undefined
  readonly keyVersions: readonly { readonly label: string; readonly createdAt: string }[]
  readonly token?: TokenReport | undefined
  /** When each ends, by its kind. */
  readonly certificates: Readonly<Record<string, string>>
  /** What the nodes of the service are, by address; empty where there is one. */
  readonly nodes: Readonly<Record<string, string>>
}

export interface TokenReport {
  readonly method: string
  readonly logins: number
  readonly failedLogins: number
  readonly renewals: number
  readonly failedRenewals: number
  /** Of the token in use; null where it does not expire or does not tell. */
  readonly expiresAt: string | null
  /** How long it lives as a whole. */
  readonly lifeSeconds?: number | undefined
  readonly lastFailure?: (Fault & { readonly at: string }) | undefined
}

/** Failures of one kind and place. */
export interface FailureReport {
  /** `provider NAME`, `endpoint NAME` or `plugin`. */
  readonly where: string
  /** Such as `Encrypt`, `login`, `probe` or the name of a notice. */
  readonly what: string
  readonly code?: string | undefined
  /** The latest one's. */
  readonly message: string
  readonly remedy?: string | undefined
  readonly firstAt: string
  readonly at: string
  readonly count: number
}

/** Minute by minute, the oldest first; all lists have one length. */
export interface LastHour {
  /** When the first of the minutes began. */
  readonly from: string
  /** By the method: requests of API servers. */
  readonly requests: Readonly<Record<string, Series>>
  /** By the provider's name: wraps and unwraps at the key service. */
  readonly providers: Readonly<Record<string, Series>>
}

export interface Series {
  readonly count: readonly number[]
  readonly failed: readonly number[]
  /** Milliseconds, by buckets that grow by two fifths; null for a minute without any. */
  readonly p50Ms: readonly (number | null)[]
  readonly p99Ms: readonly (number | null)[]
}

export interface NextCommand {
  readonly command: string
  readonly why: string
}
