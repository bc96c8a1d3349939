/** Which provider is asked first to open a wrap (docs/protection.md, "Reading"). @module */

import type { Wrapped } from '../base/provider.ts'
import type { Candidate } from './hedge.ts'
import type { ProviderMonitor } from './provider_monitor.ts'

/** Names of providers in the order to ask them, or how that order is found. */
export type DecryptPreference = 'fastest' | 'roundrobin' | readonly string[]

/** A wrap and the provider that may open it. */
export interface Opener {
  readonly monitor: ProviderMonitor
  readonly item: Wrapped
}

/** Until a provider's usual time is known. */
const UNKNOWN_HEDGE_MS = 100
/** With a shorter limit, a busy moment of this process alone would cause a hedged request. */
const MIN_HEDGE_MS = 2
const MAX_HEDGE_MS = 1_000

export class DecryptOrder {
  readonly #preference: DecryptPreference
  #turn = 0

  constructor(preference: DecryptPreference) {
    this.#preference = preference
  }

  /** In the order to ask them. */
  sort(openers: readonly Opener[]): readonly Opener[] {
    if (openers.length < 2) return openers
    const well = openers.filter(({ monitor }) => monitor.observation.ok)
    const unwell = openers.filter(({ monitor }) => !monitor.observation.ok)
    return [...this.#sorted(well), ...this.#sorted(unwell)]
  }

  #sorted(openers: readonly Opener[]): readonly Opener[] {
    const preference = this.#preference
    if (preference === 'roundrobin') {
      if (openers.length === 0) return openers
      this.#turn = (this.#turn + 1) % openers.length
      return [...openers.slice(this.#turn), ...openers.slice(0, this.#turn)]
    }
    if (preference === 'fastest') return openers.toSorted((a, b) => typical(a) - typical(b))
    const place = ({ monitor }: Opener) => {
      const at = preference.indexOf(monitor.batched.name)
      return at < 0 ? preference.length : at
    }
    return openers.toSorted((a, b) => place(a) - place(b))
  }
}

/** One that never answered comes last. */
function typical({ monitor }: Opener): number {
  return monitor.batched.latency.typical ?? Number.MAX_VALUE
}

/** @param failed called for every failure, so that the provider is probed soon */
export function candidateOf(
  { monitor, item }: Opener,
  failed: (monitor: ProviderMonitor, error: unknown) => void,
): Candidate {
  const { name, latency } = monitor.batched
  return {
    name,
    hedgeAfterMs: Math.min(Math.max(latency.p95 ?? UNKNOWN_HEDGE_MS, MIN_HEDGE_MS), MAX_HEDGE_MS),
    async run(call) {
      try {
        return await monitor.batched.unwrap(item, call)
      } catch (error) {
        failed(monitor, error)
        throw error
      }
    },
  }
}
