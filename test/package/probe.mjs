// Tries what the binary's flags deny, and prints one line of JSON. It becomes a binary in a test.
import childProcess from 'node:child_process'
import { Session } from 'node:inspector'
import process from 'node:process'
import { WASI } from 'node:wasi'
import { Worker } from 'node:worker_threads'

const attempts = {
  code: () => new Function('return 1')(),
  child: () => childProcess.execFileSync('/bin/true'),
  thread: () => new Worker('', { eval: true }),
  inspector: () => new Session().connect(),
  native: () => process.dlopen({ exports: {} }, '/nowhere.node'),
  wasi: () => new WASI({ version: 'preview1' }),
}
const answers = Object.entries(attempts).map(([name, attempt]) => {
  try {
    attempt()
    return [name, 'allowed']
  } catch ({ name: kind, code }) {
    return [name, code ?? kind]
  }
})
process.stdout.write(`${JSON.stringify(Object.fromEntries(answers))}\n`)
