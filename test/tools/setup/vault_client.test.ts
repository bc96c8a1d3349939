/** For which client the commands are printed that the operator of a key service runs. @module */

import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { runProgram } from '../../../src/cli/program.ts'
import { memoryIo } from '../../_lib/console/memory_io.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { suite } from '../../_lib/uvu.ts'

const test = suite('tools/setup/vault_client', () => ({}))

for (const [there, args, client] of [
  [['bao'], [], 'bao'],
  [['vault'], [], 'vault'],
  [['bao', 'vault'], [], 'vault'],
  [[], [], 'vault'],
  [['bao'], ['--cli', 'vault'], 'vault'],
] as const) {
  const title = `with ${there.join(' and ') || 'no client'} on the PATH`
  test(`commands are for ${client} ${title}${args.length === 0 ? '' : `, and ${args.join(' ')}`}`, async () => {
    await using folder = await tempFolder()
    for (const name of ['one', 'two']) await mkdir(folder.at(name))
    for (const name of there) {
      await writeFile(folder.at(`two/${name}`), '')
      await chmod(folder.at(`two/${name}`), 0o755)
    }
    const config = folder.at('config.yaml')
    await runProgram(['config', 'init', config], memoryIo())
    const environment = { PATH: `${folder.at('one')}::${folder.at('two')}` }
    const printed = async (...argv: string[]) => {
      const into = { ...memoryIo(), environment }
      assert.is(await runProgram(argv, into), 0, into.complained())
      return into.printed()
    }

    const scripts = [
      await printed('vault', 'setup', '--config', config, ...args),
      await printed('login-key', 'create', folder.at('key'), ...args),
    ]
    if (args.length === 0) {
      await printed('manifests', 'vault', '--config', config, '--out', folder.at('made'))
      scripts.push(await readFile(folder.at('made/main-setup.sh'), 'utf8'))
    }

    for (const script of scripts) {
      assert.match(script, new RegExp(`^(?:.*[ (])?${client} (?:read|policy) `, 'm'))
      assert.not.match(
        script,
        new RegExp(`^(?:.*[ (])?${client === 'bao' ? 'vault' : 'bao'} (?:read|policy) `, 'm'),
      )
    }
  })
}

test.run()
