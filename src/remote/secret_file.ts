/** Reads secrets from files when they are needed, so that new ones need no restart. @module */

import { createHash } from 'node:crypto'
import { KmsError, systemReasonOf } from '../base/errors.ts'
import { readSmallFile } from '../base/small_file.ts'

const MAX_CHARACTERS = 65_536

/**
 * The file's text without white space around it.
 *
 * @param what the config key, for messages
 * @throws KmsError `denied`: without the secret there is no login
 */
export async function readSecretFile(path: string, what: string): Promise<string> {
  const text = await readSmallFile(path).catch((cause: unknown) => {
    throw refused(`cannot be read: ${systemReasonOf(cause)}`, path, what, cause)
  })
  const secret = text.trim()
  if (secret === '') throw refused('is empty', path, what)
  if (secret.length > MAX_CHARACTERS) throw refused('is too long', path, what)
  if (secret.startsWith('{')) {
    throw refused(
      'holds JSON, as a wrapped or encrypted sink does: wanted the bare secret',
      path,
      what,
    )
  }
  if (/[^\x21-\x7e]/.test(secret)) throw refused('holds more than one word of text', path, what)
  return secret
}

/**
 * The file's one line of text, which may hold anything but a line feed.
 *
 * @throws KmsError `denied`
 */
export async function readSecretLine(path: string, what: string): Promise<string> {
  const text = await readSmallFile(path).catch((cause: unknown) => {
    throw refused(`cannot be read: ${systemReasonOf(cause)}`, path, what, cause)
  })
  const line = text.replace(/\r?\n$/, '')
  if (line === '') throw refused('is empty', path, what)
  if (line.length > MAX_CHARACTERS) throw refused('is too long', path, what)
  if (/[\r\n]/.test(line)) throw refused('holds more than one line', path, what)
  return line
}

/** Tells credentials apart without keeping them. */
export function fingerprintOf(...secrets: readonly string[]): string {
  const hash = createHash('sha256')
  for (const secret of secrets) hash.update(`${secret.length}:`).update(secret)
  return hash.digest('hex')
}

function refused(why: string, path: string, what: string, cause?: unknown): KmsError {
  return new KmsError(`File "${path}" of ${what} ${why}`, { code: 'denied', cause })
}
