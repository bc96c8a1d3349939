/**
 * What a source tells of its versions, compared with what was known of them. Tokens that are in use
 * were signed by those that were known, so nothing of them changes silently: a key that is another
 * one under the same version is refused, and a version that is gone too early stays published.
 *
 * @module
 */

import { hasEnded, type KeySetRules, type KnownVersion, keySetAt } from './key_set.ts'

/** A version as the source tells it now. */
type ToldVersion = Pick<KnownVersion, 'label' | 'createdAt' | 'kid' | 'maySign'>

interface Comparison extends KeySetRules {
  /** The service's time in milliseconds since the epoch. */
  readonly now: number
  /** The longest life of the tokens that are signed now. */
  readonly maxTokenLifeMs: number
  /** Names of keys that the operator does not trust any more. */
  readonly distrusted: ReadonlySet<string>
}

interface Compared<Version> {
  readonly known: readonly Version[]
  /** Those that the source should still have. */
  readonly gone: readonly Version[]
  /** Those that are another key than before: nothing was taken up. */
  readonly replaced: readonly Version[]
}

/**
 * @param known oldest first
 * @param told oldest first
 */
export function compared<Version extends KnownVersion, Told extends ToldVersion>(
  known: readonly Version[],
  told: readonly Told[],
  rules: Comparison,
): Compared<(Version | Told) & KnownVersion> {
  const isTrusted = ({ kid }: { readonly kid: string }) => !rules.distrusted.has(kid)
  const before = known.filter(isTrusted)
  const [own, others] = parted(before, ({ sourceId }) => sourceId === rules.sourceId)
  const fresh = told.filter(isTrusted)
  const replaced = own.filter((version) => {
    const now = told.find(({ label }) => label === version.label)
    return now !== undefined && (now.kid !== version.kid || now.createdAt !== version.createdAt)
  })
  if (replaced.length > 0) return { known: before, gone: [], replaced }
  const missing = own
    .filter(({ label }) => !fresh.some((each) => each.label === label))
    .map((version) => ({ ...version, present: false }))
  const current = fresh.map((each) => {
    const seen = own.find(({ label }) => label === each.label)
    const longestLifeMs = seen?.longestLifeMs ?? rules.maxTokenLifeMs
    const { sourceId } = rules
    const { supersededAt } = seen ?? {}
    return { ...each, sourceId, longestLifeMs, supersededAt, present: true }
  })
  const inOrder = [...missing, ...current].toSorted((a, b) => a.createdAt - b.createdAt)
  const all = [...others.map((each) => ofBefore(each, rules.now)), ...inOrder]
  const kept = dated(all, rules).filter(
    (version) => version.present === true || !hasEnded(version, rules.now),
  )
  return { known: kept, gone: kept.filter(({ present }) => present === false), replaced: [] }
}

/** A version of another source has signed until the config named this one. */
function ofBefore<Version extends KnownVersion>(version: Version, now: number): Version {
  return { ...version, supersededAt: version.supersededAt ?? now, present: undefined }
}

/** Writes down when each stopped signing, and for how long its tokens live. */
function dated<Version extends KnownVersion>(
  versions: readonly Version[],
  rules: Comparison,
): Version[] {
  const { signing } = keySetAt(versions, rules.now, rules)
  return versions.map((version) => {
    if (version.sourceId !== rules.sourceId) return version
    const since = version === signing ? undefined : supersededAt(version, versions, rules)
    // While it signs, or has yet to, its tokens live as long as the config says.
    const longestLifeMs =
      since === undefined
        ? Math.max(version.longestLifeMs, rules.maxTokenLifeMs)
        : version.longestLifeMs
    return { ...version, supersededAt: since, longestLifeMs }
  })
}

/** When the first of the later ones took over; undefined where none has. */
function supersededAt<Version extends KnownVersion>(
  version: Version,
  versions: readonly Version[],
  { now, activationDelayMs, sourceId }: Comparison,
): number | undefined {
  const later = versions
    .slice(versions.indexOf(version) + 1)
    .filter((each) => each.sourceId === sourceId && each.maySign !== false)
    .map(({ createdAt }) => createdAt * 1000 + activationDelayMs)
    .filter((at) => at <= now)
  if (later.length === 0) return undefined
  // Another delay in the config does not change what has been.
  return version.supersededAt ?? Math.min(...later)
}

function parted<T>(items: readonly T[], isFirst: (item: T) => boolean): [T[], T[]] {
  return [items.filter(isFirst), items.filter((item) => !isFirst(item))]
}
