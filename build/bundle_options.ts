/** How the bundle is made. The bench makes its empty service in the same way. @module */

import process from 'node:process'
import type { BuildOptions, Plugin } from 'esbuild'

/**
 * An `import` of one of Node's own modules reads all of its exports, and some of these load much
 * more: those of `node:util` load a differ and the console's stream, those of `node:http` a whole
 * HTTP client. So each module is bundled as one that reads only the exports that are used; esbuild
 * drops the others.
 */
const LAZY_BUILTINS: Plugin = {
  name: 'lazy-builtins',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:/ }, ({ path, kind }) =>
      kind === 'import-statement' ? { path, namespace: 'builtin' } : undefined,
    )
    onLoad({ filter: /.*/, namespace: 'builtin' }, ({ path }) => ({ contents: contentsOf(path) }))
  },
}

function contentsOf(path: string): string {
  const exported = Object.keys(process.getBuiltinModule(path) ?? {}).map(
    (name) => `const $${name} = /* @__PURE__ */ read('${name}')\nexport { $${name} as ${name} }`,
  )
  return `const builtin = process.getBuiltinModule('${path}')
const read = (name) => builtin[name]
export default builtin
${exported.join('\n')}`
}

export const BUNDLE_OPTIONS = {
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node24',
  sourcemap: 'linked',
  legalComments: 'linked',
  // grpc-js loads it only for channelz and ORCA, which nothing here uses.
  external: ['@grpc/proto-loader'],
  plugins: [LAZY_BUILTINS],
  // grpc-js is CommonJS and calls `require` for Node's own modules.
  banner: {
    js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
  },
} satisfies BuildOptions
