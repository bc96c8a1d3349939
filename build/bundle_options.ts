/** How the bundle is made. The bench makes its empty service the same way. @module */

import type { BuildOptions, Plugin } from 'esbuild'

/**
 * An `import` of one of Node's own modules reads every export of it, getters too:
 * that of `node:http` alone loads a whole HTTP client of Node's, which nothing here
 * uses. Asked for as an object, a module loads what is used.
 */
const LAZY_BUILTINS: Plugin = {
  name: 'lazy-builtins',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:/ }, ({ path, kind }) =>
      kind === 'import-statement' ? { path, namespace: 'builtin' } : undefined,
    )
    onLoad({ filter: /.*/, namespace: 'builtin' }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule('${path}')`,
    }))
  },
}

export const BUNDLE_OPTIONS = {
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node24',
  sourcemap: 'linked',
  legalComments: 'linked',
  // grpc-js loads it for channelz and ORCA alone, which nothing here uses.
  external: ['@grpc/proto-loader'],
  plugins: [LAZY_BUILTINS],
  // grpc-js is CommonJS and calls `require` for Node's own modules.
  banner: {
    js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
  },
} satisfies BuildOptions
