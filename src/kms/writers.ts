/**
 * Decides which providers wrap now (docs/protection.md, "When a provider is away"). It is a pure
 * function of the observations, so that each case can be tested as a row of a table.
 *
 * @module
 */

/** What is known of a provider that is to write. */
export interface Writer {
  readonly id: string
  /** False until the first answer. */
  readonly asked: boolean
  /** Its key worked when it was last asked. */
  readonly ok: boolean
  /** Not ok for a reason that concerns the key itself and does not pass by waiting. */
  readonly lost: boolean
  /** How long it has been ok, or has not been. */
  readonly forMs: number
  /** The version that it wraps with now may no longer encrypt. */
  readonly mustLeave: boolean
}

export interface WriterRules {
  /** With fewer nothing is written. */
  readonly minimum: number
  /** How long one may be away before the others write without it. */
  readonly holdMs: number
  /** How long one that was left out must be well before it is taken back. */
  readonly returnMs: number
}

export interface WriterSet {
  /** Ids of those that wrap; undefined where there is none yet, or none any more. */
  readonly active: ReadonlySet<string> | undefined
  /** Ids of those that were left out since they were not well. */
  readonly out: ReadonlySet<string>
}

export interface Choice extends WriterSet {
  /**
   * `settled`: the set is as its members are now; `waiting`: it stays as it was, since a
   * member is away; `lost`: nothing may be written any more; `starting`: nothing yet.
   */
  readonly verdict: 'settled' | 'waiting' | 'lost' | 'starting'
  /** True where waiting ends with a smaller set, and not with none. */
  readonly othersSuffice: boolean
  /** When the decision may change although there is no new observation. */
  readonly againInMs: number | undefined
}

/** @param absentMs for how long there has been no active set */
export function chooseWriters(
  writers: readonly Writer[],
  now: WriterSet,
  absentMs: number,
  rules: WriterRules,
): Choice {
  return now.active === undefined
    ? first(writers, absentMs, rules)
    : next(writers, { active: now.active, out: now.out }, rules)
}

function first(writers: readonly Writer[], absentMs: number, rules: WriterRules): Choice {
  const ready = writers.filter(({ ok }) => ok)
  const enough = ready.length >= rules.minimum && writers.every(({ asked }) => asked)
  const missing = writers.filter(({ ok }) => !ok)
  // When a changed config starts the decision again, a provider may have been away for long.
  const given = ({ lost, forMs }: Writer) => lost || forMs >= rules.holdMs
  const inTime = absentMs >= rules.holdMs || missing.every(given)
  if (enough && inTime) return settled(ready, writers, NONE, rules)
  return {
    verdict: 'starting',
    active: undefined,
    out: NONE,
    othersSuffice: enough,
    againInMs: enough ? Math.max(rules.holdMs - absentMs, 0) : undefined,
  }
}

function next(
  writers: readonly Writer[],
  { active, out }: WriterSet & { readonly active: ReadonlySet<string> },
  rules: WriterRules,
): Choice {
  const ready = writers.filter(({ ok }) => ok)
  const current = writers.filter(({ id }) => active.has(id))
  const away = current.filter(({ ok }) => !ok)
  const steady = ready.filter(
    ({ id, forMs }) => active.has(id) || !out.has(id) || forMs >= rules.returnMs,
  )
  const stays = current.length === active.size
  if (stays && away.length === 0) return settled(steady, writers, out, rules)
  const enough = [steady, ready].find(({ length }) => length >= rules.minimum)
  const urgent =
    !stays ||
    away.some(({ lost, forMs }) => lost || forMs >= rules.holdMs) ||
    current.some(({ ok, mustLeave }) => ok && mustLeave)
  if (urgent && enough !== undefined) return settled(enough, writers, out, rules)
  if (away.some(({ lost }) => lost)) {
    return { verdict: 'lost', active: undefined, out, othersSuffice: false, againInMs: undefined }
  }
  const holdsMs = away.map(({ forMs }) => rules.holdMs - forMs)
  return {
    verdict: 'waiting',
    active,
    out,
    othersSuffice: enough !== undefined,
    againInMs: enough === undefined ? undefined : Math.min(...holdsMs),
  }
}

const NONE: ReadonlySet<string> = new Set()

/** @param wasOut those that were left out before */
function settled(
  chosen: readonly Writer[],
  writers: readonly Writer[],
  wasOut: ReadonlySet<string>,
  { returnMs }: WriterRules,
): Choice {
  const active = new Set(chosen.map(({ id }) => id))
  const left = writers.filter(({ id }) => !active.has(id))
  // One that was never asked is not known to be unwell: it joins with its first answer.
  const out = new Set(left.filter(({ id, asked }) => asked || wasOut.has(id)).map(({ id }) => id))
  const returnsMs = left.filter(({ ok }) => ok).map(({ forMs }) => Math.max(returnMs - forMs, 0))
  const againInMs = returnsMs.length === 0 ? undefined : Math.min(...returnsMs)
  return { verdict: 'settled', active, out, othersSuffice: true, againInMs }
}
