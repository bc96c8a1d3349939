/**
 * The program of a binary as one script: V8 can be given the code that it made of a script at an
 * earlier start, and Node offers that for no module.
 *
 * @module
 */

import type { Buffer } from 'node:buffer'
import { Script } from 'node:vm'
import { denyCode } from './deny_code.ts'

interface ScriptOptions {
  /** What stack traces call it. */
  readonly name: string
  /** In Latin-1, so that each character takes one byte. */
  readonly text: Buffer
  readonly cache: Buffer | undefined
}

/** The way to Node's own modules. */
type Require = typeof require

export function scriptOf({ name, text, cache }: ScriptOptions): Script {
  const source = text.toString('latin1')
  return new Script(source, { filename: name, ...(cache && { cachedData: cache }) })
}

export function run(script: Script, ofNode: Require): void {
  const program: (require: Require) => Promise<void> = script.runInThisContext()
  denyCode()
  // What is rejected goes to the program's own handler.
  void program(ofNode)
}
