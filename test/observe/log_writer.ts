/** A program that logs more than a pipe holds, closes its log and exits, as `serve` does. @module */

import process from 'node:process'
import { setImmediate } from 'node:timers'
import { createLogger } from '../../src/observe/log.ts'
import { standardError } from '../../src/observe/log_file.ts'

const output = standardError()
const log = createLogger({
  level: 'info',
  format: 'json',
  output,
  monotonic: () => performance.now(),
})
const lines = Number(process.argv[2])
for (const when of ['early', 'late']) {
  for (let line = 0; line < lines; line += 1) {
    const message = `${when} ${line} ${'x'.repeat(100)}`
    log.emit({ type: 'notice', level: 'info', what: 'started', message })
  }
  // The first write meets the reader before the second half is there.
  await new Promise((resolve) => {
    setImmediate(resolve)
  })
}
// As after an error that nobody caught.
if (process.argv[3] === 'crash') process.exit(3)
await output.close()
log.emit({ type: 'notice', level: 'info', what: 'started', message: 'After the end' })
process.exit(0)
