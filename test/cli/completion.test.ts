import { execFileSync } from 'node:child_process'
import * as assert from 'uvu/assert'
import { runProgram } from '../../src/cli/program.ts'
import { memoryIo } from '../_lib/memory_io.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('cli/completion', () => ({}))

async function scriptFor(shell: string): Promise<string> {
  const io = memoryIo()
  assert.is(await runProgram(['completion', shell], io), 0)
  return io.printed()
}

/** What bash offers after these words, of which the last is unfinished. */
async function bashOffers(...words: string[]): Promise<string[]> {
  const ask = `
COMP_WORDS=(trousseau "$@"); COMP_CWORD=$#
_trousseau
printf '%s\\n' "\${COMPREPLY[@]}"`
  const script = `${await scriptFor('bash')}${ask}`
  const output = execFileSync('bash', ['--norc', '-c', script, 'bash', ...words], {
    cwd: '/',
    encoding: 'utf8',
  })
  return output.split('\n').filter((line) => line !== '')
}

for (const [words, offers] of [
  [['st'], ['status']],
  [['co'], ['config', 'completion']],
  [
    ['config', ''],
    ['validate', 'schema'],
  ],
  [
    ['status', '--'],
    ['--socket', '--config', '--timeout', '--live', '--json'],
  ],
  [['status', '--socket', '/k', '--j'], ['--json']],
  [
    ['completion', ''],
    ['bash', 'zsh', 'fish'],
  ],
  [['help', 'ke'], ['keygen']],
  [['serve', '--config', '/et'], ['/etc']],
] as const) {
  test(`the bash script offers ${offers.join(', ')} after "${words.join(' ')}"`, async () => {
    assert.equal(await bashOffers(...words), [...offers])
  })
}

test('every script names every command and option', async () => {
  for (const shell of ['bash', 'zsh', 'fish']) {
    const script = await scriptFor(shell)
    for (const word of ['serve', 'demo', 'status', 'check', 'keygen', 'validate', 'completion']) {
      assert.match(script, new RegExp(`\\b${word}\\b`))
    }
    for (const option of ['config', 'socket', 'timeout', 'json', 'add-version', 'dir']) {
      assert.match(script, new RegExp(`(?:--|-l )${option}\\b`))
    }
  }
})

test.run()
