/** What the tests of a key service get beside its fake: a provider of it, and what ends both. @module */

import { withinLimit } from '../../../src/base/call.ts'
import type { Clock } from '../../../src/base/clock.ts'
import type { Call, Provider } from '../../../src/base/provider.ts'
import type { RecordedEvents } from '../events.ts'
import type { TempFolder } from '../temp_folder.ts'

export interface ProviderSetup extends AsyncDisposable {
  readonly provider: Provider
  readonly events: RecordedEvents
  readonly folder: TempFolder
  readonly limited: <T>(work: (call: Call) => Promise<T>) => Promise<T>
}

interface ProviderSetupParts extends Pick<ProviderSetup, 'provider' | 'events' | 'folder'> {
  readonly fake: AsyncDisposable
  readonly clock: Clock
  readonly limitMs: number
}

export function providerSetup(parts: ProviderSetupParts): ProviderSetup {
  const { provider, events, folder, fake, clock, limitMs } = parts
  return {
    provider,
    events,
    folder,
    limited: (work) => withinLimit(clock, limitMs, work),
    async [Symbol.asyncDispose]() {
      await provider.close()
      await fake[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}
