/**
 * What `trousseau verify-bundle` accepts, and what it says of everything else. The package tests
 * run it on a real bundle.
 *
 * @module
 */

import { createHash, generateKeyPairSync } from 'node:crypto'
import { appendFile, mkdir, symlink, writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { signature } from '../../build/sign.ts'
import { runProgram } from '../../src/cli/program.ts'
import { memoryIo } from '../_lib/console/memory_io.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'

const FILES = { 'a file.txt': 'one', 'docs/b.md': 'two' } as const

function pairOf(namedCurve: string) {
  return generateKeyPairSync('ec', {
    namedCurve,
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  })
}

const { privateKey, publicKey } = pairOf('P-256')

async function signedFolder(): Promise<TempFolder> {
  const folder = await tempFolder()
  await writeFile(folder.at('key.pub'), publicKey)
  await mkdir(folder.at('bundle/docs'), { recursive: true })
  let sums = ''
  for (const [path, text] of Object.entries(FILES)) {
    await writeFile(folder.at(`bundle/${path}`), text)
    sums += `${createHash('sha256').update(text).digest('hex')}  ${path}\n`
  }
  await signSums(folder, sums)
  return folder
}

async function signSums(folder: TempFolder, sums: string): Promise<void> {
  await writeFile(folder.at('bundle/SHA256SUMS'), sums)
  const signed = signature(new TextEncoder().encode(sums), privateKey)
  await writeFile(folder.at('bundle/SHA256SUMS.sig'), `${signed}\n`)
}

async function verified(folder: TempFolder, path = 'bundle', ...flags: string[]) {
  const io = memoryIo()
  const args = ['verify-bundle', folder.at(path), '--key', folder.at('key.pub'), ...flags]
  const code = await runProgram(args, io)
  return { code, out: io.printed(), err: io.complained() }
}

const test = suite('tools/verify_bundle', signedFolder)

test('a folder as it was signed, and any file with a signature', async (folder) => {
  const { code, out } = await verified(folder)
  assert.is(code, 0)
  assert.match(out, /^bundle: signed with the key sha256:[0-9a-f]{64}, and all 2 files are as/)
  const sums = await verified(folder, 'bundle/SHA256SUMS')
  assert.match(sums.out, /^SHA256SUMS: signed with the key sha256:[0-9a-f]{64}\n$/)
  const named = await verified(
    folder,
    'bundle/SHA256SUMS',
    '--signature',
    folder.at('bundle/SHA256SUMS.sig'),
  )
  assert.is(named.code, 0)
})

const FAULTS: Readonly<Record<string, [(folder: TempFolder) => Promise<void>, RegExp]>> = {
  'a file that was changed': [
    (folder) => appendFile(folder.at('bundle/docs/b.md'), '!'),
    /NOT what was signed.*\n {2}docs\/b\.md was changed\n$/,
  ],
  'a file too many, and a link': [
    async (folder) => {
      await writeFile(folder.at('bundle/more'), '')
      await symlink('more', folder.at('bundle/link'))
    },
    /\n {2}link is no plain file\n {2}more is not listed\n$/,
  ],
  'a list that was changed': [
    (folder) => appendFile(folder.at('bundle/SHA256SUMS'), '\n'),
    /SHA256SUMS is NOT what was signed/,
  ],
  'a list that sha256sum did not write': [
    (folder) => signSums(folder, 'a file.txt\n'),
    /a line that sha256sum would not write: a file\.txt/,
  ],
  'a list of a file that is not there': [
    (folder) => signSums(folder, `${'0'.repeat(64)}  gone\n`),
    /\n {2}gone is missing\n$/,
  ],
  'a signature with what a decoder passes over': [
    (folder) => appendFile(folder.at('bundle/SHA256SUMS.sig'), '\n'),
    /SHA256SUMS\.sig is damaged: wanted base64 on one line/,
  ],
  'no signature': [
    (folder) => writeFile(folder.at('bundle/SHA256SUMS.sig'), ''),
    /NOT what was signed/,
  ],
  'the key of another maker': [
    (folder) => writeFile(folder.at('key.pub'), pairOf('P-256').publicKey),
    /signed with another key: do not use it/,
  ],
  'a key of another curve': [
    (folder) => writeFile(folder.at('key.pub'), pairOf('P-384').publicKey),
    /key\.pub is no public key of the curve P-256/,
  ],
  'the private key in place of the public one': [
    (folder) => writeFile(folder.at('key.pub'), privateKey),
    /key\.pub is no public key of the curve P-256/,
  ],
}

for (const [what, [change, message]] of Object.entries(FAULTS)) {
  test(`${what} is refused`, async (folder) => {
    await change(folder)
    const { code, out, err } = await verified(folder)
    assert.is(code, 1)
    assert.is(out, '')
    assert.match(err, message)
    assert.not.ok(err.includes(privateKey.split('\n')[1] ?? ''))
  })
}

test('what is not there is named', async (folder) => {
  assert.match(
    (await verified(folder, 'none')).err,
    /^trousseau: Cannot read .*none: there is no such file or folder\n$/,
  )
  assert.match(
    (await verified(folder, 'key.pub')).err,
    /Cannot read .*key\.pub\.sig: there is no such file or folder\n$/,
  )
})

test.run()
