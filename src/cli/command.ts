/** How a command is added to the program, and how it ends. @module */

import type { Command } from 'commander'
import type { Io } from '../console/io.ts'

/** Keeps the exit code of a command. */
export interface Ending {
  /** For a command that does not watch for a stop: waits until it has ended or is stopped. */
  short(work: number | Promise<number>): Promise<void>
  /** For a command that watches for a stop itself. */
  done(code: number): void
}

/** Adds one command with its options. What the command does is in `tools` or `plugin`. */
export type AddCommand = (program: Command, io: Io, end: Ending) => void

/** A command that was called otherwise before: scripts may say that still, and help does not show it. */
export function renamed(
  parent: Command,
  { name, former }: { readonly name: string; readonly former: string },
  define: (command: Command) => void,
): void {
  define(parent.command(name))
  define(parent.command(former, { hidden: true }))
}

export const CONFIG_FILE = 'YAML or JSON config file; - for standard input'
