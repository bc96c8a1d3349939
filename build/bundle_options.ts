/** How the bundle is made. The bench makes its empty service in the same way. @module */

import { readFile } from 'node:fs/promises'
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

/**
 * undici's own list of what it exports loads all of it: fetch, WebSocket, caches and mocks. This
 * one has what `src/remote/http` uses, and a name that is missing here fails the build.
 */
const UNDICI = `import api from './lib/api/index.js'
import buildConnector from './lib/core/connect.js'
import Client from './lib/dispatcher/client.js'
import Dispatcher from './lib/dispatcher/dispatcher.js'
import Pool from './lib/dispatcher/pool.js'
import ProxyAgent from './lib/dispatcher/proxy-agent.js'
Object.assign(Dispatcher.prototype, api)
export { buildConnector, Client, Pool, ProxyAgent }`

const BEYOND_ASCII = /[^\0-\x7f]/g

/** With one character beyond Latin-1, even in a comment, V8 keeps the whole bundle in two bytes a character. */
const SMALL_UNDICI: Plugin = {
  name: 'small-undici',
  setup({ onLoad }) {
    onLoad({ filter: /\/undici\/index\.js$/ }, () => ({ contents: UNDICI }))
    onLoad({ filter: /\/undici\/lib\/.*\.js$/ }, async ({ path }) => {
      const text = await readFile(path, 'utf8')
      const contents = text.replace(/\/\/.*/g, (comment) => comment.replace(BEYOND_ASCII, "'"))
      return { contents }
    })
  },
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
  plugins: [LAZY_BUILTINS, SMALL_UNDICI],
  // grpc-js is CommonJS and calls `require` for Node's own modules.
  banner: {
    js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
  },
} satisfies BuildOptions
