/** Writes files of `stateDir`, each whole or not at all. @module */

import { randomBytes } from 'node:crypto'
import { rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { KmsError, systemReasonOf } from '../base/errors.ts'
import { writeNewFile } from '../base/file_on_disk.ts'
import { makeFolder } from '../base/make_folder.ts'

const FOLDER_MODE = 0o700

/** Reports already at the start that the folder cannot be made. */
export async function prepareFolder(folder: string): Promise<void> {
  try {
    await makeFolder(folder, FOLDER_MODE)
  } catch (cause) {
    throw unusable(folder, 'made', cause)
  }
}

export async function replaceInFolder(path: string, text: string): Promise<void> {
  const draft = `${path}.${randomBytes(6).toString('hex')}.new`
  try {
    await writeNewFile(draft, text, 0o600)
    await rename(draft, path)
  } catch (cause) {
    await rm(draft, { force: true })
    throw unusable(dirname(path), 'written to', cause)
  }
}

function unusable(folder: string, what: string, cause: unknown): KmsError {
  return new KmsError(`stateDir ${folder} cannot be ${what}: ${systemReasonOf(cause)}`, {
    code: 'unavailable',
    cause,
  })
}
