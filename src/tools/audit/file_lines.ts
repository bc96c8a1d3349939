/** Reads files of any size line by line, in bounded memory. @module */

import { Buffer } from 'node:buffer'
import { createReadStream } from 'node:fs'
import { KmsError, systemReasonOf } from '../../base/errors.ts'
import { MAX_LINE_BYTES } from '../../observe/audit/lines.ts'

const LINE_FEED = 0x0a

export interface FileLine {
  /** Without its line feed. */
  readonly bytes: Buffer
  /** From 1. */
  readonly number: number
  /** `torn`: the file ends before its line feed; `too_long`: it is not to be looked at, nor perhaps whole. */
  readonly kind: 'whole' | 'torn' | 'too_long'
}

/** @throws KmsError `request_invalid` where the file cannot be read */
export async function* linesOf(path: string): AsyncGenerator<FileLine> {
  let rest: Buffer = Buffer.alloc(0)
  let number = 0
  for await (const chunk of chunksOf(path)) {
    const lines = split(rest.length === 0 ? chunk : Buffer.concat([rest, chunk]))
    rest = lines.pop() ?? rest
    for (const bytes of lines) {
      number += 1
      yield lineOf(bytes, number, 'whole')
    }
    if (rest.length > MAX_LINE_BYTES) break
  }
  if (rest.length > 0) yield lineOf(rest, number + 1, 'torn')
}

function lineOf(bytes: Buffer, number: number, kind: FileLine['kind']): FileLine {
  return { bytes, number, kind: bytes.length > MAX_LINE_BYTES ? 'too_long' : kind }
}

/** The last one is what stands behind the last line feed. */
function split(bytes: Buffer): Buffer[] {
  const lines: Buffer[] = []
  let start = 0
  for (let end = bytes.indexOf(LINE_FEED); end !== -1; end = bytes.indexOf(LINE_FEED, start)) {
    lines.push(bytes.subarray(start, end))
    start = end + 1
  }
  return [...lines, bytes.subarray(start)]
}

async function* chunksOf(path: string): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of createReadStream(path)) yield chunk
  } catch (cause) {
    const message = `Cannot read ${path}: ${systemReasonOf(cause)}`
    throw new KmsError(message, { code: 'request_invalid', cause })
  }
}
