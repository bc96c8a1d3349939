/** How the bundle is made. The bench makes its empty service in the same way. @module */

import type { BuildOptions } from 'esbuild'
import { LAZY_BUILTINS, SMALL_PACKAGES } from './bundle_cuts.ts'

export const BUNDLE_OPTIONS = {
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node24',
  sourcemap: 'linked',
  legalComments: 'linked',
  // grpc-js loads it only for channelz and ORCA, which nothing here uses.
  external: ['@grpc/proto-loader'],
  plugins: [LAZY_BUILTINS, SMALL_PACKAGES],
  // grpc-js is CommonJS and calls `require` for Node's own modules.
  banner: {
    js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
  },
} satisfies BuildOptions
