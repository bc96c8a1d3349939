/**
 * The saved state in a file of `stateDir` (design §6). A file that cannot be used
 * is as good as none: what it would have told is asked of the key service.
 *
 * @module
 */

import { randomBytes } from 'node:crypto'
import { mkdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import * as v from 'valibot'
import { writeNewFile } from '../auth/file_on_disk.ts'
import type { SavedState, StateStore } from '../kms/state.ts'

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

export function createStateFile(folder: string): StateStore {
  const path = join(folder, FILE_NAME)
  return {
    async load() {
      const text = await readFile(path, 'utf8').catch(() => undefined)
      const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), stateSchema), text)
      return parsed.success ? parsed.output : undefined
    },
    async save(state: SavedState) {
      await mkdir(folder, { recursive: true, mode: 0o700 })
      const draft = `${path}.${randomBytes(6).toString('hex')}.new`
      try {
        await writeNewFile(draft, `${JSON.stringify({ format: 2, ...state })}\n`, 0o600)
        await rename(draft, path)
      } catch (error) {
        await rm(draft, { force: true })
        throw error
      }
    },
  }
}
