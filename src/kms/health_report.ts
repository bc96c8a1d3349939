/**
 * Describes an endpoint's health: each provider's part in what is written now, and why the key id
 * is what it is.
 *
 * @module
 */

import type { Clock } from '../base/clock.ts'
import type { HealthState, KmsEvent, ProviderHealth, ProviderRole } from '../base/events.ts'
import type { HealthView } from './health_view.ts'
import type { KeyIdInputs } from './key_id.ts'
import type { ProviderMonitor } from './provider_monitor.ts'
import type { WriterRules } from './writers.ts'

interface ReportedEndpoint {
  readonly name: string
  readonly monitors: readonly ProviderMonitor[]
  readonly protection: WriterRules
}

/** What is told after each decision over an endpoint. */
export function healthEvent(
  { name: endpoint, monitors, protection }: ReportedEndpoint,
  view: HealthView,
  previous: HealthState,
  holdLeftMs: number | undefined,
  clock: Clock,
): KmsEvent {
  const { state, active, error, degradedSince } = view
  const providers = monitors.map((monitor) => providerHealth(monitor, view, protection, clock))
  return {
    type: 'health',
    endpoint,
    state,
    previous,
    keyId: active?.keyId,
    error: state === 'ok' ? undefined : error,
    holdLeftMs,
    degradedSince:
      degradedSince === undefined ? undefined : clock.now() - (clock.monotonic() - degradedSince),
    why: saidOfWriters(active?.inputs, providers),
    providers,
  }
}

function providerHealth(
  monitor: ProviderMonitor,
  view: HealthView,
  { returnMs }: WriterRules,
  clock: Clock,
): ProviderHealth {
  const { ok, known, error, since } = monitor.observation
  const { name, provider, latency } = monitor.batched
  // A moment of the monotonic clock as one of this node's calendar.
  const shift = clock.now() - clock.monotonic()
  const role = roleOf(monitor, view)
  const switchInMs = known?.switchInMs
  return {
    name,
    id: monitor.id,
    type: provider.describe().type,
    ok,
    error,
    activeVersion: known?.member?.version,
    pendingVersion: known?.pendingVersion,
    switchAt:
      switchInMs === undefined
        ? undefined
        : (monitor.observation.lastSuccess ?? since) + shift + switchInMs,
    versions: known?.seen.length ?? 0,
    keyVersions: known?.seen ?? [],
    material: known?.material,
    note: known?.note,
    role,
    joinsAt: joinsAt(monitor, role, { returnMs, shift }),
    since: since + shift,
    latencyMs: latency.typical,
  }
}

function roleOf(monitor: ProviderMonitor, { active, out }: HealthView): ProviderRole {
  if (active?.inputs.members.some(({ providerId }) => providerId === monitor.id)) return 'writes'
  if (monitor.writesInMs === undefined) return 'reads'
  if (monitor.writes && out.has(monitor.id)) return 'left_out'
  return 'waiting'
}

function joinsAt(
  monitor: ProviderMonitor,
  role: ProviderRole,
  { returnMs, shift }: { readonly returnMs: number; readonly shift: number },
): number | undefined {
  if (role === 'left_out' && monitor.observation.ok)
    return monitor.observation.since + shift + returnMs
  if (role === 'waiting') return monitor.options.activeFrom
  return undefined
}

/** Such as `any of a (v3), b (v1); without c, which was not well`. */
function saidOfWriters(
  inputs: KeyIdInputs | undefined,
  providers: readonly ProviderHealth[],
): string | undefined {
  if (inputs === undefined) return undefined
  const names = new Map(providers.map(({ id, name }) => [id, name]))
  const members = inputs.members.map(
    ({ providerId, version }) => `${names.get(providerId) ?? providerId} (v${version})`,
  )
  const spread = inputs.scheme === 'any' ? 'any of' : `${inputs.k} of`
  const left = providers.filter(({ role }) => role === 'left_out').map(({ name }) => name)
  const later = providers.filter(({ role }) => role === 'waiting').map(({ name }) => name)
  return [
    `${spread} ${members.join(', ')}`,
    left.length > 0 ? `without ${left.join(', ')}, left out as not well` : '',
    later.length > 0 ? `${later.join(', ')} not yet` : '',
    inputs.recipients.length > 0 ? `and ${inputs.recipients.length} recovery recipients` : '',
  ]
    .filter((part) => part !== '')
    .join('; ')
}
