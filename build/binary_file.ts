/** Builds one single-executable binary of Node. @module */

import type { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import process from 'node:process'
import { NODE_FLAGS, V8_FLAGS } from './binary_options.ts'
import { ROOT, run } from './cache.ts'
import { type Architecture, runtime } from './runtime.ts'
import { bundlePart } from './start/part.ts'
import { programText } from './start/program_text.ts'
import { type WarmUp, warmCache } from './start/warm_cache.ts'

interface BinaryOptions {
  readonly architecture: Architecture
  /** The bundle. */
  readonly main: string
  readonly output: string
  readonly v8Flags?: readonly string[]
  /** What the program does while its code is made; without it there is no code in the binary. */
  readonly warmUp?: WarmUp
}

export async function buildBinary(options: BinaryOptions): Promise<void> {
  const { architecture, main, output, v8Flags = V8_FLAGS, warmUp } = options
  const { node, version } = await runtime(architecture)
  if (process.versions.node !== version) {
    throw new Error(`Node ${version} injects itself: wanted it here, not ${process.versions.node}`)
  }
  const folder = await mkdtemp(join(tmpdir(), 'trousseau-binary-'))
  try {
    const name = basename(main)
    const text = programText(await readFile(resolve(ROOT, main), 'utf8'))
    await writeFile(join(folder, 'program'), text, 'latin1')
    const cache = warmUp && (await warmCache(folder, name, { architecture, warmUp }))
    const content = {
      // Names of files in the folder, since they are recorded inside the binary.
      main: await bundlePart('loader.ts', folder, { program: name, cacheSha256: sha256(cache) }),
      mainFormat: 'commonjs',
      executable: node,
      output: resolve(ROOT, output),
      disableExperimentalSEAWarning: true,
      assets: { program: 'program', ...(cache && { cache: 'cache' }) },
      execArgv: [...v8Flags, ...NODE_FLAGS],
      execArgvExtension: 'none',
    }
    await writeFile(join(folder, 'config.json'), JSON.stringify(content))
    await run(process.execPath, ['--build-sea', 'config.json'], { cwd: folder })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function sha256(bytes: Buffer | undefined): string {
  return bytes === undefined ? '' : createHash('sha256').update(bytes).digest('hex')
}
