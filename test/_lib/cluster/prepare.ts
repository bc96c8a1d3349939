/** Builds the programs of a cluster before the tests, and says what takes so long. @module */

import process from 'node:process'
import { chosenVersion, etcdBinaries, helmBinary, kubernetesBinaries } from './binaries.ts'

const version = chosenVersion()
for (const [name, build] of [
  ['etcd', etcdBinaries],
  ['helm', helmBinary],
  [`Kubernetes ${version} (some minutes the first time)`, () => kubernetesBinaries(version)],
] as const) {
  const start = performance.now()
  process.stdout.write(`${name} …\n`)
  await build()
  process.stdout.write(`${name}: there after ${Math.round((performance.now() - start) / 1000)} s\n`)
}
