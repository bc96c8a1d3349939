/** Programs of tests as bundles, which like the plugin's become binaries. @module */

import { join } from 'node:path'
import process from 'node:process'
import { build } from 'esbuild'
import { buildBinary } from '../../../build/binary_file.ts'
import { BUNDLE_OPTIONS } from '../../../build/bundle_options.ts'
import { ROOT } from './shipped.ts'

/** The bundle and the binary of a file of `test/package`, in the folder. */
export async function probe(
  file: string,
  folder: string,
): Promise<{ readonly bundle: string; readonly binary: string }> {
  const [bundle, binary] = [join(folder, 'probe.mjs'), join(folder, 'probe')]
  const entryPoints = [join('test', 'package', file)]
  // That a probe calls eval is no mistake.
  const logOverride = { 'direct-eval': 'silent' } as const
  await build({
    ...BUNDLE_OPTIONS,
    absWorkingDir: ROOT,
    entryPoints,
    outfile: bundle,
    logOverride,
  })
  const architecture = process.arch === 'arm64' ? 'arm64' : 'x64'
  await buildBinary({ architecture, main: bundle, output: binary })
  return { bundle, binary }
}
