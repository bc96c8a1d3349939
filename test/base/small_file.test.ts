import { execFileSync } from 'node:child_process'
import { createReadStream } from 'node:fs'
import { open, truncate, writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { systemCodeOf, systemReasonOf } from '../../src/base/errors.ts'
import { readSmallFile, readSmallStream } from '../../src/base/small_file.ts'
import { readTlsMaterial } from '../../src/remote/http/tls_files.ts'
import { readSecretFile } from '../../src/remote/secret_file.ts'
import { NODE } from '../_lib/plugin/process.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { rejection, suite } from '../_lib/uvu.ts'

const test = suite('base/small_file', () => ({}))
const NO_FILE = 'it is a pipe or a device, and a file is wanted'

test('readSmallFile() refuses at once what never ends or never begins', async () => {
  await using folder = await tempFolder()
  const pipe = folder.at('pipe')
  execFileSync('mkfifo', [pipe])

  for (const [path, code] of [
    [pipe, 'NOT_A_FILE'],
    ['/dev/zero', 'NOT_A_FILE'],
    [folder.at('.'), 'EISDIR'],
    [folder.at('none'), 'ENOENT'],
  ] as const) {
    assert.is(systemCodeOf(await rejection(readSmallFile(path))), code)
  }
  const secret = await rejection(readSecretFile('/dev/zero', 'auth.tokenFile'))
  assert.match((secret as Error).message, `of auth.tokenFile cannot be read: ${NO_FILE}`)
  const authority = await rejection(readTlsMaterial({ caFile: pipe }))
  assert.match((authority as Error).message, `of tls.caFile: ${NO_FILE}`)
})

test('readSmallFile() refuses a file that is longer than any config or key', async () => {
  await using folder = await tempFolder()
  const path = folder.at('long')
  await writeFile(path, '')
  await truncate(path, 4_194_304)
  assert.is((await readSmallFile(path)).length, 4_194_304)
  await truncate(path, 4_194_305)
  assert.is(systemCodeOf(await rejection(readSmallFile(path))), 'TOO_LONG')
})

test('readSmallFile() reads what a shell hands over', async () => {
  await using folder = await tempFolder()
  const path = folder.at('text')
  await writeFile(path, 'handed over')
  const module = new URL('../../src/base/small_file.ts', import.meta.url).href
  const script = `const { readSmallFile } = await import('${module}'); process.stdout.write(await readSmallFile(process.argv[1]))`

  const said = execFileSync('bash', ['-c', '"$0" -e "$1" <(cat "$2")', NODE, script, path])

  assert.is(said.toString(), 'handed over')
})

test('readSmallStream() and what a shell hands over have an end', async () => {
  const endless = createReadStream('/dev/zero')
  assert.is(systemCodeOf(await rejection(readSmallStream(endless))), 'TOO_LONG')
  assert.ok(endless.destroyed)
  const handle = await open('/dev/zero')
  const path = `/dev/fd/${handle.fd}`
  assert.is(systemCodeOf(await rejection(readSmallFile(path))), 'TOO_LONG')
  await handle.close()
})

for (const [code, words] of [
  ['ENOENT', 'there is no such file or folder'],
  ['EACCES', 'permission denied'],
  ['EISDIR', 'it is a folder, and a file is wanted'],
  ['ENOSPC', 'no space left'],
  ['ESTRANGE', 'ESTRANGE'],
] as const) {
  test(`systemReasonOf() says ${code} in words where there are some`, () => {
    assert.is(systemReasonOf(Object.assign(new Error('planted'), { code })), words)
  })
}

test('systemReasonOf() knows a time limit, and says nothing of the unknown', async () => {
  const limit = AbortSignal.timeout(0)
  await new Promise((resolve) => limit.addEventListener('abort', resolve))

  assert.is(systemReasonOf(limit.reason), 'no answer in time')
  assert.is(systemReasonOf(new Error('planted')), 'unknown error')
})

test.run()
