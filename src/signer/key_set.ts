/**
 * Which version signs at a moment, and which are published (docs/signer.md, "Rotation"). A version
 * is published from the moment when it is known, and signs once it is older than the activation
 * delay, by the key service's own clock: so all nodes switch together, and by then everybody has
 * had the time to fetch it. An older one stays published until the last token that it may have
 * signed has ended.
 *
 * @module
 */

import { ripest } from '../base/activation.ts'

export interface KnownVersion {
  /** The source that it is of; the config may have named another one before. */
  readonly sourceId: string
  readonly label: string
  /** Seconds since the epoch by the service's clock. */
  readonly createdAt: number
  readonly kid: string
  /** The longest life that a token may have which it signed, in milliseconds. */
  readonly longestLifeMs: number
  /** When it stopped signing, in milliseconds since the epoch by the service's clock. */
  readonly supersededAt?: number | undefined
  /** False where the source does not have it any more; where absent, nobody has asked yet. */
  readonly present?: boolean | undefined
  /** False where the source lets it sign no more. */
  readonly maySign?: boolean | undefined
}

export interface KeySetRules {
  /** The source that signs. */
  readonly sourceId: string
  readonly activationDelayMs: number
}

interface KeySet<Version> {
  /** Undefined where none may sign. */
  readonly signing: Version | undefined
  /** A newer one that waits. */
  readonly pending: Version | undefined
  /** In milliseconds; undefined where none waits. */
  readonly switchInMs: number | undefined
  /** The one that signs first. */
  readonly published: readonly Version[]
}

/** Tokens are checked by other clocks than the one that said when a version stopped signing. */
export const MARGIN_MS = 3_600_000

/**
 * @param known oldest first
 * @param now the service's time in milliseconds since the epoch
 */
export function keySetAt<Version extends KnownVersion>(
  known: readonly Version[],
  now: number,
  rules: KeySetRules,
): KeySet<Version> {
  const own = known.filter(({ sourceId }) => sourceId === rules.sourceId)
  // One that is gone counts: others may sign in its place only where somebody decided it.
  const able = own.filter(({ maySign }) => maySign !== false)
  const { active, pending, switchInMs } = ripest(able, now, rules.activationDelayMs)
  const others = known.filter((each) => each !== active && !hasEnded(each, now))
  const published = [...(active === undefined ? [] : [active]), ...others]
  return { signing: active, pending, switchInMs, published: oncePerKid(published) }
}

/** Whether no token that it signed can still be good. */
export function hasEnded({ supersededAt, longestLifeMs }: KnownVersion, now: number): boolean {
  return supersededAt !== undefined && now > supersededAt + longestLifeMs + MARGIN_MS
}

/** The same key may be a version of two sources, such as one that was imported. */
function oncePerKid<Version extends KnownVersion>(versions: readonly Version[]): Version[] {
  return [...new Map(versions.toReversed().map((each) => [each.kid, each])).values()].toReversed()
}
