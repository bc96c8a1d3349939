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
      "import { Command } from 'commander'\nimport { scan } from '../tools/scan/run.ts'\n",
    'src/grpc/server.ts':
      "import {\n  Server,\n  type ServerOptions,\n} from '@grpc/grpc-js'\nimport type { Call } from '../base/call.ts'\n",
    'src/plugin/version.ts': "import manifest from '../../package.json' with { type: 'json' }\n",
    'src/observe/metrics.ts': "import { Registry } from 'prom-client'\n",
    'src/config/load.ts': "import * as v from 'valibot'\nimport { parse } from 'yaml'\n",
    'src/services/aws/key.ts':
      "import { AwsClient } from 'aws4fetch'\nimport { shown } from '../shown.ts'\n",
    'src/services/registry.ts': "import { key } from './aws/key.ts'\n",
    'src/tools/etcd/client.ts': "import { Client } from '@grpc/grpc-js'\n",
    'src/kms/call.ts':
      "import { createHash } from 'node:crypto'\nimport { codec } from '@bufbuild/protobuf/codegenv2'\n",
  })
  assert.equal(problems, [])
})

const FAULTS: readonly [file: string, text: string, target: string][] = [
  ['src/base/a.ts', "import { x } from '../kms/b.ts'", '../kms/b.ts'],
  ['src/kms/a.ts', "import { x } from '../remote/b.ts'", '../remote/b.ts'],
  ['src/kms/a.ts', "import { x } from '../services/b.ts'", '../services/b.ts'],
  ['src/kms/a.ts', "import type { X } from '../grpc/b.ts'", '../grpc/b.ts'],
  ['src/kms/a.ts', "import { readFile } from 'node:fs/promises'", 'node:fs/promises'],
  ['src/kms/a.ts', "import * as v from 'valibot'", 'valibot'],
  ['src/services/a.ts', "import { x } from '../kms/b.ts'", '../kms/b.ts'],
  ['src/services/a.ts', "import {\n  x,\n  y,\n} from '../grpc/b.ts'", '../grpc/b.ts'],
  ['src/services/aws/a.ts', "import { x } from '../vault/b.ts'", '../vault/b.ts'],
  ['src/services/aws/login/a.ts', "import { x } from '../../vault/api.ts'", '../../vault/api.ts'],
  ['src/services/vault/a.ts', "import { AwsClient } from 'aws4fetch'", 'aws4fetch'],
  ['src/services/a.ts', "import { x } from '../policy/b.ts'", '../policy/b.ts'],
  ['src/grpc/a.ts', "import { x } from '../config/b.ts'", '../config/b.ts'],
  ['src/grpc/a.ts', "import '../observe/b.ts'", '../observe/b.ts'],
  ['src/remote/a.ts', "export { x } from '../services/b.ts'", '../services/b.ts'],
  ['src/remote/a.ts', "const b = await import('../cli/b.ts')", '../cli/b.ts'],
  ['src/remote/a.ts', 'const b = await import(name)', 'a name made at run time'],
  ['src/plugin/a.ts', "import { x } from '../tools/b.ts'", '../tools/b.ts'],
  ['src/plugin/a.ts', "import type { Io } from '../console/io.ts'", '../console/io.ts'],
  ['src/tools/scan/a.ts', "import { x } from '../../cli/b.ts'", '../../cli/b.ts'],
  ['src/cli/a.ts', "import { x } from '../main.ts'", '../main.ts'],
  ['src/cli/a.ts', "import { Agent } from 'undici'", 'undici'],
  ['src/cli/a.ts', "import { x } from '../b.ts'", '../b.ts'],
  ['src/tools/scan/a.ts', "import { Client } from '@grpc/grpc-js'", '@grpc/grpc-js'],
  ['src/tools/scan/a.ts', "import { Command } from 'commander'", 'commander'],
  ['src/remote/a.ts', "import { Agent } from 'undici'", 'undici'],
  ['src/grpc/a.ts', "import { Registry } from 'prom-client'", 'prom-client'],
  ['src/cli/a.ts', "import { Registry } from 'prom-client'", 'prom-client'],
  ['src/services/a.ts', "import { parse } from 'yaml'", 'yaml'],
  ['src/kms/a.ts', "import { SignJWT } from 'jose'", 'jose'],
  ['src/remote/http/a.ts', "import leftPad from 'left-pad'", 'left-pad'],
  ['src/remote/a.ts', "import manifest from '../../package.json'", '../../package.json'],
  ['src/main.ts', "import { x } from './kms/b.ts'", './kms/b.ts'],
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
