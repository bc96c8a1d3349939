/**
 * Which of the versions of a key is used: the newest that is old enough for every node to know it,
 * by the service's own clock, so that all nodes switch together with no coordination.
 *
 * @module
 */

/** Seconds since the epoch by the service's clock. */
type Made = { readonly createdAt: number }

interface Ripeness<Version> {
  /** Undefined where there is no version. */
  readonly active: Version | undefined
  /** A newer version that is still too young. */
  readonly pending: Version | undefined
  /** How long until `pending` becomes active, in milliseconds; undefined where nothing is pending. */
  readonly switchInMs: number | undefined
}

/**
 * @param versions those that may be used, oldest first; where all are too young, the oldest is used
 * @param now the service's time in milliseconds since the epoch
 */
export function ripest<Version extends Made>(
  versions: readonly Version[],
  now: number,
  delayMs: number,
): Ripeness<Version> {
  const ripe = versions.filter((version) => ripeInMs(version, now, delayMs) <= 0)
  const active = ripe.at(-1) ?? versions.at(0)
  const pending = active === undefined ? undefined : versions[versions.indexOf(active) + 1]
  return {
    active,
    pending,
    switchInMs: pending === undefined ? undefined : Math.max(ripeInMs(pending, now, delayMs), 0),
  }
}

/** A creation time in the future counts as now: the delay begins when that time has come. */
function ripeInMs({ createdAt }: Made, now: number, delayMs: number): number {
  return Math.min(createdAt * 1000, now) + delayMs - now
}
