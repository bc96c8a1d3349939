/** Reads configs, keys, tokens and certificates as a whole. @module */

import { Buffer } from 'node:buffer'
import { createReadStream } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'

/** Far more than any config, key or certificate has. */
const MAX_BYTES = 4_194_304
/** What a shell hands over, such as `<(command)`. */
const HANDED_OVER = /^\/(?:dev\/(?:fd\/|stdin$)|proc\/self\/fd\/)/

/**
 * The bytes of a file. Devices and pipes are refused, because reading them may never begin or never
 * end, but for those that a shell hands over.
 *
 * @throws Error with a code that `systemReasonOf` has words for
 */
export async function readSmallBytes(path: string): Promise<Buffer> {
  if (HANDED_OVER.test(path)) return await collected(createReadStream(path))
  const found = await stat(path)
  if (!(found.isFile() || found.isDirectory()))
    throw Object.assign(new Error('Not a file'), { code: 'NOT_A_FILE' })
  if (found.size > MAX_BYTES) throw tooLong()
  return await readFile(path)
}

/** The same as text. */
export async function readSmallFile(path: string): Promise<string> {
  return (await readSmallBytes(path)).toString()
}

/** A whole stream as text, with the same limit. */
export async function readSmallStream(stream: AsyncIterable<Buffer>): Promise<string> {
  return (await collected(stream)).toString()
}

async function collected(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of stream) {
    size += chunk.length
    if (size > MAX_BYTES) throw tooLong()
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function tooLong(): Error {
  return Object.assign(new Error('Too long'), { code: 'TOO_LONG' })
}
