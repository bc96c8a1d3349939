/** A release of what is checked out, with everything built twice. @module */

import { readFile, symlink, writeFile } from 'node:fs/promises'
import process from 'node:process'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import manifest from '../../package.json' with { type: 'json' }
import { figure } from '../_lib/figure.ts'
import { commitAll, makeSigningKey, verifyWithOpenssl } from '../_lib/package/release.ts'
import { ROOT, run } from '../_lib/package/shipped.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'

const { version } = manifest
const OWN = process.arch === 'arm64' ? 'arm64' : 'x64'
const spdx = v.object({
  spdxVersion: v.literal('SPDX-2.3'),
  packages: v.array(v.object({ name: v.string(), versionInfo: v.string() })),
})

const test = suite('package/release', () => ({}), 1_100_000)

/** The sources as they are here, as a commit with a section of the changelog for the version. */
async function sourceIn(folder: TempFolder): Promise<string> {
  const source = folder.at('source')
  const files = 'git ls-files -z --cached --others --exclude-standard'
  await run('git', ['init', '--quiet', source])
  const copy = `${files} | tar --null -T - -cf - | tar -xf - -C "$1"`
  await run('sh', ['-c', copy, 'sh', source], { cwd: ROOT })
  const changelog = await readFile(`${source}/CHANGELOG.md`, 'utf8')
  const section = `## ${version}\n\n- The test of a release.\n`
  await writeFile(`${source}/CHANGELOG.md`, changelog.replace(/^## /m, `${section}\n## `))
  await commitAll(source)
  // For the script alone: each build installs its own.
  await writeFile(`${source}/.git/info/exclude`, 'node_modules\n')
  await symlink(`${ROOT}/node_modules`, `${source}/node_modules`)
  return source
}

test('two builds from fresh clones are the same, and what comes out is whole, signed and not published', async () => {
  await using folder = await tempFolder()
  const { keyFile, publicKeyFile } = await makeSigningKey(folder)
  const cwd = await sourceIn(folder)
  const out = folder.at('out')
  const start = performance.now()

  const script = ['build/release.ts', '--key', keyFile, '--out', out]
  const { stdout } = await run(process.execPath, script, { cwd })

  figure(`a release, built twice: ${Math.round((performance.now() - start) / 1000)} s`)
  assert.match(stdout, /Nothing is published and nothing is tagged/)
  assert.match(stdout, new RegExp(`^git tag --sign v${version} `, 'm'))
  assert.is((await run('git', ['tag', '--list'], { cwd })).stdout, '')
  await verifyWithOpenssl(out, publicKeyFile)
  await run('sha256sum', ['--check', '--strict', 'SHA256SUMS'], { cwd: out })
  assert.is(await readFile(`${out}/RELEASE_NOTES.md`, 'utf8'), '- The test of a release.\n')
  const told = await run(`${out}/trousseau-linux-${OWN}`, ['version'])
  assert.ok(told.stdout.includes(version), told.stdout)
  for (const architecture of ['amd64', 'arm64']) {
    const text = await readFile(`${out}/trousseau-image-${architecture}.spdx.json`, 'utf8')
    const names = v.parse(spdx, JSON.parse(text)).packages.map(({ name }) => name)
    const node = `node-linux-${architecture === 'amd64' ? 'x64' : 'arm64'}`
    for (const name of ['trousseau', '@grpc/grpc-js', 'libc6', node]) {
      assert.ok(names.includes(name), `${architecture}: ${name}`)
    }
  }
})

test.run()
