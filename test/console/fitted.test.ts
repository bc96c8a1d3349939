/** What commands print at terminals of several widths, and in a pipe. */

import { Buffer } from 'node:buffer'
import { writeFile } from 'node:fs/promises'
import { stripVTControlCharacters } from 'node:util'
import * as assert from 'uvu/assert'
import { runProgram } from '../../src/cli/program.ts'
import { fitted } from '../../src/console/fitted.ts'
import { memoryIo } from '../_lib/console/memory_io.ts'
import { startFakePlugin } from '../_lib/grpc/fake_plugin.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { startFakeEtcd } from '../_lib/tools/fake_etcd.ts'
import { secretBytes } from '../_lib/tools/stored_objects.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('console/fitted', () => ({}))

for (const [what, text, columns, expected] of [
  ['what fits stays', 'one two\nthree\n', 7, 'one two\nthree\n'],
  ['a sentence', 'one two three\n', 8, 'one two\nthree\n'],
  ['a value goes on below itself', 'key  one two three', 12, 'key  one two\n     three'],
  ['the last of several columns', 'a  bb  one two three', 15, 'a  bb  one two\n       three'],
  ['too far to the right', 'a long name of it  one two', 20, 'a long name of it\n    one two'],
  ['an indented line', '    one two three', 12, '    one two\n    three'],
  ['a word is never broken', 'at /a/very/long/path now', 10, 'at\n    /a/very/long/path\nnow'],
  [
    'one that is too long goes further to the left',
    'key     abcdefghij',
    14,
    'key\n    abcdefghij',
  ],
  ['not even where it is alone', '/a/very/long/path', 10, '/a/very/long/path'],
  [
    'colours take no room',
    '\u001b[31mred\u001b[39m  one two three',
    12,
    '\u001b[31mred\u001b[39m  one two\n     three',
  ],
] as const) {
  test(`fitted(): ${what}`, () => {
    assert.is(fitted(text, { columns }), expected)
    assert.is(fitted(text, { columns: undefined }), text)
    assert.is(fitted(text, { columns: 500 }, columns), expected)
  })
}

test('doctor, bench, status, scan and check keep to the width of a terminal, and wrap nothing in a pipe', async () => {
  await using folder = await tempFolder()
  await using plugin = await startFakePlugin()
  const objects = new Map<string, Uint8Array>()
  for (const name of ['one', 'two']) {
    const plaintext = secretBytes({ name, namespace: 'shop' }, [])
    objects.set(`/registry/secrets/shop/${name}`, plaintext)
  }
  const old = Buffer.from('k8s:enc:kms:v1:trousseau-of-another-time:\0')
  objects.set('/registry/secrets/shop/old', old)
  await using etcd = await startFakeEtcd(objects)
  const config = {
    apiVersion: 'trousseau.io/v1',
    kind: 'TrousseauConfig',
    socket: { path: folder.at('kms.sock') },
    providers: [{ name: 'local', type: 'local', keyFile: folder.at('keys') }],
  }
  await writeFile(folder.at('config.json'), JSON.stringify(config))
  const socket = ['--socket', plugin.path]
  for (const argv of [
    ['doctor', '--config', folder.at('config.json')],
    ['bench', ...socket, '--duration', '100ms'],
    ['status', ...socket],
    ['scan', '--endpoints', etcd.endpoint],
    ['check', ...socket],
  ]) {
    const what = argv[0] ?? ''
    const piped = memoryIo()
    const code = await runProgram(argv, piped)
    assert.ok(piped.printed().split('\n').some(isWide(60)), `${what} has something to break`)
    for (const columns of [60, 80, 120]) {
      const io = memoryIo({ columns, color: true })
      assert.is(await runProgram(argv, io), code)
      const lines = stripVTControlCharacters(io.printed() + io.complained()).split('\n')
      const breakable = lines.filter(isWide(columns)).filter((line) => /\S\s+\S/.test(line))
      assert.equal(breakable, [], `${what} at ${columns}`)
      if (['doctor', 'scan'].includes(what)) {
        assert.equal(wordsOf(io.printed()), wordsOf(piped.printed()), `${what} loses nothing`)
      }
    }
  }
})

test('a sentence of doctor is one line in a pipe, however long', async () => {
  await using folder = await tempFolder()
  const path = folder.at(`${'long-'.repeat(20)}name.json`)
  await writeFile(path, '{}')
  const io = memoryIo()

  await runProgram(['doctor', '--config', path], io)

  const [first = ''] = io.printed().split('\n')
  assert.match(first, /^error {4}\S+name\.json:1:1: .*\[config-invalid\]$/)
})

function isWide(columns: number): (line: string) => boolean {
  return (line) => line.length > columns
}

function wordsOf(text: string): string[] {
  return stripVTControlCharacters(text).match(/\S+/g) ?? []
}

test.run()
