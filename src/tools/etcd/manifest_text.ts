/**
 * Writes manifests as text. Every string is quoted, so that nothing is read as a number, a date or
 * a truth value, and no character can mislead a terminal or a YAML reader.
 *
 * @module
 */

import { isKeptNumber } from './exact_json.ts'
import type { Manifest } from './manifest.ts'

/** Both JSON and YAML have escapes for these characters. */
const UNSAFE = /[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g
const PLAIN_KEY = /^[a-z_][\w./-]*$/i
/** YAML 1.1 would read these words as something other than text. */
const NO_TEXT = new Set(['y', 'n', 'yes', 'no', 'on', 'off', 'true', 'false', 'null'])
const INDENT = '  '

/** Formatted as an item of a list. */
export function manifestJson(manifest: Manifest): string {
  return safe(JSON.stringify(manifest, null, 2))
}

/** Formatted as a YAML document of its own. */
export function manifestYaml(manifest: Manifest): string {
  return `---${below(manifest, '')}\n`
}

/** The text that follows a `key:` or `-`. */
function below(value: unknown, indent: string): string {
  if (Array.isArray(value) && value.length > 0) {
    const inner = indent + INDENT
    return value.map((item) => `\n${indent}-${below(item, inner)}`).join('')
  }
  if (isMap(value)) {
    const entries = Object.entries(value)
    return entries
      .map(([key, item]) => `\n${indent}${keyOf(key)}:${below(item, indent + INDENT)}`)
      .join('')
  }
  return ` ${safe(JSON.stringify(value))}`
}

function isMap(value: unknown): value is object {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  return !isKeptNumber(value) && Object.keys(value).length > 0
}

function keyOf(key: string): string {
  return PLAIN_KEY.test(key) && !NO_TEXT.has(key.toLowerCase()) ? key : safe(JSON.stringify(key))
}

function safe(json: string): string {
  return json.replaceAll(UNSAFE, (character) => {
    const code = character.charCodeAt(0).toString(16).padStart(4, '0')
    return `\\u${code}`
  })
}
