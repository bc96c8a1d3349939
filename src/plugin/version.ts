/** What this program is, and what runs it. @module */

import process from 'node:process'
import manifest from '../../package.json' with { type: 'json' }

export const VERSION = manifest.version
const { deno } = process.versions
export const RUNTIME = deno === undefined ? `node ${process.versions.node}` : `deno ${deno}`

export function versionLine(): string {
  return `trousseau ${VERSION} (${RUNTIME})`
}
