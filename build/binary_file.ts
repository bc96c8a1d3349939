/** Builds one single-executable binary of Node. @module */

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { NODE_FLAGS, V8_FLAGS } from './binary_options.ts'
import { ROOT, run } from './cache.ts'
import { type Architecture, runtime } from './runtime.ts'

interface BinaryOptions {
  readonly architecture: Architecture
  /**
   * The bundle, as a path from the project's root, because the path is recorded inside the binary.
   */
  readonly main: string
  readonly output: string
  readonly v8Flags?: readonly string[]
}

export async function buildBinary(options: BinaryOptions): Promise<void> {
  const { architecture, main, output, v8Flags = V8_FLAGS } = options
  const { node, version } = await runtime(architecture)
  if (process.versions.node !== version) {
    throw new Error(`Node ${version} injects itself: wanted it here, not ${process.versions.node}`)
  }
  const folder = await mkdtemp(join(tmpdir(), 'trousseau-binary-'))
  try {
    const config = join(folder, 'config.json')
    const content = {
      main,
      mainFormat: 'module',
      executable: node,
      output,
      disableExperimentalSEAWarning: true,
      // V8 can make a code cache only for the machine that it runs on.
      useCodeCache: architecture === process.arch,
      execArgv: [...v8Flags, ...NODE_FLAGS],
      execArgvExtension: 'none',
    }
    await writeFile(config, JSON.stringify(content))
    // Without a fixed seed each build would give another code cache. The seed has no effect when
    // the binary runs.
    const flags = [...v8Flags, '--random-seed=1', '--build-sea', config]
    await run(process.execPath, flags, { cwd: ROOT })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
