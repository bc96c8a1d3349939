/**
 * How commands print: aligned tables, colour where the terminal shows it, and one line for an
 * error. Text of other programs is shown without control characters, which could rewrite the
 * terminal.
 *
 * @module
 */

import { inspect, styleText } from 'node:util'
import { KmsError, systemReasonOf } from '../base/errors.ts'
import { UNPRINTABLE } from '../base/unprintable.ts'
import { ConfigError } from '../config/load.ts'
import { RpcError } from '../grpc/client.ts'
import type { Io } from './io.ts'

/** Documented in `docs/cli.md` and in the help. */
export const EXIT = { ok: 0, failure: 1, usage: 2, unhealthy: 3, interrupted: 130 } as const

const MAX_CHARACTERS = 300

export function printable(text: string): string {
  return text.replaceAll(UNPRINTABLE, '?').slice(0, MAX_CHARACTERS)
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

/** The message for a standard output that accepts nothing more. */
export function lostOutput(error: unknown): string {
  return `Cannot write standard output: ${systemReasonOf(error)}`
}

/** Why a command failed: `error` in what `--json` prints. */
export interface Failure {
  /** Stable, for scripts: one of `KMS_ERROR_CODES`, a gRPC code, or one that docs/cli.md names. */
  readonly code: string
  readonly message: string
  /** The problems of a config, one by one. */
  readonly problems?: readonly string[]
  readonly hint?: string | undefined
}

/** Leaves out what only the authors of this program need, such as a stack trace. */
export function failureOf(error: unknown): Failure {
  if (error instanceof ConfigError) {
    const { problems, hint } = error
    return { code: 'config_invalid', message: problems.join('\n'), problems, hint }
  }
  if (error instanceof RpcError) {
    const message = `The plugin answered ${error.status}: ${printable(error.message)}`
    return { code: error.status, message }
  }
  if (error instanceof KmsError && error.code !== 'internal') {
    return { code: error.code, message: error.message }
  }
  return { code: 'internal', message: 'Internal fault, please report it' }
}

/**
 * Says what went wrong and returns the exit code. A stack trace is shown only for bugs of this
 * program.
 */
export function reportError(error: unknown, io: Io): number {
  const { code, message, problems = [message], hint } = failureOf(error)
  const fault = code === 'internal' ? `: ${inspect(error)}` : ''
  for (const problem of problems) io.err(`trousseau: ${problem}${fault}\n`)
  if (hint !== undefined) io.err(`hint: ${hint}\n`)
  return error instanceof ConfigError ? EXIT.usage : EXIT.failure
}
