/**
 * The kept inputs of a surface: one a line, text as a JSON string, and what is no text or is very
 * long deflated and in base64.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { deflateRawSync, inflateRawSync } from 'node:zlib'

/** Longer texts are mostly the same again and again. */
const LONG = 3_000

function pathOf(surface: string): string {
  return fileURLToPath(new URL(`../corpus/${surface}.txt`, import.meta.url))
}

/** None where the surface has no file yet. */
export async function readCorpus(surface: string): Promise<Uint8Array[]> {
  const text = await readFile(pathOf(surface), 'utf8').catch(() => '')
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map(inputOf)
}

export async function writeCorpus(surface: string, inputs: readonly Uint8Array[]): Promise<void> {
  const lines = inputs.map(lineOf).sort((a, b) => a.length - b.length || (a < b ? -1 : 1))
  await writeFile(pathOf(surface), lines.map((line) => `${line}\n`).join(''))
}

/** As a line of a corpus, which is how findings are shown too. */
export function lineOf(input: Uint8Array): string {
  const text = Buffer.from(input).toString()
  const isText = Buffer.from(text).equals(input) && !text.includes('\0')
  const packed = deflateRawSync(input).toString('base64')
  const isShort = text.length < LONG || JSON.stringify(text).length < packed.length
  return isText && isShort ? JSON.stringify(text) : packed
}

export function inputOf(line: string): Uint8Array {
  if (line.startsWith('"')) return Buffer.from(String(JSON.parse(line)))
  return inflateRawSync(Buffer.from(line, 'base64'))
}
