/**
 * How commands print: aligned tables, colour where the terminal shows it, and one
 * line for an error. What another program said is shown without control
 * characters, which could rewrite the terminal.
 *
 * @module
 */

import { inspect, styleText } from 'node:util'
import { ConfigError } from '../config/load.ts'
import { RpcError } from '../grpc/client.ts'
import { KmsError, systemCodeOf } from '../kms/errors.ts'
import type { Io } from './io.ts'

/** Documented in `docs/cli.md` and in the help. */
export const EXIT = { ok: 0, failure: 1, usage: 2, unhealthy: 3, interrupted: 130 } as const

const MAX_CHARACTERS = 300

export function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, '?').slice(0, MAX_CHARACTERS)
}

export type Color = 'green' | 'yellow' | 'red' | 'dim'

export function paint(io: Io, color: Color, text: string): string {
  return io.color ? styleText(color, text, { validateStream: false }) : text
}

/** Pads all columns but the last; the widths are those of the text without colours. */
export function table(rows: readonly (readonly string[])[]): string[][] {
  const widths = rows.reduce<number[]>(
    (sofar, row) => row.map((cell, at) => Math.max(sofar[at] ?? 0, cell.length)),
    [],
  )
  return rows.map((row) =>
    row.map((cell, at) => (at === row.length - 1 ? cell : cell.padEnd(widths[at] ?? 0))),
  )
}

export function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}

const REASONS: Readonly<Record<string, string>> = {
  ENOSPC: 'no space left',
  EDQUOT: 'the quota is used up',
  EFBIG: 'the file would be larger than is allowed',
  EIO: 'the device failed',
}

/** What the system refused something with, in words where there are some. */
export function reasonOf(error: unknown): string {
  const code = systemCodeOf(error) ?? 'unknown error'
  return REASONS[code] ?? code
}

/** Says what went wrong and returns the exit code. A stack is shown for faults of ours only. */
export function reportError(error: unknown, io: Io): number {
  if (error instanceof ConfigError) {
    for (const problem of error.problems) io.err(`trousseau: ${problem}\n`)
    io.err('hint: "trousseau config schema" says what each key may be\n')
    return EXIT.usage
  }
  if (error instanceof RpcError) {
    io.err(`trousseau: The plugin answered ${error.status}: ${printable(error.message)}\n`)
    return EXIT.failure
  }
  if (error instanceof KmsError && error.code !== 'internal') {
    io.err(`trousseau: ${error.message}\n`)
    return EXIT.failure
  }
  io.err(`trousseau: Internal fault, please report it: ${inspect(error)}\n`)
  return EXIT.failure
}
