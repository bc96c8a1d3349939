/**
 * Keeps the saved state in a file of `stateDir`. A file that cannot be used is treated like a
 * missing one, and the plugin asks the key service instead.
 *
 * @module
 */

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as v from 'valibot'
import type { SavedState, StateStore } from '../kms/state.ts'
import { PatientDisk } from './patient_disk.ts'
import { prepareFolder, replaceInFolder } from './state_folder.ts'

const FILE_NAME = 'state.json'
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
        await prepareFolder(folder)
        return undefined
      }),
    save: (state: SavedState) =>
      disk.ask(async () => {
        await prepareFolder(folder)
        await replaceInFolder(path, `${JSON.stringify({ format: 2, ...state })}\n`)
      }),
  }
}
