/**
 * `npm run build:binary` puts the bundle inside Node, for each architecture, or for that of
 * `--architecture` alone, and the licences of both beside it. The same sources and lock file give
 * the same bytes.
 *
 * @module
 */

import { readFile, writeFile } from 'node:fs/promises'
import process from 'node:process'
import { parseArgs } from 'node:util'
import { buildBinary } from './binary_file.ts'
import { ARCHITECTURES, runtime } from './runtime.ts'
import { warmUpPlugin } from './start/warm_up.ts'

const { values } = parseArgs({ options: { architecture: { type: 'string' } } })
const chosen = ARCHITECTURES.filter((each) => (values.architecture ?? each) === each)
if (chosen.length === 0) throw new Error(`Wanted --architecture ${ARCHITECTURES.join(' or ')}`)

for (const architecture of chosen) {
  const output = `dist/trousseau-linux-${architecture}`
  await buildBinary({ architecture, main: 'dist/trousseau.mjs', output, warmUp: warmUpPlugin })
  const { version, licence } = await runtime(architecture)
  const node = `\n---- Node.js ${version} ----\n\n${await readFile(licence, 'utf8')}`
  const legal = await readFile('dist/trousseau.mjs.LEGAL.txt', 'utf8')
  await writeFile(`${output}.LEGAL.txt`, legal + node)
  process.stdout.write(`${output}\n`)
}
