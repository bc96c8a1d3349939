/** Which errors the program means, and which are its faults. @module */

import { KMS_ERROR_CODES, KmsError } from '../../../src/base/errors.ts'

/** Errors that their callers expect and have words for, by their names. */
const NAMED = new Set(['ConfigError', 'RuleError', 'WaiverRefusal', 'RpcError'])

const MEANT: readonly string[] = KMS_ERROR_CODES.filter((code) => code !== 'internal')

/** False for what nobody would have thrown on purpose: a `TypeError`, a library's own, `internal`. */
export function isNamed(error: unknown): boolean {
  if (error instanceof KmsError) return MEANT.includes(error.code)
  return error instanceof Error && NAMED.has(error.name)
}

/** For a part of a target that may well refuse, before another part is tried. */
export function ignoreNamed(error: unknown): void {
  if (!isNamed(error)) throw error
}
