/** The image: other people's tools read it, and containerd runs it. @module */

import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { debianTool } from '../_lib/debian.ts'
import { figure } from '../_lib/figure.ts'
import { startContainerd } from '../_lib/package/containerd.ts'
import { assertHardened, containerCommand, importImage } from '../_lib/package/plugin_container.ts'
import {
  binary,
  DIST,
  type LayoutName,
  localConfig,
  manifestsOf,
  readBlob,
  readManifest,
  run,
} from '../_lib/package/shipped.ts'
import { startPluginProcess } from '../_lib/plugin/process.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'

const MIB = 2 ** 20
const LIMITS_MIB: Readonly<Record<LayoutName, number>> = { image: 46, 'image-zstd': 34 }
const LAYOUTS: readonly LayoutName[] = ['image', 'image-zstd']
const ARCHITECTURES = ['amd64', 'arm64'] as const

const test = suite('package/image', () => ({}), 400_000)

const inspected = v.object({
  Architecture: v.string(),
  Labels: v.record(v.string(), v.string()),
  Layers: v.array(v.string()),
})

for (const layout of LAYOUTS) {
  test(`skopeo reads dist/${layout} for both architectures and copies every blob`, async () => {
    const skopeo = await debianTool('skopeo')
    await using folder = await tempFolder()
    for (const architecture of ARCHITECTURES) {
      const source = `oci:${DIST}/${layout}`
      const flags = ['--override-arch', architecture, '--insecure-policy']
      const { stdout } = await run(skopeo, [...flags, 'inspect', source])
      const { Architecture, Labels, Layers } = v.parse(inspected, JSON.parse(stdout))

      assert.is(Architecture, architecture)
      assert.is(Labels['org.opencontainers.image.licenses'], 'Apache-2.0')
      assert.is(Layers.length, 2)
      await run(skopeo, [...flags, 'copy', source, `dir:${folder.at(architecture)}`])
    }
  })

  test(`dist/${layout} is no larger than it may be`, async () => {
    for (const image of await manifestsOf(layout)) {
      if (image.platform?.os !== 'linux') continue
      const { config, layers } = await readManifest(layout, image)
      const bytes = [image, config, ...layers].reduce((sum, { size }) => sum + size, 0)
      figure(`${layout} for ${image.platform.architecture}: ${(bytes / MIB).toFixed(1)} MiB`)
      assert.ok(bytes <= LIMITS_MIB[layout] * MIB, `${bytes} bytes`)
    }
  })
}

const statement = v.object({
  subject: v.tuple([v.object({ digest: v.object({ sha256: v.string() }) })]),
  predicateType: v.string(),
  predicate: v.looseObject({}),
})
const spdx = v.object({ packages: v.array(v.object({ name: v.string(), SPDXID: v.string() })) })

test('each image has an SBOM and a provenance that name it', async () => {
  const manifests = await manifestsOf('image')
  const images = manifests.filter(({ platform }) => platform?.os === 'linux')
  const attestations = manifests.filter(({ platform }) => platform?.os === 'unknown')
  assert.is(attestations.length, images.length)
  for (const [index, each] of attestations.entries()) {
    const { subject, layers } = await readManifest('image', each)
    assert.is(subject?.digest, images[index]?.digest)
    const statements = await Promise.all(
      layers.map(async ({ digest }) => v.parse(statement, await readBlob('image', digest))),
    )
    assert.equal(
      statements.map(({ predicateType }) => predicateType),
      ['https://spdx.dev/Document', 'https://slsa.dev/provenance/v1'],
    )
    for (const {
      subject: [named],
    } of statements) {
      assert.is(`sha256:${named.digest.sha256}`, subject?.digest)
    }
    const { packages } = v.parse(spdx, statements[0]?.predicate)
    const names = packages.map(({ name }) => name)
    for (const name of ['trousseau', '@grpc/grpc-js', 'undici', 'libc6', 'ca-certificates']) {
      assert.ok(names.includes(name), name)
    }
    assert.is(new Set(packages.map(({ SPDXID }) => SPDXID)).size, packages.length)
  }
})

test('containerd runs it with a read-only root, as nobody, without capabilities, and it keeps the contract', async () => {
  await using folder = await tempFolder()
  await using shared = await tempFolder()
  await using containerd = await startContainerd(folder)
  for (const layout of ['image-zstd', 'image'] as const) await importImage(containerd, layout)
  await using plugin = await startPluginProcess({
    folder: shared.path,
    command: containerCommand(containerd, shared.path),
    config: await localConfig(shared),
  })

  await assertHardened(containerd)
  await run(binary('x64'), ['check', '--socket', plugin.socketPath])
  assert.is(await plugin.stop(), 0, plugin.output())
})

test.run()
