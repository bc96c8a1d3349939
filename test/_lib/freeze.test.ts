import { spawn } from 'node:child_process'
import { once } from 'node:events'
import process from 'node:process'
import * as assert from 'uvu/assert'
import { freeze } from './freeze.ts'
import { suite } from './uvu.ts'

const test = suite('_lib/freeze', () => ({}))

test('what is frozen has stopped when the call returns, and goes on later', async () => {
  const script = 'process.stdout.write("up\\n"); process.stdin.pipe(process.stdout)'
  const child = spawn(process.execPath, ['-e', script], { stdio: ['pipe', 'pipe', 'inherit'] })
  try {
    await once(child.stdout, 'data')
    let answered = false
    const answer = once(child.stdout, 'data').then(() => {
      answered = true
    })
    freeze(child.pid ?? 0)
    child.stdin.write('x')
    for (let turn = 0; turn < 50; turn += 1) await new Promise((done) => setTimeout(done, 1))
    assert.not.ok(answered)

    child.kill('SIGCONT')
    await answer
  } finally {
    child.kill('SIGKILL')
  }
})

test.run()
