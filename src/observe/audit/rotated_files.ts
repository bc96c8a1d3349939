/** Names of files that were rotated, and which of them may go. @module */

import { readdir, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

/** One restart a second reaches it in three hours, if each served a request; a kubelet's, in weeks. */
const MAX_FILES = 10_000

export interface RotatedFile {
  readonly path: string
  /** Of its last line when it was rotated. */
  readonly seq: number
  readonly stamp: string
}

/** `NAME.20261130T120000123Z-17`: when it was rotated, and the number of its last line. */
export function rotatedPath(path: string, now: number, seq: number): string {
  return `${path}.${new Date(now).toISOString().replaceAll(/[-:.]/g, '')}-${seq}`
}

/** The oldest first. By number, since a clock may have been wrong. */
export async function rotatedFiles(path: string): Promise<RotatedFile[]> {
  const folder = dirname(path)
  const start = `${basename(path)}.`
  const files = (await readdir(folder)).flatMap((name) => {
    const [, stamp, seq] = name.startsWith(start)
      ? (/^(\d{8}T\d{9}Z)-(\d{1,15})$/.exec(name.slice(start.length)) ?? [])
      : []
    if (stamp === undefined || seq === undefined) return []
    return [{ path: join(folder, name), seq: Number(seq), stamp }]
  })
  return files.toSorted((a, b) => a.seq - b.seq || (a.stamp < b.stamp ? -1 : 1))
}

/**
 * Deletes the oldest while all together are larger than that. Bytes count and not files, so that
 * a plugin that is restarted again and again, each time with a small file, pushes nothing out.
 */
export async function deleteOldest(path: string, maxTotalBytes: number): Promise<void> {
  const files = await rotatedFiles(path)
  let [bytes, kept] = [0, 0]
  for (const file of files.toReversed()) {
    const size = await stat(file.path).then(
      (found) => found.size,
      () => 0,
    )
    bytes += size
    kept += 1
    if (kept > 1 && (bytes > maxTotalBytes || kept > MAX_FILES))
      await rm(file.path, { force: true })
  }
}
