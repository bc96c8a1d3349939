/**
 * The vault provider itself on the real server, for tests of what the server does to it.
 *
 * @module
 */

import * as v from 'valibot'
import { withinLimit } from '../../../../src/base/call.ts'
import { systemClock } from '../../../../src/base/clock.ts'
import type { Call, KeyState, Outcome } from '../../../../src/base/provider.ts'
import { vaultConfig } from '../../../../src/services/vault/config.ts'
import { createVaultProvider } from '../../../../src/services/vault/provider.ts'
import { RecordedEvents } from '../../events.ts'
import { firstLook } from './first_look.ts'

const LIMIT_MS = 5_000

interface VaultUnderTest extends AsyncDisposable {
  keyState(): Promise<KeyState>
  /** The label of the newest version, by which the provider wraps. */
  newest(): Promise<string>
  /** Rejects also with the error of the item. */
  wrap(version: string, plaintext: Uint8Array, associatedData: Uint8Array): Promise<Uint8Array>
  unwrap(version: string, bytes: Uint8Array, associatedData: Uint8Array): Promise<Uint8Array>
}

/** @param settings the keys of its config, but for those that are always the same */
export function vaultProvider(settings: object, limitMs = LIMIT_MS): VaultUnderTest {
  const config = { name: 'v', type: 'vault', allowInsecureHttp: true, ...settings }
  const provider = createVaultProvider(v.parse(vaultConfig, config), {
    clock: systemClock,
    events: new RecordedEvents(),
    requestTimeoutMs: limitMs,
  })
  const within = <T>(work: (call: Call) => Promise<T>) => withinLimit(systemClock, limitMs, work)
  return {
    keyState: () => within((call) => provider.keyState(call)),
    newest: () => within((call) => firstLook(provider, call)),
    wrap: async (version, plaintext, associatedData) =>
      onlyOf(await within((call) => provider.wrap(version, [{ plaintext, associatedData }], call))),
    unwrap: async (version, bytes, associatedData) =>
      onlyOf(await within((call) => provider.unwrap([{ version, bytes, associatedData }], call))),
    [Symbol.asyncDispose]: () => provider.close(),
  }
}

function onlyOf([outcome]: readonly Outcome<Uint8Array>[]): Uint8Array {
  if (outcome?.ok === true) return outcome.value
  throw outcome?.error ?? new Error('No result')
}
