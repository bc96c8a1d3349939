/** Folders that are made where they are missing. @module */

import { mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { systemCodeOf } from './errors.ts'

/**
 * Like `mkdir -p`. The runtime's own never ends below /proc, where a folder can not
 * be made although the one above it is there, and takes a core meanwhile.
 */
export async function makeFolder(path: string, mode: number): Promise<void> {
  try {
    await makeOne(path, mode)
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT' || dirname(path) === path) throw error
    await makeFolder(dirname(path), mode)
    await makeOne(path, mode)
  }
}

async function makeOne(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path, { mode })
  } catch (error) {
    if (systemCodeOf(error) !== 'EEXIST') throw error
  }
}
