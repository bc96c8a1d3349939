/**
 * A release, with a stand-in for the build. test/package makes a release with a real build.
 *
 * @module
 */

import { execFile } from 'node:child_process'
import { appendFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import * as assert from 'uvu/assert'
import { ARTEFACTS, makeRelease } from '../../build/release_files.ts'
import { releaseNotes } from '../../build/release_plan.ts'
import { commitAll, makeSigningKey, verifyWithOpenssl } from '../_lib/package/release.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { rejection, suite } from '../_lib/uvu.ts'

const run = promisify(execFile)
const test = suite('build/release', () => ({}))

const CHANGELOG =
  '# Changelog\n\n## Unreleased\n\nMore.\n\n## 1.2.3 - 24 Nov 2026\n\n- One.\n- Two.\n\n## 1.2\n\nLess.\n'

/** A commit to release, a key, and how to release it. */
async function sourceIn(folder: TempFolder, { version = '1.2.3' } = {}) {
  const root = folder.at('source')
  await mkdir(root)
  await run('git', ['init', '--quiet', root])
  await writeFile(join(root, 'package.json'), JSON.stringify({ version }))
  await writeFile(join(root, 'CHANGELOG.md'), CHANGELOG)
  await commitAll(root)
  const { keyFile, publicKeyFile } = await makeSigningKey(folder)
  let builds = 0
  const release = (out: string, different = '') =>
    makeRelease(
      { root, keyFile, out: folder.at(out) },
      {
        build: async (clone) => {
          builds += 1
          await mkdir(join(clone, 'dist'))
          for (const name of ARTEFACTS) {
            const content = `${name} of ${await readFile(join(clone, 'package.json'), 'utf8')}`
            await writeFile(join(clone, 'dist', name), content)
          }
          if (builds === 2 && different !== '')
            await appendFile(join(clone, 'dist', different), '.')
        },
        tell: () => undefined,
      },
    )
  return { root, keyFile, publicKeyFile, release, builds: () => builds }
}

async function refusal(promise: Promise<unknown>): Promise<string> {
  const error = await rejection(promise)
  assert.instance(error, Error)
  return (error as Error).message
}

test('makeRelease() writes artefacts, notes and sums, which sha256sum takes, and a signature, which openssl takes; again it is the same', async () => {
  await using folder = await tempFolder()
  const { publicKeyFile, release } = await sourceIn(folder)

  const { version, files } = await release('one')
  await release('two')

  assert.is(version, '1.2.3')
  const added = ['RELEASE_NOTES.md', 'SHA256SUMS', 'SHA256SUMS.sig']
  assert.equal(new Set(files), new Set([...ARTEFACTS, ...added]))
  assert.equal(new Set(await readdir(folder.at('one'))), new Set(files))
  assert.is(await readFile(folder.at('one/RELEASE_NOTES.md'), 'utf8'), '- One.\n- Two.\n')
  const { stdout } = await run('sha256sum', ['--check', '--strict', 'SHA256SUMS'], {
    cwd: folder.at('one'),
  })
  assert.is(stdout.match(/: OK$/gm)?.length, ARTEFACTS.length + 1)
  await verifyWithOpenssl(folder.at('one'), publicKeyFile)
  for (const name of files) {
    assert.equal(await readFile(folder.at(`one/${name}`)), await readFile(folder.at(`two/${name}`)))
  }

  await appendFile(folder.at('one/SHA256SUMS'), '\n')
  assert.match(await refusal(verifyWithOpenssl(folder.at('one'), publicKeyFile)), /openssl/)
})

test('makeRelease() names what differs between the builds, and writes nothing', async () => {
  for (const name of ['trousseau.mjs', 'trousseau-image-zstd.tar']) {
    await using folder = await tempFolder()
    const { release, builds } = await sourceIn(folder)

    const message = await refusal(release('out', name))

    assert.is(message, `Two builds of one commit differ in ${name}`)
    assert.is(builds(), 2)
    assert.not.ok((await readdir(folder.path)).includes('out'))
  }
})

test('makeRelease() refuses uncommitted changes and new files, before it builds', async () => {
  for (const name of ['CHANGELOG.md', 'new.ts']) {
    await using folder = await tempFolder()
    const { root, release, builds } = await sourceIn(folder)
    await appendFile(join(root, name), 'more\n')

    const message = await refusal(release('out'))

    assert.match(message, /^Commit or remove first what differs from HEAD:\n/)
    assert.ok(message.includes(name))
    assert.is(builds(), 0)
  }
})

test('makeRelease() refuses a version without a section in the changelog, before it builds', async () => {
  await using folder = await tempFolder()
  const { release, builds } = await sourceIn(folder, { version: '1.2.4' })

  assert.match(await refusal(release('out')), /wanted a section "## 1\.2\.4"/)
  assert.is(builds(), 0)
})

test('makeRelease() refuses what is no signing key, before it builds', async () => {
  await using folder = await tempFolder()
  const { keyFile, publicKeyFile, release, builds } = await sourceIn(folder)
  await writeFile(keyFile, await readFile(publicKeyFile))

  assert.is(await refusal(release('out')), 'Wanted an EC P-256 private key in PEM')
  assert.is(builds(), 0)
})

test('makeRelease() refuses a folder with something in it, before it builds', async () => {
  await using folder = await tempFolder()
  const { release, builds } = await sourceIn(folder)
  await mkdir(folder.at('out/older'), { recursive: true })

  assert.match(await refusal(release('out')), /out is not empty: wanted a new folder$/)
  assert.is(builds(), 0)
})

test('the script wants a key', async () => {
  const script = fileURLToPath(new URL('../../build/release.ts', import.meta.url))
  const runtimeArgs = 'deno' in process.versions ? ['run', '--allow-all'] : []

  const message = await refusal(run(process.execPath, [...runtimeArgs, script]))

  assert.match(message, /\nWanted --key and the file of the signing key\n$/)
})

test('releaseNotes() is the section of exactly that version', () => {
  assert.is(releaseNotes(CHANGELOG, '1.2'), 'Less.\n')
  assert.is(releaseNotes('## 2.0.0\n### Changed\n\n- a\n', '2.0.0'), '### Changed\n\n- a\n')
  for (const [text, version] of [
    [CHANGELOG, '1.2.3-rc.1'],
    [CHANGELOG, '1'],
    ['## 2.0.0\n\n## 1.0.0\n\nOld.\n', '2.0.0'],
    ['2.0.0\n', '2.0.0'],
  ] as const) {
    assert.throws(() => releaseNotes(text, version), /wanted a section/)
  }
})

test.run()
