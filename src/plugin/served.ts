/** An endpoint with its health and keyring, as one config makes it. @module */

import { randomBytes } from 'node:crypto'
import type { Gate } from '../base/gate.ts'
import { MAX_V2_CIPHERTEXT_BYTES, SEED_BYTES } from '../base/limits.ts'
import type { Endpoint } from '../config/endpoints.ts'
import { ConfigError } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { inputsOf, maxEnvelopeBytes } from '../kms/envelope.ts'
import { EndpointHealth } from '../kms/health.ts'
import { Keyring } from '../kms/keyring.ts'
import type { ProviderMonitor } from '../kms/provider_monitor.ts'
import type { RecoverySealer } from '../kms/recovery.ts'
import { sealedBytes, wrappedBytes } from '../kms/shares.ts'
import { descriptorOf, type ProviderConfig } from '../services/registry.ts'
import type { ForeignFormName } from '../takeover/forms.ts'
import type { GenerationDeps, Made } from './made_provider.ts'
import { lockout } from './policy.ts'

export interface Served {
  readonly endpoint: Endpoint
  readonly health: EndpointHealth
  readonly keyring: Keyring
  readonly monitors: readonly ProviderMonitor[]
  readonly gate: Gate | undefined
}

/**
 * The longest label that a key version may have (AWS's are ids of 36 characters). With it, an
 * envelope that fits now will always fit.
 */
const LONGEST_VERSION = { version: '9'.repeat(36), createdAt: 2 ** 40 }

export function makeEndpoint(
  endpoint: Endpoint,
  made: readonly Made[],
  config: Config,
  { recovery, gate }: { recovery: RecoverySealer | undefined; gate: Gate | undefined },
  { clock, events, book }: GenerationDeps,
): Served {
  const names = endpoint.providers.map(({ name }) => name)
  const monitors = made.filter(({ name }) => names.includes(name)).map(({ monitor }) => monitor)
  const recipients = recovery?.thumbprints ?? []
  checkSizes(endpoint, monitors, recipients)
  const { staleAfter: staleAfterMs, outageHold: outageHoldMs } = config.health
  const { name, protection, decryptPreference } = endpoint
  const health = new EndpointHealth(
    { name, monitors, protection, recipients, staleAfterMs, outageHoldMs },
    { clock, events, book },
  )
  const random = randomBytes
  const foreign = made.flatMap(({ name: reader, monitor }) => {
    const provider = endpoint.providers.find((each) => each.name === reader)
    return provider?.reads === undefined ? [] : { ...readerOf(provider, provider.reads), monitor }
  })
  const keyring = new Keyring({
    monitors,
    health,
    decryptPreference,
    recovery,
    gate,
    foreign,
    clock,
    events,
    random,
  })
  return { endpoint, health, keyring, monitors, gate }
}

/** What the rules would refuse now, in words. */
export function lockoutOf({ endpoint, gate, monitors }: Served): string | undefined {
  return lockout(gate, monitors, endpoint.protection.k)
}

function readerOf(config: ProviderConfig, reads: readonly ForeignFormName[]) {
  const { name, type } = config
  return { name, type, reads, key: descriptorOf(config).foreignKey?.(config) }
}

/** Refuses a config whose envelopes KMS v2 could not store, before it makes one. */
function checkSizes(
  { name, protection }: Endpoint,
  all: readonly ProviderMonitor[],
  recipients: readonly string[],
): void {
  const monitors = all.filter(({ writesInMs }) => writesInMs !== undefined)
  const wrapped = wrappedBytes(protection, SEED_BYTES)
  for (const { batched } of monitors) {
    const { plaintextBytes } = batched.provider.limits
    if (plaintextBytes >= wrapped) continue
    throw new ConfigError([
      `providers: the key of "${batched.name}" takes ${plaintextBytes} bytes, wanted at least ${wrapped}: use a longer key`,
    ])
  }
  const members = monitors.map(({ id }) => ({ providerId: id, ...LONGEST_VERSION }))
  const wraps = monitors.map(({ batched }) => wrapped + batched.provider.limits.overheadBytes)
  const inputs = inputsOf(protection, members, recipients)
  const bytes = maxEnvelopeBytes(inputs, wraps, sealedBytes(protection, SEED_BYTES))
  if (bytes <= MAX_V2_CIPHERTEXT_BYTES) return
  throw new ConfigError([
    `providers: envelopes of endpoint "${name}" would have up to ${bytes} bytes, wanted at most ${MAX_V2_CIPHERTEXT_BYTES}: use fewer providers or recipients, smaller keys or shorter ids`,
  ])
}
