/**
 * Removes platform packages that the registry does not have from the optional dependencies in the
 * lock file: npm does not lock them, and `npm ci` would then refuse the lock file because they are
 * missing. `npm run lock` runs this after a change of dependencies.
 *
 * @module
 */

import { readFile, writeFile } from 'node:fs/promises'
import process from 'node:process'
import * as v from 'valibot'

const PATH = 'package-lock.json'
const entry = v.looseObject({
  optionalDependencies: v.optional(v.record(v.string(), v.string())),
})
const lockSchema = v.looseObject({ packages: v.record(v.string(), entry) })

const lock = v.parse(lockSchema, JSON.parse(await readFile(PATH, 'utf8')))
let pruned = 0
for (const { optionalDependencies = {} } of Object.values(lock.packages)) {
  for (const name of Object.keys(optionalDependencies)) {
    if (lock.packages[`node_modules/${name}`] !== undefined) continue
    delete optionalDependencies[name]
    pruned += 1
  }
}
await writeFile(PATH, `${JSON.stringify(lock, null, 2)}\n`)
process.stdout.write(`${PATH}: left out ${pruned} packages that the registry does not have\n`)
