/**
 * `npm run release -- --key FILE [--out DIR]` builds HEAD twice, compares, signs, and prints the
 * commands that would publish the result; see docs/release.md.
 *
 * @module
 */

import { join, resolve } from 'node:path'
import process from 'node:process'
import { parseArgs } from 'node:util'
import { ROOT } from './cache.ts'
import { makeRelease, type Release } from './release_files.ts'

const { values } = parseArgs({
  options: { key: { type: 'string' }, out: { type: 'string', default: join('dist', 'release') } },
})

try {
  if (values.key === undefined) throw new Error('Wanted --key and the file of the signing key')
  const out = resolve(ROOT, values.out)
  const options = { root: ROOT, keyFile: resolve(ROOT, values.key), out }
  const tell = (line: string) => process.stdout.write(`${line}\n`)
  tell(commands(await makeRelease(options, { tell }), out))
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}

function commands({ version, commit, files }: Release, out: string): string {
  const image = `docker://registry.example.org/trousseau:${version}`
  return [
    `${files.length} files are in ${out}. Nothing is published and nothing is tagged; this would do it:`,
    '',
    `git tag --sign v${version} --message 'Trousseau ${version}' ${commit}`,
    `git push origin v${version}`,
    `cd ${out}`,
    `gh release create v${version} --verify-tag --notes-file RELEASE_NOTES.md ${files.join(' ')}`,
    `skopeo copy --all oci-archive:trousseau-image.tar ${image}`,
  ].join('\n')
}
