/** The small programs of this folder, each as one file. @module */

import { join } from 'node:path'
import { build } from 'esbuild'
import { ROOT } from '../cache.ts'

interface Names {
  /** What stack traces call the program. */
  readonly program: string
  /** The digest of its code; empty where there is none. */
  readonly cacheSha256?: string
}

/** Resolves to the name of the file in the folder. */
export async function bundlePart(
  part: 'loader.ts' | 'recorder.ts' | 'renumber.ts',
  folder: string,
  { program, cacheSha256 = '' }: Names,
): Promise<string> {
  const file = part.replace('.ts', '.cjs')
  await build({
    absWorkingDir: ROOT,
    entryPoints: [join('build', 'start', part)],
    outfile: join(folder, file),
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node24',
    define: {
      PROGRAM_NAME: JSON.stringify(program),
      CACHE_SHA256: JSON.stringify(cacheSha256),
    },
  })
  return file
}
