/**
 * Asks a person at the terminal for something that must not be seen, such as a passphrase, or for
 * single keys.
 *
 * @module
 */

import { once } from 'node:events'
import { KmsError } from '../base/errors.ts'

const INTERRUPT = '\u0003'
const END = '\u0004'
/** An arrow or the like, or one character. */
const KEY = /\p{Cc}(?:\[[\d;]*|O)[A-Za-z~]|./gsu
const ERASE = new Set(['\u007f', '\b'])
const ENTER = new Set(['\r', '\n'])

interface Terminal {
  readonly input: NodeJS.ReadStream
  /** Where the question is written; not to standard output, which may be a pipe. */
  write(text: string): void
}

/**
 * Reads one line, which is not shown while it is typed.
 *
 * @throws KmsError `request_invalid` where there is no terminal, `cancelled` on Ctrl-C and Ctrl-D
 */
export async function askHidden(question: string, { input, write }: Terminal): Promise<string> {
  if (input.isTTY !== true) {
    throw new KmsError(
      'Nobody can be asked for a passphrase: there is no terminal; use --passphrase-file',
      { code: 'request_invalid' },
    )
  }
  write(question)
  input.setRawMode(true)
  input.setEncoding('utf8')
  input.resume()
  try {
    return await typedLine(input)
  } finally {
    input.setRawMode(false)
    input.pause()
    write('\n')
  }
}

/**
 * Hands over each key as the terminal writes it, an arrow as its escape sequence. The returned
 * function gives the terminal back.
 */
export function readKeys(input: NodeJS.ReadStream, press: (key: string) => void): () => void {
  if (input.isTTY !== true) return () => undefined
  // Keys that were typed quickly arrive together.
  const take = (chunk: string) => {
    for (const [key] of chunk.matchAll(KEY)) press(key)
  }
  input.setRawMode(true)
  input.setEncoding('utf8')
  input.on('data', take)
  input.resume()
  return () => {
    input.off('data', take)
    input.setRawMode(false)
    input.pause()
  }
}

async function typedLine(input: NodeJS.ReadStream): Promise<string> {
  let line = ''
  for (;;) {
    const [chunk] = (await once(input, 'data')) as [string]
    const end = [...chunk].findIndex((character) => ENTER.has(character))
    line = [...chunk].slice(0, end === -1 ? undefined : end).reduce(edited, line)
    if (end !== -1) return line
  }
}

/** Applies an editing key: in raw mode the terminal leaves this to the program. */
function edited(line: string, character: string): string {
  if (character === INTERRUPT || character === END) {
    throw new KmsError('Stopped at the passphrase', { code: 'cancelled' })
  }
  return ERASE.has(character) ? line.slice(0, -1) : line + character
}
