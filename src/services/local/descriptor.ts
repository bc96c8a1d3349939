/** The descriptor of the type `local`. @module */

import type { ProviderDescriptor } from '../provider_descriptor.ts'
import { createLocalProvider, type LocalConfig, localConfig } from './provider.ts'

export const localDescriptor = {
  config: localConfig,
  create: createLocalProvider,
  addresses: () => [],
  paths: ({ keyFile }) => ({ files: [keyFile], folders: [], sockets: [] }),
  remarks: () => [],
  starting: {
    keys: `keyFile: /var/lib/trousseau/keys            # the same file on every node, and in a safe
`,
    next: '"trousseau keygen /var/lib/trousseau/keys" makes the key.',
  },
  // No other plugin used a file of this kind.
  opens: [],
} as const satisfies ProviderDescriptor<LocalConfig>
