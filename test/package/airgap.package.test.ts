/** The bundle for the air gap is refused where anything of it was changed. @module */

import { readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { runProgram } from '../../src/cli/program.ts'
import { memoryIo } from '../_lib/console/memory_io.ts'
import { figure } from '../_lib/figure.ts'
import { filesOf, makeBundle, makeNode, withFlip } from '../_lib/package/airgap.ts'
import { makeSigningKey } from '../_lib/package/release.ts'
import { DIST, run } from '../_lib/package/shipped.ts'
import { SeededRandom } from '../_lib/seeded_random.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { rejection, suite } from '../_lib/uvu.ts'

const PACKED_FLIPS = 80
const UNPACKED_FLIPS = 120
/** One of so many is shown to the installer too, which takes longer. */
const INSTALLER_LOOKS = 3
/** Whatever the chance says, these are among the changed ones. */
const NEVER_LEFT_OUT = [
  'install.sh',
  'SHA256SUMS',
  'SHA256SUMS.sig',
  'manifests/static-pod/trousseau.yaml',
  'images/trousseau-image.tar',
  'bin/trousseau-linux-x64',
]

const test = suite('package/airgap', () => ({}), 600_000)

const bundle = await makeBundle()

async function verified(path: string): Promise<{ code: number; said: string }> {
  const io = memoryIo()
  const code = await runProgram(['verify-bundle', path, '--key', bundle.key], io)
  return { code, said: io.printed() + io.complained() }
}

test('what was packed and what is unpacked of it are as they were signed', async () => {
  const packed = await verified(bundle.packed)
  assert.is(packed.code, 0, packed.said)
  const der = 'openssl pkey -pubin -in "$1" -outform DER | sha256sum | cut -c1-64'
  const { stdout: fingerprint } = await run('sh', ['-c', der, 'sh', bundle.key])
  assert.match(packed.said, `signed with the key sha256:${fingerprint}`)

  const unpacked = await verified(bundle.unpacked)
  assert.is(unpacked.code, 0, unpacked.said)
  assert.match(unpacked.said, /and all \d+ files are as it lists them/)
  for (const name of ['trousseau-linux-x64', 'trousseau-linux-arm64']) {
    assert.is(
      await readFile(join(bundle.unpacked, 'licences', `${name}.txt`), 'utf8'),
      await readFile(join(DIST, `${name}.LEGAL.txt`), 'utf8'),
    )
  }
  figure(`air-gap bundle: ${((await stat(bundle.packed)).size / 2 ** 20).toFixed(1)} MiB`)
})

test('openssl says so too, without anything of ours', async () => {
  await using folder = await tempFolder()
  const signature = folder.at('signature')
  await run('sh', ['-c', 'base64 -d "$1.sig" > "$2"', 'sh', bundle.packed, signature])
  const args = ['-sha256', '-verify', bundle.key, '-signature', signature, bundle.packed]
  assert.is((await run('openssl', ['dgst', ...args])).stdout.trim(), 'Verified OK')
})

test(`a byte changed at any of ${PACKED_FLIPS} places of the packed file or its signature is refused`, async () => {
  const random = SeededRandom.announced('package/airgap packed')
  for (let turn = 0; turn < PACKED_FLIPS; turn += 1) {
    const path = turn % 8 === 0 ? `${bundle.packed}.sig` : bundle.packed
    const flip = { at: random.below((await stat(path)).size), bits: 1 + random.below(255) }
    await withFlip(path, flip, async () => {
      const { code, said } = await verified(bundle.packed)
      assert.is(code, 1, `byte ${flip.at} of ${path}`)
      assert.match(said, /NOT what was signed|is damaged/)
    })
  }
  assert.is((await verified(bundle.packed)).code, 0, 'and whole again it is accepted')
})

test(`a byte changed at any of ${UNPACKED_FLIPS} places of what is unpacked is refused, and nothing is installed`, async () => {
  const random = SeededRandom.announced('package/airgap unpacked')
  const files = await filesOf(bundle.unpacked)
  await using node = await makeNode(bundle)
  const before = await node.tree()
  const flags = ['--config', node.config, '--runtime', 'rke2']
  for (let turn = 0; turn < UNPACKED_FLIPS; turn += 1) {
    const file = NEVER_LEFT_OUT[turn % (2 * NEVER_LEFT_OUT.length)] ?? random.pick(files)
    const path = join(bundle.unpacked, file)
    const flip = { at: random.below((await stat(path)).size), bits: 1 + random.below(255) }
    await withFlip(path, flip, async () => {
      const { code, said } = await verified(bundle.unpacked)
      assert.is(code, 1, `byte ${flip.at} of ${file}`)
      assert.match(said, /NOT what was signed|is damaged|would not write/)
      // An installer that was changed is not one to run: that is what the check before it is for.
      if (file === 'install.sh' || random.below(INSTALLER_LOOKS) > 0) return
      const refusal = await rejection(node.install(flags))
      assert.match(String(refusal), /nothing was installed/, `byte ${flip.at} of ${file}`)
    })
  }
  assert.equal(await node.tree(), before)
  assert.is((await verified(bundle.unpacked)).code, 0, 'and whole again it is accepted')
})

test('a file too many, too few, or that is a link is refused, and so is another key', async () => {
  await using node = await makeNode(bundle)
  const flags = ['--config', node.config, '--runtime', 'rke2']
  const refused = async (wanted: RegExp) => {
    const { code, said } = await verified(bundle.unpacked)
    assert.is(code, 1)
    assert.match(said, wanted)
    assert.match(String(await rejection(node.install(flags))), /nothing was installed/)
  }
  const extra = join(bundle.unpacked, 'docs', 'more.md')
  await writeFile(extra, 'more')
  await refused(/docs\/more\.md is not listed/)
  await rm(extra)
  const licence = join(bundle.unpacked, 'LICENSE')
  await rename(licence, node.at('LICENSE'))
  await refused(/LICENSE is missing/)
  await symlink(node.at('LICENSE'), licence)
  await refused(/LICENSE is no plain file/)
  await rename(node.at('LICENSE'), licence)

  const { publicKeyFile } = await makeSigningKey(node)
  const refusal = await rejection(node.install(['--key', publicKeyFile, ...flags]))
  assert.match(String(refusal), /signed with another key: nothing was installed/)
})

test.run()
