/** The policy of a config, which the next one takes over where nothing of it has changed. @module */

import type { Clock } from '../base/clock.ts'
import type { EventSink } from '../base/events.ts'
import type { Gate, Operation } from '../base/gate.ts'
import { SEED_BYTES } from '../base/limits.ts'
import { endpointsOf } from '../config/endpoints.ts'
import { claimedFacts } from '../config/policy.ts'
import type { Config } from '../config/schema.ts'
import type { ProviderMonitor } from '../kms/provider_monitor.ts'
import type { Policy } from '../policy/policy.ts'
import { VERSION } from './version.ts'

export interface HeldPolicy {
  readonly madeOf: string
  readonly policy: Policy
}

interface PolicyParts {
  readonly clock: Clock
  readonly events: EventSink
}

/** Undefined, and nothing of it loaded, where a config has no rules and its logins sign no facts. */
export async function policyOf(
  config: Config,
  { clock, events }: PolicyParts,
  before: HeldPolicy | undefined,
): Promise<HeldPolicy | undefined> {
  const claimed = claimedFacts(config).map(({ path }) => path)
  if (config.policy === undefined && claimed.length === 0) return undefined
  const endpoints = endpointsOf(config)
  const sockets = Object.fromEntries(endpoints.map(({ name, socket }) => [name, socket.path]))
  const providers = Object.fromEntries(
    endpoints.map(({ name, providers: used }) => [name, used.map((each) => each.name)]),
  )
  const madeOf = JSON.stringify([config.policy, claimed, sockets, providers])
  if (before?.madeOf === madeOf) return before
  const { makePolicy } = await import('../policy/make.ts')
  const deps = { clock, events, version: VERSION, sockets, providers, claimed }
  return { madeOf, policy: await makePolicy(config.policy, deps) }
}

/**
 * What the gate of an endpoint would say to its API servers now, in words; undefined where it lets
 * them pass.
 *
 * @param need how many of those that write must open again
 */
export function lockout(
  gate: Gate | undefined,
  monitors: readonly ProviderMonitor[],
  need: number,
): string | undefined {
  if (gate === undefined) return undefined
  const writers = monitors.filter(({ writes }) => writes)
  const refusals = (operation: Operation) =>
    writers.flatMap(({ batched, observation }) => {
      const keyVersion = observation.known?.member?.version ?? ''
      const use = { operation, api: 'v2', provider: batched.name, keyVersion } as const
      return gate.refusal({ ...use, size: SEED_BYTES }) ?? []
    })
  const [write] = refusals('encrypt')
  const reads = refusals('decrypt')
  const isOpen = writers.length - reads.length >= need
  return (write ?? (isOpen ? undefined : reads[0]))?.message
}
