/**
 * Makes the code that is inside a binary: the program runs as in the binary, does what most of its
 * starts do, and ends.
 *
 * @module
 */

import type { Buffer } from 'node:buffer'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { NODE_FLAGS, V8_FLAGS } from '../binary_options.ts'
import type { Architecture } from '../runtime.ts'
import { nodeCommand } from './emulator.ts'
import { bundlePart } from './part.ts'

/** Starts the program once, has it do something, and waits for its end. */
export type WarmUp = (start: (args: readonly string[]) => ChildProcess) => Promise<void>

/**
 * Without a fixed seed each run would give other bytes. Code notes which values it met, and a
 * garbage collection changes that, so there is none. V8 does not compare these flags.
 */
const STEADY = ['--random-seed=1', '--min-semi-space-size=128', '--max-semi-space-size=128']

/**
 * @param folder contains the file `program`, and gets the file `cache`
 * @param name what stack traces call the program
 */
export async function warmCache(
  folder: string,
  name: string,
  { architecture, warmUp }: { architecture: Architecture; warmUp: WarmUp },
): Promise<Buffer> {
  const [command, ...before] = await nodeCommand(architecture, folder)
  const node = (file: string, args: readonly string[]) => {
    const flags = [...V8_FLAGS, ...NODE_FLAGS, ...STEADY, join(folder, file)]
    return watched(spawn(command, [...before, ...flags, ...args], { env: {} }))
  }
  const recorder = await bundlePart('recorder.ts', folder, { program: name })
  let ended: Promise<void> | undefined
  await warmUp((args) => {
    const started = node(recorder, args)
    ended = started.ended
    return started.child
  })
  await ended
  await node(await bundlePart('renumber.ts', folder, { program: name }), []).ended
  return await readFile(join(folder, 'cache'))
}

function watched(child: ChildProcess): { child: ChildProcess; ended: Promise<void> } {
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  }
  const ended = once(child, 'close').then(([code]) => {
    if (code !== 0) throw new Error(`Program ended with ${code} as its code was made:\n${output}`)
  })
  // The warm-up may fail first.
  ended.catch(() => undefined)
  return { child, ended }
}
