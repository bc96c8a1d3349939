/**
 * `npm run build:binary` puts the bundle inside Node, for each architecture. The same sources and
 * lock file give the same bytes.
 *
 * @module
 */

import process from 'node:process'
import { buildBinary } from './binary_file.ts'
import { ARCHITECTURES } from './runtime.ts'
import { warmUpPlugin } from './start/warm_up.ts'

for (const architecture of ARCHITECTURES) {
  const output = `dist/trousseau-linux-${architecture}`
  await buildBinary({ architecture, main: 'dist/trousseau.mjs', output, warmUp: warmUpPlugin })
  process.stdout.write(`${output}\n`)
}
