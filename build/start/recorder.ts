/**
 * Runs the program as a binary does until it is told to stop, writes the code that V8 has made of it by
 * then, and ends. Functions that never ran are not in it, and what the program kept or read is not either.
 *
 * @module
 */

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { cachedDataVersionTag, setFlagsFromString } from 'node:v8'
import { run, scriptOf } from './script.ts'

declare const PROGRAM_NAME: string

/**
 * V8 forgets code that has not run for a while, and notes on a function how far it was optimised. How
 * far either goes depends on the machine.
 */
const UNSTEADY = ['flush-bytecode', 'sparkplug', 'maglev', 'turbofan']
/** What the program itself sets once it serves, as it was before. */
const BEFORE = '--heap-growing-percent=0'

const flags = cachedDataVersionTag()
for (const name of UNSTEADY) setFlagsFromString(`--no-${name}`)
const text = readFileSync(join(__dirname, 'program'))
const script = scriptOf({ name: PROGRAM_NAME, text, cache: undefined })
// Whether a stop is smooth depends on the machine, so there is nothing of it.
process.on('SIGTERM', () => {
  // The cache names the flags under which it was made, and fits no others.
  for (const flag of [...UNSTEADY.map((name) => `--${name}`), BEFORE]) setFlagsFromString(flag)
  if (cachedDataVersionTag() !== flags)
    throw new Error('The program sets a flag of V8 that is not put back here')
  writeFileSync(join(__dirname, 'cache'), script.createCachedData())
  process.exit()
})
run(script, require)
