/** The version of this program, and the runtime that it runs on. @module */

import process from 'node:process'
import manifest from '../../package.json' with { type: 'json' }

export const VERSION = manifest.version
const { deno } = process.versions
export const RUNTIME = deno === undefined ? `node ${process.versions.node}` : `deno ${deno}`

export function versionLine(): string {
  return `trousseau ${VERSION} (${RUNTIME})`
}
