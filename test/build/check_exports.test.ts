/** The export check, on small trees with one fault each. @module */

import { mkdir, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import * as assert from 'uvu/assert'
import { type ExportReport, exportReport } from '../../build/exports.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('build/check_exports', () => ({}))

type Tree = Readonly<Record<string, string>>

const MAIN = 'src/main.ts'
const USED: Tree = {
  'package.json': '{ "scripts": { "check": "node build/check.ts" } }',
  '.ci/run': '#!/bin/sh\n',
  [MAIN]: "import { run } from './cli/run.ts'\n",
  'src/cli/run.ts': 'export function run(): void {}\n',
  'test/run.ts': "const script = 'job.ts'\n",
  'build/check.ts': "import { join } from 'node:path'\nconst tests = join('test', 'run.ts')\n",
}

async function reportOf(files: Tree): Promise<ExportReport> {
  await using folder = await tempFolder()
  for (const [path, text] of Object.entries({ ...USED, ...files })) {
    await mkdir(dirname(folder.at(path)), { recursive: true })
    await writeFile(folder.at(path), text)
  }
  return await exportReport(folder.path)
}

const A = 'src/cli/a.ts'
const B = 'src/cli/b.ts'

/** Each with what imports it, and so is no fault. */
const WAYS: readonly [exported: string, importing: string][] = [
  ['export const a = 1', "import { a } from './a.ts'"],
  ['export const a = 1', "import { a as other } from './a.ts'"],
  ['export const a = 1', "import {\n  type C,\n  a,\n} from './a.ts'"],
  ['export async function a() {}', "import { a } from './a.ts'"],
  ['export function* a() {}', "import { a } from './a.ts'"],
  ['export class a {}', "import { a } from './a.ts'"],
  ['export abstract class a {}', "import { a } from './a.ts'"],
  ['export let a = 1', 'import { a } from "./a.ts"'],
  ['export type a = 1', "import type { a } from './a.ts'"],
  ['export interface a {}', "import { type a } from './a.ts'"],
  ['export interface a {}', "import { type a as C } from './a.ts'"],
  ['export const a = 1', "import * as all from './a.ts'\nall.a"],
  ['export const a = 1', "const { a } = await import('./a.ts')"],
  ['export const a = 1', "(await import('./a.ts')).a"],
  ['export const a = 1', "type All = typeof import('./a.ts')\nconst one: All['a'] = 1"],
]

for (const [exported, importing] of WAYS) {
  test(`exportReport() counts ${JSON.stringify(importing)}`, async () => {
    const files = { [A]: `${exported}\n`, [B]: `${importing}\n` }
    const { problems } = await reportOf({ ...files, [MAIN]: `${USED[MAIN]}import './cli/b.ts'\n` })
    assert.equal(problems, [])
  })
}

const DEAD: readonly [text: string, beside: string][] = [
  ['export const a = 1', "import './a.ts'"],
  ['export const a = 1\na + a', "import './a.ts'"],
  ['export type a = 1', "import { b } from './a.ts'"],
  ['export interface a {}', "import { b as a } from './a.ts'"],
  ['export function a() {}', "import { a } from './c.ts'\nimport './a.ts'"],
  ['export class a {}', "// import { a } from './a.ts'\nimport './a.ts'"],
  ['export const a = 1', "const text = `\nimport { a } from './a.ts'\n`\nimport './a.ts'"],
  ['export const a = 1', "import * as all from './a.ts'"],
]

for (const [text, beside] of DEAD) {
  test(`exportReport() names what ${JSON.stringify(beside)} leaves of ${JSON.stringify(text)}`, async () => {
    const files = { [A]: `${text}\n`, [B]: `${beside}\n` }
    const { problems } = await reportOf({ ...files, [MAIN]: `${USED[MAIN]}import './cli/b.ts'\n` })
    assert.equal(problems, [`${A}: nothing imports a`])
  })
}

for (const line of [
  'export { a }',
  "export * from './b.ts'",
  'export default 1',
  'export const [a] = b',
]) {
  test(`exportReport() says that it cannot read ${JSON.stringify(line)}`, async () => {
    const { problems } = await reportOf({ 'src/cli/run.ts': `export const run = 1\n${line}\n` })
    assert.equal(problems, [`src/cli/run.ts: cannot read "${line}"`])
  })
}

test('exportReport() takes what stands in a template or a comment for no code', async () => {
  const text =
    'const a = `\nexport const b = 1\n`\n/*\nexport const c = 1\n*/\nexport const run = `\n`\n'
  assert.equal((await reportOf({ 'src/cli/run.ts': text })).problems, [])
})

test('exportReport() names a file of src/ that nothing imports, also where its name is said', async () => {
  const { problems } = await reportOf({
    'src/cli/job.ts': 'const a = 1\n',
    'test/job.ts': 'const a = 1\n',
    'build/job_2.ts': 'const a = 1\n',
  })
  assert.equal(problems, ['build/job_2.ts: nothing uses it', 'src/cli/job.ts: nothing uses it'])
})

test('exportReport() holds the helpers of tests and of the build to it too', async () => {
  const { problems } = await reportOf({
    'test/a.test.ts': "import './_lib/a.ts'\n",
    'test/_lib/a.ts': 'export interface A {}\n',
    'build/check.ts': "import './a.ts'\nconst tests = 'run.ts'\n",
    'build/a.ts': 'export const a = 1\n',
  })
  const dead = ['build/a.ts: nothing imports a', 'test/_lib/a.ts: nothing imports A']
  assert.equal(problems, dead)
})

test('exportReport() allows what tests alone import, and lists it', async () => {
  const tested = "import { a, b } from '../src/cli/run.ts'\n"
  const report = await reportOf({
    'src/cli/run.ts': 'export const run = 1\nexport const a = 1\nexport const b = 1\n',
    'test/a.test.ts': tested,
    'build/check.ts': "import { b } from '../src/cli/run.ts'\nconst tests = 'run.ts'\n",
  })
  assert.equal(report, { problems: [], forTests: ['src/cli/run.ts: a'] })
})

test.run()
