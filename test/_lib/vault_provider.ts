/** The vault provider itself, against the real server, as a test of what the server does to it wants it. @module */

import * as v from 'valibot'
import { withinLimit } from '../../src/kms/call.ts'
import { systemClock } from '../../src/kms/clock.ts'
import type { KeyState } from '../../src/kms/provider.ts'
import { createVaultProvider } from '../../src/providers/vault.ts'
import { vaultConfig } from '../../src/providers/vault_config.ts'
import { RecordedEvents } from './events.ts'
import type { Transit } from './openbao.ts'

const LIMIT_MS = 5_000

export interface VaultUnderTest extends AsyncDisposable {
  keyState(): Promise<KeyState>
  /** Rejects also with the error of the item. */
  wrap(version: string, plaintext: Uint8Array, associatedData: Uint8Array): Promise<Uint8Array>
  unwrap(version: string, bytes: Uint8Array, associatedData: Uint8Array): Promise<Uint8Array>
}

export function vaultProvider(transit: Transit, limitMs = LIMIT_MS): VaultUnderTest {
  const config = { name: 'v', type: 'vault', allowInsecureHttp: true, ...transit.provider }
  const provider = createVaultProvider(v.parse(vaultConfig, config), {
    clock: systemClock,
    events: new RecordedEvents(),
    requestTimeoutMs: limitMs,
  })

  return {
    keyState: () => withinLimit(systemClock, limitMs, (call) => provider.keyState(call)),
    async wrap(version, plaintext, associatedData) {
      const items = [{ plaintext, associatedData }]
      const [made] = await withinLimit(systemClock, limitMs, (call) =>
        provider.wrap(version, items, call),
      )
      if (made?.ok === true) return made.value
      throw made?.error
    },
    async unwrap(version, bytes, associatedData) {
      const items = [{ version, bytes, associatedData }]
      const [made] = await withinLimit(systemClock, limitMs, (call) => provider.unwrap(items, call))
      if (made?.ok === true) return made.value
      throw made?.error
    },
    [Symbol.asyncDispose]: () => provider.close(),
  }
}
