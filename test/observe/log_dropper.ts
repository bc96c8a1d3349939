/**
 * A program that logs more than is kept for a reader that is stuck, says on standard output how many
 * lines were dropped and that it has closed its log, and ends as soon as somebody has read all.
 *
 * @module
 */

import process from 'node:process'
import { createLogger } from '../../src/observe/log.ts'
import { standardError } from '../../src/observe/log_file.ts'
import { until } from '../_lib/wait.ts'

const output = standardError()
const log = createLogger({
  level: 'info',
  format: 'json',
  output,
  monotonic: () => performance.now(),
})
let dropped = 0
log.tellLosses({
  emit(event) {
    if (event.type === 'log_loss' && event.fate === 'dropped') dropped += event.lines
  },
})
const lines = Number(process.argv[2])
let line = 0
// In parts, since the lines of one moment are kept or dropped together.
await until('lines are dropped', () => {
  for (let part = 0; part < lines / 10; part += 1) {
    const message = `${line} ${'x'.repeat(1_000)}`
    log.emit({ type: 'notice', level: 'info', what: 'started', message })
    line += 1
  }
  return dropped > 0
})
process.stdout.write(`${line} ${dropped}\n`)
await output.close()
process.stdout.write('closed\n')
