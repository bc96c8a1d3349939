/**
 * What is made of the observations of an endpoint's providers: the key id that Status
 * shows and Encrypt uses (rule R2). Pure, so that every case can be a line of a table.
 *
 * @module
 */

import type { KmsError } from '../base/errors.ts'
import type { HealthState } from '../base/events.ts'
import { inputsOf } from './envelope.ts'
import { type KeyIdInputs, keyIdOf, type Member, type Scheme } from './key_id.ts'
import { isLost, type Observation, wasAsked } from './observation.ts'
import type { Choice, Writer, WriterRules, WriterSet } from './writers.ts'

export interface Protection extends Scheme, WriterRules {}

/** What every key id of an endpoint is computed from, beside the keys. */
export interface KeyIdRules {
  readonly protection: Protection
  /** Thumbprints of the recovery recipients, sorted. */
  readonly recipients: readonly string[]
}

export interface Observed {
  /** The provider's. */
  readonly id: string
  readonly observation: Observation
}

/** A key id with everything from which it is computed. */
export interface KeySet {
  readonly keyId: string
  readonly inputs: KeyIdInputs
}

/** The last known health; replaced as a whole, never changed. */
export interface HealthView {
  readonly state: HealthState
  readonly active: KeySet | undefined
  /** What v1beta1 wraps with, which needs a key service for every write. */
  readonly v1: KeySet | undefined
  /** Ids of providers that were left out since they were not well. */
  readonly out: ReadonlySet<string>
  /** When the members of `active` last were as they should be, in monotonic milliseconds. */
  readonly lastSuccess: number | undefined
  /** Since when there has been no active set, where there is none, in monotonic milliseconds. */
  readonly absentSince: number
  /** True while a provider is away that the others are about to be used without. */
  readonly othersSuffice: boolean
  readonly error: KmsError | undefined
  /** Since when fewer providers wrap than should, in monotonic milliseconds. */
  readonly degradedSince: number | undefined
}

/** @param now in monotonic milliseconds, here and below */
export function startingView(now: number): HealthView {
  return {
    state: 'starting',
    active: undefined,
    v1: undefined,
    out: new Set(),
    lastSuccess: undefined,
    absentSince: now,
    othersSuffice: false,
    error: undefined,
    degradedSince: undefined,
  }
}

/** The view that an earlier process or config left, whose key id still is to be answered. */
export function resumedView(
  before: HealthView,
  active: KeySet,
  out: ReadonlySet<string>,
  lastSuccess: number,
): HealthView {
  const degradedSince = out.size > 0 ? lastSuccess : undefined
  return { ...before, state: 'held', active, out, lastSuccess, degradedSince }
}

/** Who wraps in the view. */
export function writerSetOf({ active, out }: HealthView): WriterSet {
  return { active: active && new Set(active.inputs.members.map(idOf)), out }
}

/** What the choice of those that wrap is made of. */
export function writersOf(
  writing: readonly Observed[],
  { active }: HealthView,
  now: number,
): readonly Writer[] {
  return writing.map(({ id, observation }) => {
    const { ok, known, since } = observation
    const standing = active?.inputs.members.find(({ providerId }) => providerId === id)
    return {
      id,
      asked: wasAsked(observation),
      ok,
      lost: isLost(observation),
      forMs: now - since,
      mustLeave: standing !== undefined && known?.usable.has(standing.version) === false,
    }
  })
}

/** The view after `choice`, over all that should write. */
export function nextView(
  before: HealthView,
  choice: Choice,
  writing: readonly Observed[],
  rules: KeyIdRules,
  now: number,
): HealthView {
  const next = chosenView(before, choice, writing, rules, now)
  const ended = before.active !== undefined && next.active === undefined
  return ended ? { ...next, absentSince: now } : next
}

function chosenView(
  before: HealthView,
  { verdict, active: ids, out, othersSuffice }: Choice,
  writing: readonly Observed[],
  rules: KeyIdRules,
  now: number,
): HealthView {
  const base = { ...before, out, othersSuffice, error: errorOf(writing) }
  if (verdict === 'settled' && ids !== undefined) {
    const chosen = writing.filter(({ id }) => ids.has(id))
    return settledView(base, chosen, chosen.length === writing.length, rules, now)
  }
  const v1 = verdict === 'lost' ? undefined : readyForV1(writing, before.active, rules)
  if (verdict === 'waiting') return { ...base, state: 'held', v1 }
  const none = { ...base, v1, active: undefined, lastSuccess: undefined }
  if (verdict === 'lost') return { ...none, state: 'failed' }
  // A key that failed counts as failed until it works again, even when it is out of reach later.
  return before.state === 'failed'
    ? { ...none, error: before.error }
    : { ...none, state: 'starting' }
}

/** @param full whether nobody is missing */
function settledView(
  base: HealthView,
  chosen: readonly Observed[],
  full: boolean,
  rules: KeyIdRules,
  now: number,
): HealthView {
  const active = keysOfObserved(chosen, base.active, rules)
  return {
    ...base,
    state: full ? 'ok' : 'degraded',
    active,
    v1: withoutRecipients(active, rules),
    lastSuccess: Math.min(...chosen.map(({ observation }) => observation.lastSuccess ?? 0)),
    degradedSince: full ? undefined : (base.degradedSince ?? now),
  }
}

/** What keeps one that should write from it: first of all what does not pass by waiting. */
function errorOf(writing: readonly Observed[]): KmsError | undefined {
  const unwell =
    writing.find(({ observation }) => isLost(observation)) ??
    writing.find(({ observation }) => !observation.ok)
  return unwell?.observation.error
}

/** v1beta1 needs a key service for every write, so there the others are used at once. */
function readyForV1(
  writing: readonly Observed[],
  active: KeySet | undefined,
  rules: KeyIdRules,
): KeySet | undefined {
  if (!writing.every(({ observation }) => wasAsked(observation))) return undefined
  const ids = active && new Set(active.inputs.members.map(idOf))
  const ready = writing.filter(({ observation }) => observation.ok)
  const steady = ready.filter(({ id }) => ids?.has(id) ?? true)
  const enough = [steady, ready].find(({ length }) => length >= rules.protection.minimum)
  return enough && withoutRecipients(keysOfObserved(enough, active, rules), rules)
}

/** v1beta1 has no annotations, and so no recipients. */
function withoutRecipients(keys: KeySet, { protection }: KeyIdRules): KeySet {
  if (keys.inputs.recipients.length === 0) return keys
  const inputs = inputsOf(protection, keys.inputs.members)
  return { keyId: keyIdOf(inputs), inputs }
}

function keysOfObserved(
  chosen: readonly Observed[],
  current: KeySet | undefined,
  rules: KeyIdRules,
): KeySet {
  const members = chosen.flatMap(({ observation }) => observation.known?.member ?? [])
  const keys = keysOf(members, rules)
  // The same object goes on, with what was derived from it.
  return current?.keyId === keys.keyId ? current : keys
}

export function keysOf(members: readonly Member[], { protection, recipients }: KeyIdRules): KeySet {
  const inputs = inputsOf(protection, members, recipients)
  return { keyId: keyIdOf(inputs), inputs }
}

function idOf({ providerId }: Member): string {
  return providerId
}
