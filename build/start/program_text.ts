/** The bundle, which is a module, as the text of a script that is a function. @module */

const HEAD =
  "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);"
const MAP = /\n\/\/# sourceMappingURL=\S*\s*$/

/**
 * Every line stays on its line, so that a stack trace of the binary fits the bundle and its map.
 *
 * @throws Error for a bundle that cannot be a script
 */
export function programText(bundle: string): string {
  if (!bundle.startsWith(HEAD)) throw new Error(`Wanted a bundle that begins with ${HEAD}`)
  const body = bundle.slice(HEAD.length).replace(MAP, '')
  if (/^(?:import|export)\b/m.test(body)) throw new Error('Wanted a bundle without other imports')
  if (/[^\0-\xff]/.test(body)) throw new Error('Wanted a bundle of Latin-1 alone')
  return `(async function (require) { 'use strict';${body}\n})`
}
