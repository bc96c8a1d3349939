/**
 * Keeps the saved state in a file of `stateDir`. A file that cannot be used is treated like a
 * missing one, and the plugin asks the key service instead.
 *
 * @module
 */

import { randomBytes } from 'node:crypto'
import { readFile, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import * as v from 'valibot'
import { KmsError, systemReasonOf } from '../base/errors.ts'
import { writeNewFile } from '../base/file_on_disk.ts'
import { makeFolder } from '../base/make_folder.ts'
import type { SavedState, StateStore } from '../kms/state.ts'
import { PatientDisk } from './patient_disk.ts'

const FILE_NAME = 'state.json'
const FOLDER_MODE = 0o700
const seconds = v.pipe(v.number(), v.integer(), v.minValue(0))
const stateSchema = v.object({
  format: v.literal(2),
  endpoints: v.array(
    v.object({
      name: v.string(),
      keyId: v.optional(v.string()),
      members: v.array(
        v.object({ providerId: v.string(), version: v.string(), createdAt: seconds }),
      ),
      out: v.array(v.string()),
      lastSuccess: v.pipe(v.number(), v.minValue(0)),
    }),
  ),
  seen: v.array(
    v.object({
      providerId: v.string(),
      versions: v.array(v.object({ label: v.string(), createdAt: seconds })),
    }),
  ),
})

interface StateFile extends StateStore {
  /** True while the file system owes an answer. */
  stuck(): boolean
}

interface StateFileOptions {
  /** How long the file system may take for one answer. */
  readonly limitMs?: number
}

export function createStateFile(folder: string, { limitMs }: StateFileOptions = {}): StateFile {
  const path = join(folder, FILE_NAME)
  const disk = new PatientDisk(folder, limitMs)
  return {
    stuck: () => disk.stuck,
    load: () =>
      disk.ask(async () => {
        const text = await readFile(path, 'utf8').catch(() => undefined)
        const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), stateSchema), text)
        if (parsed.success) return parsed.output
        await prepare(folder)
        return undefined
      }),
    save: (state: SavedState) =>
      disk.ask(async () => {
        await prepare(folder)
        await replace(path, `${JSON.stringify({ format: 2, ...state })}\n`)
      }),
  }
}

/** Reports already at the start that the folder cannot be made. */
async function prepare(folder: string): Promise<void> {
  try {
    await makeFolder(folder, FOLDER_MODE)
  } catch (cause) {
    throw unusable(folder, 'made', cause)
  }
}

async function replace(path: string, text: string): Promise<void> {
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
