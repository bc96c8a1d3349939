/** A provider with its monitor, as one config makes it. @module */

import { randomBytes } from 'node:crypto'
import type { Provider } from '../base/provider.ts'
import { ConfigError } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { BatchedProvider } from '../kms/batched_provider.ts'
import { ProviderMonitor } from '../kms/provider_monitor.ts'
import type { StateBook } from '../kms/state.ts'
import type { FollowedSettings } from '../services/followed_settings.ts'
import type { ProviderDeps } from '../services/provider_descriptor.ts'
import { descriptorOf, type ProviderConfig } from '../services/registry.ts'

export interface GenerationDeps extends Omit<ProviderDeps, 'requestTimeoutMs' | 'onSettings'> {
  readonly book: StateBook
  /** Called when the settings that a key service keeps for its provider have changed. */
  readonly onSettings: () => void
}

/** A provider, and the config from which it was made. */
export interface Made {
  readonly name: string
  readonly madeOf: string
  readonly provider: Provider
  readonly monitor: ProviderMonitor
  /** Undefined for a provider whose key service keeps no settings. */
  settings: FollowedSettings | undefined
}

export async function makeProvider(
  config: ProviderConfig,
  madeOf: string,
  { requestTimeout, rotation, health }: Config,
  deps: GenerationDeps,
): Promise<Made> {
  const { name, decryptOnly, activeFrom, formerIds } = config
  const descriptor = descriptorOf(config)
  const provider = await descriptor.create(config, {
    ...deps,
    requestTimeoutMs: requestTimeout,
    onSettings(settings) {
      made.settings = settings
      made.monitor.adjust(settings.activationDelay)
      deps.onSettings()
    },
  })
  const options = {
    activationDelayMs: rotation.activationDelay,
    intervalMs: health.interval,
    requestTimeoutMs: requestTimeout,
    decryptOnly: decryptOnly ?? false,
    activeFrom,
    formerIds: formerIds ?? [],
  }
  const batched = new BatchedProvider(name, provider, deps)
  const monitor = new ProviderMonitor(batched, options, { ...deps, random: randomBytes })
  const settings = descriptor.keepsSettings?.(config) === true ? {} : undefined
  const made: Made = { name, madeOf, provider, monitor, settings }
  return made
}

/**
 * Two keys with one id could not be told apart, and another id under an old name would lose the way
 * to its data (rule R8).
 */
export function checkIds(made: readonly Made[], before: readonly Made[]): void {
  const owners = new Map<string, string>()
  for (const { name, id } of made.flatMap(idsOf)) {
    const other = owners.get(id)
    if (other !== undefined) {
      throw new ConfigError([
        `providers: "${other}" and "${name}" both have the id "${id}": give each an id of its own`,
      ])
    }
    owners.set(id, name)
  }
  for (const { name, monitor } of before) {
    const now = made.find((each) => each.name === name)
    if (now === undefined || idsOf(now).some(({ id }) => id === monitor.id)) continue
    throw new ConfigError([
      `providers: "${name}" would be another key, with the id "${now.monitor.id}" instead of "${monitor.id}": give the new key a new name, and keep the old one with decryptOnly`,
    ])
  }
}

function idsOf({ name, monitor }: Made) {
  return [monitor.id, ...(monitor.options.formerIds ?? [])].map((id) => ({ name, id }))
}
