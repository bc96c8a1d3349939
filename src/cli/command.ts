/** How a command is added to the program, and how it ends. @module */

import type { Command } from 'commander'
import type { Io } from '../console/io.ts'

/** Keeps the exit code of what a command does. */
export interface Ending {
  /** Of a command that ends by itself: when it is done, or stopped. */
  short(work: number | Promise<number>): Promise<void>
  /** Of a command that watches for the stop itself. */
  done(code: number): void
}

/** Adds one command with its options; what it does stands in `tools` or `plugin`. */
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
