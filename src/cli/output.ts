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
import { KmsError, systemReasonOf } from '../kms/errors.ts'
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

/** What is said where standard output takes nothing more. */
export function lostOutput(error: unknown): string {
  return `Cannot write standard output: ${systemReasonOf(error)}`
}

/** Says what went wrong and returns the exit code. A stack is shown for faults of ours only. */
export function reportError(error: unknown, io: Io): number {
  if (error instanceof ConfigError) {
    for (const problem of error.problems) io.err(`trousseau: ${problem}\n`)
    if (error.hint !== undefined) io.err(`hint: ${error.hint}\n`)
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
