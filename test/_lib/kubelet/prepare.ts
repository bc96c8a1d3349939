/** Builds the programs of nodes before the tests, and says how long it took. @module */

import process from 'node:process'
import { prepareNodes } from './programs.ts'

const start = performance.now()
process.stdout.write('programs of a node (some minutes the first time) …\n')
await prepareNodes()
process.stdout.write(`there after ${Math.round((performance.now() - start) / 1000)} s\n`)
