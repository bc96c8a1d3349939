/** How an audit file ends, from which the next one goes on. @module */

import { Buffer } from 'node:buffer'
import { constants, open } from 'node:fs/promises'
import { type ChainLink, hashOf, MAX_LINE_BYTES, parsedLine } from './lines.ts'
import type { Before } from './target.ts'

const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants
const LINE_FEED = 0x0a

/**
 * Undefined for a file without one whole line, as after a crash at its very begin.
 *
 * @param seq the number to go on from where the file cannot be read
 */
export async function endOf(path: string, seq: number): Promise<Before | undefined> {
  const bytes = await tailOf(path)
  const end = bytes.lastIndexOf(LINE_FEED)
  if (end === -1 && bytes.length < MAX_LINE_BYTES) return undefined
  const start = bytes.lastIndexOf(LINE_FEED, end - 1) + 1
  const line = bytes.subarray(start, end).toString()
  const parsed = parsedLine(line)
  if (parsed === undefined) return { link: { seq, hash: null }, after: 'unreadable' }
  const link: ChainLink = { seq: parsed.seq, hash: hashOf(line) }
  if (end !== bytes.length - 1) return { link, after: 'torn' }
  return { link, after: parsed.event === 'head' ? parsed.why : 'cut' }
}

/** Enough for a whole line and one that is torn behind it. */
async function tailOf(path: string) {
  const file = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  try {
    const { size } = await file.stat()
    const length = Math.min(size, 2 * MAX_LINE_BYTES)
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length)
    return buffer.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}
