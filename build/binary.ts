/**
 * `npm run build:binary` puts the bundle inside Node, for each architecture, or for that of
 * `--architecture` alone. The same sources and lock file give the same bytes.
 *
 * @module
 */

import process from 'node:process'
import { parseArgs } from 'node:util'
import { buildBinary } from './binary_file.ts'
import { ARCHITECTURES } from './runtime.ts'
import { warmUpPlugin } from './start/warm_up.ts'

const { values } = parseArgs({ options: { architecture: { type: 'string' } } })
const chosen = ARCHITECTURES.filter((each) => (values.architecture ?? each) === each)
if (chosen.length === 0) throw new Error(`Wanted --architecture ${ARCHITECTURES.join(' or ')}`)

for (const architecture of chosen) {
  const output = `dist/trousseau-linux-${architecture}`
  await buildBinary({ architecture, main: 'dist/trousseau.mjs', output, warmUp: warmUpPlugin })
  process.stdout.write(`${output}\n`)
}
