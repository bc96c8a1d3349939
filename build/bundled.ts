/** What is in the bundle. @module */

import { build, type Metafile } from 'esbuild'
import { BUNDLE_OPTIONS } from './bundle_options.ts'
import { ROOT } from './cache.ts'

/** The packages' folder may be a link to another place; a package may have packages of its own. */
const IN_PACKAGE = /node_modules\/.*/
const FOLDER = /^.*node_modules\/(?:@[^/]+\/)?[^/]+/

/** Bundles the program. @param write whether the bundle is wanted, and not only what is in it */
export async function bundled(write: boolean): Promise<Metafile> {
  const { metafile } = await build({
    ...BUNDLE_OPTIONS,
    absWorkingDir: ROOT,
    entryPoints: ['src/main.ts'],
    outfile: 'dist/trousseau.mjs',
    metafile: true,
    write,
  })
  return metafile
}

/** By the folder of each package in the bundle, its files there. */
export function packagesIn({ outputs }: Metafile): Map<string, string[]> {
  const files = Object.values(outputs)
    .flatMap(({ inputs }) => Object.entries(inputs))
    .flatMap(([file, { bytesInOutput }]) =>
      bytesInOutput > 0 ? (IN_PACKAGE.exec(file) ?? []) : [],
    )
  const packages = new Map<string, string[]>()
  for (const file of files.sort()) {
    const [folder = ''] = FOLDER.exec(file) ?? []
    packages.set(folder, [...(packages.get(folder) ?? []), file])
  }
  return packages
}
