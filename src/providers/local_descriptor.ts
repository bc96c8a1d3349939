/** What a provider of type `local` says of itself. @module */

import { createLocalProvider, type LocalConfig, localConfig } from './local.ts'
import type { ProviderDescriptor } from './provider_descriptor.ts'

export const localDescriptor = {
  config: localConfig,
  create: createLocalProvider,
  addresses: () => [],
  paths: ({ keyFile }) => ({ files: [keyFile], folders: [], sockets: [] }),
  remarks: () => [],
  // No other plugin used a file of this kind.
  opens: [],
} as const satisfies ProviderDescriptor<LocalConfig>
