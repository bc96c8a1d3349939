/**
 * Compresses the layers of images. That takes a minute for each, and a release does it twice, so
 * what was made is kept in the cache by what it was made of, and believed only where it unpacks to
 * just that.
 *
 * @module
 */

import type { Buffer } from 'node:buffer'
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { promisify } from 'node:util'
import { constants, gunzip, gzip, zstdCompress, zstdDecompress } from 'node:zlib'
import { CACHE } from './cache.ts'
import { digestOf } from './oci.ts'

export interface Compression {
  readonly kind: 'gzip' | 'zstd'
  /** The library and its level: with others, the same content gives other bytes. */
  readonly by: string
  readonly compress: (content: Buffer) => Promise<Buffer>
  readonly expand: (bytes: Buffer) => Promise<Buffer>
}

export const GZIP: Compression = {
  kind: 'gzip',
  by: `zlib-${process.versions['zlib']}-9`,
  compress: (content) => promisify(gzip)(content, { level: constants.Z_BEST_COMPRESSION }),
  expand: promisify(gunzip),
}

export const ZSTD: Compression = {
  kind: 'zstd',
  by: `zstd-${process.versions['zstd']}-19`,
  compress: (content) =>
    promisify(zstdCompress)(content, {
      // A minute, and a tenth smaller than what takes seconds.
      params: { [constants.ZSTD_c_compressionLevel]: 19 },
    }),
  expand: promisify(zstdDecompress),
}

/** Those of three builds for two architectures, in both ways. */
const MOST_KEPT = 16

/** @param folder where earlier results are */
export async function compressed(
  content: Buffer,
  { by, compress, expand }: Compression,
  folder = join(CACHE, 'layers'),
): Promise<Buffer> {
  const digest = digestOf(content)
  const path = join(folder, `${digest.replace(':', '-')}.${by}`)
  const kept = await readFile(path).catch(() => undefined)
  if (kept !== undefined && (await digestInside(kept, expand)) === digest) {
    const now = new Date()
    await utimes(path, now, now).catch(() => undefined)
    return kept
  }
  const made = await compress(content)
  await mkdir(folder, { recursive: true })
  const draft = `${path}.new-${process.pid}`
  await writeFile(draft, made)
  await rename(draft, path)
  await removeOldest(folder)
  return made
}

function digestInside(bytes: Buffer, expand: Compression['expand']): Promise<string | undefined> {
  return expand(bytes).then(digestOf, () => undefined)
}

async function removeOldest(folder: string): Promise<void> {
  const paths = (await readdir(folder)).map((name) => join(folder, name))
  const used = paths.map(async (path) => {
    const found = await stat(path).catch(() => undefined)
    return { path, at: found?.mtimeMs ?? 0 }
  })
  const latestFirst = (await Promise.all(used)).toSorted((a, b) => b.at - a.at)
  for (const { path } of latestFirst.slice(MOST_KEPT)) await rm(path, { force: true })
}
