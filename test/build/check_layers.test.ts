/** The layer check, on small trees with one fault each. @module */

import { mkdir, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import * as assert from 'uvu/assert'
import { layerProblems } from '../../build/layers.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('build/check_layers', () => ({}))

async function problemsOf(files: Readonly<Record<string, string>>): Promise<string[]> {
  await using folder = await tempFolder()
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(folder.at(path)), { recursive: true })
    await writeFile(folder.at(path), text)
  }
  return await layerProblems(folder.path)
}

test('layerProblems() accepts imports along the arrow and packages with their owners', async () => {
  const problems = await problemsOf({
    'src/main.ts': "import process from 'node:process'\nimport { run } from './cli/program.ts'\n",
    'src/cli/program.ts':
      "import { Command } from 'commander'\nimport { serve } from '../grpc/server.ts'\nimport manifest from '../../package.json' with { type: 'json' }\n",
    'src/grpc/server.ts':
      "import {\n  Server,\n  type ServerOptions,\n} from '@grpc/grpc-js'\nimport type { Call } from '../kms/call.ts'\n",
    'src/observe/log.ts': "import { pino } from 'pino'\n",
    'src/config/load.ts': "import * as v from 'valibot'\nimport { parse } from 'yaml'\n",
    'src/kms/call.ts':
      "import { createHash } from 'node:crypto'\nimport { codec } from '@bufbuild/protobuf/codegenv2'\n",
  })
  assert.equal(problems, [])
})

const FAULTS: readonly [file: string, text: string, target: string][] = [
  ['src/kms/a.ts', "import { x } from '../http/b.ts'", '../http/b.ts'],
  ['src/kms/a.ts', "import type { X } from '../grpc/b.ts'", '../grpc/b.ts'],
  ['src/kms/a.ts', "import { readFile } from 'node:fs/promises'", 'node:fs/promises'],
  ['src/kms/a.ts', "import * as v from 'valibot'", 'valibot'],
  ['src/providers/a.ts', "import { x } from '../grpc/b.ts'", '../grpc/b.ts'],
  ['src/providers/a.ts', "import {\n  x,\n  y,\n} from '../grpc/b.ts'", '../grpc/b.ts'],
  ['src/providers/a.ts', "import { x } from '../policy/b.ts'", '../policy/b.ts'],
  ['src/grpc/a.ts', "import { x } from '../config/b.ts'", '../config/b.ts'],
  ['src/grpc/a.ts', "import '../observe/b.ts'", '../observe/b.ts'],
  ['src/auth/a.ts', "export { x } from '../providers/b.ts'", '../providers/b.ts'],
  ['src/auth/a.ts', "const b = await import('../cli/b.ts')", '../cli/b.ts'],
  ['src/auth/a.ts', 'const b = await import(name)', 'a name made at run time'],
  ['src/cli/a.ts', "import { x } from '../main.ts'", '../main.ts'],
  ['src/cli/a.ts', "import { Agent } from 'undici'", 'undici'],
  ['src/cli/a.ts', "import { x } from '../../test/b.ts'", '../../test/b.ts'],
  ['src/etcd/a.ts', "import { Client } from '@grpc/grpc-js'", '@grpc/grpc-js'],
  ['src/grpc/a.ts', "import { pino } from 'pino'", 'pino'],
  ['src/cli/a.ts', "import { Registry } from 'prom-client'", 'prom-client'],
  ['src/observe/a.ts', "import { Command } from 'commander'", 'commander'],
  ['src/providers/a.ts', "import { parse } from 'yaml'", 'yaml'],
  ['src/http/a.ts', "import { SignJWT } from 'jose'", 'jose'],
  ['src/http/a.ts', "import leftPad from 'left-pad'", 'left-pad'],
  ['src/http/a.ts', "import manifest from '../../package.json'", '../../package.json'],
  ['src/main.ts', "import { KmsError } from './kms/errors.ts'", './kms/errors.ts'],
  ['src/main.ts', "import { Agent } from 'undici'", 'undici'],
]

for (const [file, text, target] of FAULTS) {
  test(`layerProblems() names ${file} for ${JSON.stringify(text)}`, async () => {
    const problems = await problemsOf({ [file]: `${text}\n` })
    assert.equal(problems, [`${file} -> ${target}`])
  })
}

for (const file of ['src/helpers/a.ts', 'src/other.ts']) {
  test(`layerProblems() refuses ${file}, which nothing lists`, async () => {
    const problems = await problemsOf({ [file]: 'export const a = 1\n' })
    assert.equal(problems, [`${file}: its folder is not listed in build/layers.ts`])
  })
}

test.run()
