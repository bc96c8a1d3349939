/**
 * Decides which version of a key encrypts (docs/operations.md, "Rotating the key"), and how the
 * versions that a service tells follow those that were seen before.
 *
 * @module
 */

import { ripest } from '../base/activation.ts'
import type { KeyState, KeyVersion } from '../base/provider.ts'

/**
 * @param now the service's time in milliseconds since the epoch
 */
export function activation(state: KeyState, now: number, delayMs: number) {
  const usable = state.versions.filter(({ mayEncrypt, mayDecrypt }) => mayEncrypt && mayDecrypt)
  return ripest(usable, now, delayMs)
}

/** True where a version claims to be made later than the service's own time allows. */
export function fromTheFuture(
  { createdAt }: KeyVersion,
  now: number,
  toleranceMs: number,
): boolean {
  return createdAt * 1000 > now + toleranceMs
}

/** The part of a key version that outlives a restart. */
export type SeenVersion = Pick<KeyVersion, 'label' | 'createdAt'>

type Succession = 'same' | 'newer' | 'lagging' | 'recreated'

/**
 * How `next` follows what was `seen` before, both oldest first. The newest version gone while
 * nothing newer came is a lagging replica or a restored backup; another creation time under a known
 * label means that the key was deleted and made again. Services hide old versions, so missing *old*
 * ones say nothing.
 */
export function succession(
  seen: readonly SeenVersion[],
  next: readonly NamedVersion[],
): Succession {
  const before = new Map(seen.map(({ label, createdAt }) => [label, createdAt]))
  const recreated = next.some((version) =>
    namesOf(version).some((name) => (before.get(name) ?? version.createdAt) !== version.createdAt),
  )
  if (recreated) return 'recreated'
  const newestSeen = seen.at(-1)
  const newest = next.at(-1)
  if (newest === undefined || newestSeen === undefined) return seen.length > 0 ? 'lagging' : 'newer'
  const kept = next.some((version) => namesOf(version).includes(newestSeen.label))
  if (!kept && newest.createdAt <= newestSeen.createdAt) return 'lagging'
  return newest.label === newestSeen.label ? 'same' : 'newer'
}

type NamedVersion = SeenVersion & Pick<KeyVersion, 'otherLabel'>

function namesOf({ label, otherLabel }: NamedVersion): string[] {
  return otherLabel === undefined ? [label] : [label, otherLabel]
}
