/**
 * Credentials that the setup leaves on a node: each is made once, and only its owner can read it.
 *
 * @module
 */

import { randomBytes } from 'node:crypto'
import { access, constants, link, lstat, open, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { KmsError, systemCodeOf, systemReasonOf } from '../../../base/errors.ts'
import { NEW_ON_DISK } from '../../../base/file_on_disk.ts'
import type { StepFinding } from './step.ts'

const FILE_MODE = 0o600
const ABSENT = new Set(['ENOENT', 'ENOTDIR'])

/**
 * Whether a file exists, can be made, or cannot be made, since its folder is not writable or this
 * machine has no such folder.
 */
type Place = 'taken' | 'free' | 'shut' | 'no folder'

export async function placeOf(path: string): Promise<Place> {
  const folder = dirname(path)
  if (await exists(path)) return 'taken'
  if (!(await exists(folder))) return 'no folder'
  return (await takesFiles(folder)) ? 'free' : 'shut'
}

async function takesFiles(folder: string): Promise<boolean> {
  try {
    await access(folder, constants.W_OK | constants.X_OK)
    return (await stat(folder)).isDirectory()
  } catch {
    return false
  }
}

/** @param content what would be written into the file */
export function fileFinding(place: Place, content: string): StepFinding {
  if (place === 'taken') return { state: 'ok', detail: 'is there, and stays as it is' }
  if (place === 'free') return { state: 'make', detail: `${content}, mode 0600` }
  if (place === 'shut') {
    const detail = 'its folder is none, or you may not write there: check it and your rights'
    return { state: 'refused', detail }
  }
  return { state: 'by hand', detail: 'this machine has no such folder: put it on each node' }
}

/**
 * Writes a file that must not exist. The secret is asked for only once the folder has proved
 * writable, so that none is made in vain.
 */
export async function writeNewSecret(path: string, secret: () => Promise<string>): Promise<void> {
  const draft = `${path}.${randomBytes(6).toString('hex')}.new`
  try {
    const file = await open(draft, NEW_ON_DISK, FILE_MODE)
    try {
      await file.writeFile(`${await secret()}\n`)
    } finally {
      await file.close()
    }
    // Unlike a rename, making a link fails where a file exists.
    await link(draft, path)
  } catch (error) {
    throw error instanceof KmsError ? error : cannotWrite(path, error)
  } finally {
    await rm(draft, { force: true })
  }
}

/** A link that leads nowhere exists as well. */
function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    (cause: unknown) => {
      if (ABSENT.has(systemCodeOf(cause) ?? '')) return false
      throw cannotWrite(path, cause)
    },
  )
}

function cannotWrite(path: string, cause: unknown): KmsError {
  return new KmsError(`Cannot write "${path}": ${systemReasonOf(cause)}`, {
    code: 'unavailable',
    cause,
  })
}
