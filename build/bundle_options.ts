/** How the bundle is made. The bench makes its empty service the same way. @module */

import type { BuildOptions } from 'esbuild'

export const BUNDLE_OPTIONS = {
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node24',
  sourcemap: 'linked',
  legalComments: 'linked',
  // grpc-js loads it for channelz and ORCA alone, which nothing here uses.
  external: ['@grpc/proto-loader'],
  // grpc-js is CommonJS and calls `require` for Node's own modules.
  banner: {
    js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
  },
} as const satisfies BuildOptions
