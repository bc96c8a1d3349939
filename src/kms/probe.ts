/**
 * One probe of one provider: the key's versions, which of them encrypts now, and a round trip under
 * it that proves that wraps open and are bound (rule S14: the API server itself never tests Decrypt
 * while it runs). A provider that is only read is asked for its key alone, since its credentials
 * may allow no more.
 *
 * @module
 */

import type { Clock } from '../base/clock.ts'
import { KmsError } from '../base/errors.ts'
import type { EventSink } from '../base/events.ts'
import type { Call, KeyState, KeyVersion } from '../base/provider.ts'
import type { ServiceClock } from '../base/service_clock.ts'
import type { BatchedProvider } from './batched_provider.ts'
import type { Member } from './key_id.ts'
import { activation, fromTheFuture, type SeenVersion, succession } from './rotation.ts'
import { onceMoreIfUnbound, roundTrip } from './round_trip.ts'

interface ProbeDeps {
  readonly clock: Clock
  readonly events: EventSink
  /** Cryptographic randomness. */
  readonly random: (bytes: number) => Uint8Array
  readonly serviceClock: ServiceClock
  readonly activationDelayMs: number
  /** True where nothing is written to the provider any more. */
  readonly readOnly: boolean
}

export interface ProbeResult {
  /** What a key id says of the provider; undefined where it is only read. */
  readonly member: Member | undefined
  readonly seen: readonly SeenVersion[]
  /** Labels of the versions that may encrypt. */
  readonly usable: ReadonlySet<string>
  readonly material: string | undefined
  readonly note: string | undefined
  /** How much later it is by the service's clock than by this node's, in milliseconds. */
  readonly clockAheadMs: number
  readonly pendingVersion: string | undefined
  readonly switchInMs: number | undefined
}

/** Creation times have whole seconds, and so has a `Date` header. */
const CLOCK_TOLERANCE_MS = 2_000

/** @throws KmsError when the key cannot be used to its full extent now */
export function probe(
  batched: BatchedProvider,
  seen: readonly SeenVersion[],
  deps: ProbeDeps,
  call: Call,
): Promise<ProbeResult> {
  return onceMoreIfUnbound(() => probeOnce(batched, seen, deps, call))
}

async function probeOnce(
  batched: BatchedProvider,
  seen: readonly SeenVersion[],
  deps: ProbeDeps,
  call: Call,
): Promise<ProbeResult> {
  const { clock, serviceClock } = deps
  const sentAt = clock.monotonic()
  const state = await batched.keyState(call)
  const { serviceTime } = state
  const now =
    serviceTime === undefined
      ? clock.now()
      : serviceClock.timeAt(serviceTime, sentAt, clock.monotonic())
  checkSuccession(batched, seen, state, now, deps)
  const { active, pending, switchInMs } = activation(state, now, deps.activationDelayMs)
  if (!deps.readOnly) await checkActive(batched, active, deps, call)
  return {
    member:
      deps.readOnly || active === undefined
        ? undefined
        : {
            providerId: batched.provider.id,
            version: active.label,
            createdAt: active.createdAt,
          },
    seen: state.versions.map(({ label, createdAt }) => ({ label, createdAt })),
    usable: new Set(state.versions.flatMap(({ label, mayEncrypt }) => (mayEncrypt ? label : []))),
    material: state.material,
    note: state.note,
    clockAheadMs: now - clock.now(),
    pendingVersion: pending?.label,
    switchInMs,
  }
}

async function checkActive(
  batched: BatchedProvider,
  active: KeyVersion | undefined,
  deps: ProbeDeps,
  call: Call,
): Promise<void> {
  if (active !== undefined) return await roundTrip(batched, active.label, deps.random, call)
  throw new KmsError(
    `Key of provider "${batched.name}" has no version that may both encrypt and decrypt`,
    { code: 'key_unavailable' },
  )
}

function checkSuccession(
  batched: BatchedProvider,
  seen: readonly SeenVersion[],
  state: KeyState,
  now: number,
  { events }: ProbeDeps,
): void {
  // The label is the key then, and only the operator changes that, forwards and back.
  if (!state.selectable) return
  const how = succession(seen, state.versions)
  if (how === 'lagging') {
    throw new KmsError(
      `Provider "${batched.name}" shows an older state of its key than before: version ${seen.at(-1)?.label} is gone; it is a lagging replica or a restored backup`,
      { code: 'unavailable' },
    )
  }
  if (how === 'recreated') {
    const message = `Key of provider "${batched.name}" was deleted and made again: what the old key wrapped is lost there`
    events.emit({ type: 'notice', level: 'error', what: 'key_recreated', message })
  }
  if (how === 'same') return
  for (const version of state.versions) {
    if (!fromTheFuture(version, now, CLOCK_TOLERANCE_MS)) continue
    const message = `Version ${version.label} of provider "${batched.name}" claims to be made in the future: it waits for that time`
    events.emit({ type: 'notice', level: 'warn', what: 'version_from_the_future', message })
  }
}
