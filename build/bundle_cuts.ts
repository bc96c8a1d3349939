/**
 * What the bundle does not load, or not before it is used. The sources know nothing of it: whoever
 * runs them gets the packages as they are.
 *
 * @module
 */

import { readFile } from 'node:fs/promises'
import process from 'node:process'
import type { Plugin } from 'esbuild'

/** Modules of Node that packages import at a start and that most processes never use. */
const LATE = ['child_process', 'dns', 'zlib']
const LATE_IMPORT = new RegExp(`^(?:node:)?(?:${LATE.join('|')})$`)

/**
 * An `import` of one of Node's own modules reads all of its exports, and some of these load much
 * more: those of `node:util` load a differ and the console's stream, those of `node:http` a whole
 * HTTP client. So each module is bundled as one that reads only the exports that are used; esbuild
 * drops the others. Of those in `LATE` there is only the default export, which loads the module
 * when something of it is used.
 */
export const LAZY_BUILTINS: Plugin = {
  name: 'lazy-builtins',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: LATE_IMPORT }, ({ path, kind }) => ({
      path: path.replace('node:', ''),
      namespace: kind === 'import-statement' ? 'late-import' : 'late-require',
    }))
    onResolve({ filter: /^node:/ }, ({ path, kind }) =>
      kind === 'import-statement' ? { path, namespace: 'builtin' } : undefined,
    )
    onLoad({ filter: /.*/, namespace: 'builtin' }, ({ path }) => ({ contents: contentsOf(path) }))
    onLoad({ filter: /.*/, namespace: 'late-import' }, ({ path }) => ({
      contents: `export default ${late(path)}`,
    }))
    onLoad({ filter: /.*/, namespace: 'late-require' }, ({ path }) => ({
      contents: `module.exports = ${late(path)}`,
    }))
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

function late(name: string): string {
  return `new Proxy({}, { get: (_, key) => process.getBuiltinModule('${name}')[key] })`
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

/** By the end of the file's path. */
const REPLACED: Readonly<Record<string, string>> = {
  'undici/index.js': UNDICI,
}

const WITH_SUCH_COMMENTS = /\/node_modules\/(?:undici\/lib|@bufbuild\/re2\/dist\/esm)\/.*\.js$/
const BEYOND_ASCII = /[^\0-\x7f]/g

export const SMALL_PACKAGES: Plugin = {
  name: 'small-packages',
  setup({ onLoad }) {
    for (const [file, contents] of Object.entries(REPLACED)) {
      const end = file.replaceAll('.', '\\.')
      onLoad({ filter: new RegExp(`/node_modules/${end}$`) }, () => ({ contents }))
    }
    // With one character beyond Latin-1, even in a comment, V8 keeps all of the bundle in two bytes
    // a character.
    onLoad({ filter: WITH_SUCH_COMMENTS }, async ({ path }) => {
      const text = await readFile(path, 'utf8')
      return { contents: text.replace(/\/\/.*/g, (line) => line.replace(BEYOND_ASCII, "'")) }
    })
  },
}
