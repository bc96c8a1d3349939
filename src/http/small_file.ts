/** Configs, keys, tokens and certificates, read whole. @module */

import type { Buffer } from 'node:buffer'
import { readFile, stat } from 'node:fs/promises'

/** Far more than any config, key or certificate has. */
const MAX_BYTES = 4_194_304
/** What a shell hands over, such as `<(command)`. */
const HANDED_OVER = /^\/(?:dev\/(?:fd\/|stdin$)|proc\/self\/fd\/)/

/**
 * A file's bytes. What never ends, or never begins, as a device or a pipe of nobody, is no file.
 *
 * @throws Error with a code that `systemReasonOf` has words for
 */
export async function readSmallBytes(path: string): Promise<Buffer> {
  const found = await stat(path)
  const isFile = found.isFile() || found.isDirectory() || HANDED_OVER.test(path)
  if (!isFile) throw Object.assign(new Error('Not a file'), { code: 'NOT_A_FILE' })
  if (found.size > MAX_BYTES) throw Object.assign(new Error('Too long'), { code: 'TOO_LONG' })
  return await readFile(path)
}

/** The same as text. */
export async function readSmallFile(path: string): Promise<string> {
  return (await readSmallBytes(path)).toString()
}
