/**
 * `npm run build:image` makes an OCI image for both architectures, without a container engine, from
 * the binaries and Debian's packages. `dist/image` and `dist/trousseau-image.tar` have gzip layers,
 * which every tool reads; `dist/image-zstd` and its tar have smaller ones.
 * `dist/trousseau-image-*.spdx.json` list what is in them. The same sources and lock files give the
 * same bytes. `--refresh-lock` takes Debian's newest packages first.
 *
 * @module
 */

import type { Buffer } from 'node:buffer'
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import process from 'node:process'
import { parseArgs } from 'node:util'
import manifest from '../package.json' with { type: 'json' }
import { attest, revision } from './attestation.ts'
import { bundled, packagesIn } from './bundled.ts'
import { ROOT } from './cache.ts'
import { compressed, GZIP, ZSTD } from './compress.ts'
import { lockedPackages, refreshLock } from './debian.ts'
import { readLock } from './dependencies.ts'
import { type Descriptor, digestOf, Layout, MEDIA, plainTar } from './oci.ts'
import { debianName, fillRootfs, USER } from './rootfs.ts'
import { ARCHITECTURES, type Architecture } from './runtime.ts'
import { type SbomParts, sbom } from './sbom.ts'

const { version, description, license } = manifest
const { values } = parseArgs({
  options: { out: { type: 'string', default: 'dist' }, 'refresh-lock': { type: 'boolean' } },
})
const OUT = resolve(ROOT, values.out)
const NAME = `localhost/trousseau:${version}`
const LICENCES = 'usr/share/doc/trousseau'

const WAYS = [
  { folder: 'image', compression: GZIP },
  { folder: 'image-zstd', compression: ZSTD },
] as const
type Way = (typeof WAYS)[number]

interface Content {
  readonly architecture: Architecture
  /** The libraries, which seldom change, are in a layer below the binary. */
  readonly tars: readonly Buffer[]
}

interface Packed extends Content {
  /** The same, compressed. */
  readonly layers: readonly Buffer[]
}

if (values['refresh-lock'] === true) await refreshLock()
const inside = packagesIn(await bundled(false))
const contents = await Promise.all(ARCHITECTURES.map(contentOf))
// All layers at once: each keeps one processor busy, the largest for a minute.
await Promise.all(WAYS.map((way) => writeImage(way, contents)))
for (const architecture of ARCHITECTURES) await writeSbom(architecture)

async function contentOf(architecture: Architecture): Promise<Content> {
  const folder = await mkdtemp(join(tmpdir(), 'trousseau-image-'))
  try {
    await fillRootfs(join(folder, 'base'), architecture)
    await fillProgram(join(folder, 'program'), architecture)
    const tars: Buffer[] = []
    for (const layer of ['base', 'program']) {
      const tar = join(folder, `${layer}.tar`)
      await plainTar(join(folder, layer), tar)
      tars.push(await readFile(tar))
    }
    return { architecture, tars }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function fillProgram(root: string, architecture: Architecture): Promise<void> {
  const binary = join(ROOT, 'dist', `trousseau-linux-${architecture}`)
  const files = {
    [binary]: 'usr/bin/trousseau',
    [join(ROOT, 'LICENSE')]: `${LICENCES}/LICENSE`,
    [`${binary}.LEGAL.txt`]: `${LICENCES}/LEGAL.txt`,
  }
  for (const folder of ['usr/bin', LICENCES]) await mkdir(join(root, folder), { recursive: true })
  for (const [from, to] of Object.entries(files)) await copyFile(from, join(root, to))
}

async function writeImage(way: Way, contents: readonly Content[]): Promise<void> {
  const { folder, compression } = way
  const layout = await Layout.create(join(OUT, folder))
  const images: Descriptor[] = []
  const attestations: Descriptor[] = []
  const packed = contents.map(async (content) => ({
    ...content,
    layers: await Promise.all(content.tars.map((tar) => compressed(tar, compression))),
  }))
  for (const content of await Promise.all(packed)) {
    const image = await addImage(layout, way, content)
    images.push(image)
    attestations.push(await addAttestation(layout, content.architecture, image))
  }
  const index = await layout.addJson(MEDIA.index, { manifests: [...images, ...attestations] })
  const annotations = {
    'io.containerd.image.name': NAME,
    'org.opencontainers.image.ref.name': version,
  }
  await layout.finish({ ...index, annotations }, join(OUT, `trousseau-${folder}.tar`))
}

async function addImage(
  layout: Layout,
  { folder, compression: { kind } }: Way,
  { architecture, tars, layers }: Packed,
): Promise<Descriptor> {
  const blobs: Descriptor[] = []
  for (const layer of layers) {
    blobs.push(await layout.add(`application/vnd.oci.image.layer.v1.tar+${kind}`, layer))
  }
  const platform = { architecture: debianName(architecture), os: 'linux' }
  const config = await layout.add(
    MEDIA.config,
    JSON.stringify({
      ...platform,
      config: await runConfig(),
      rootfs: { type: 'layers', diff_ids: tars.map((tar) => digestOf(tar)) },
    }),
  )
  const image = await layout.addJson(MEDIA.manifest, { config, layers: blobs })
  const bytes = [image, config, ...blobs].reduce((sum, { size }) => sum + size, 0)
  const mib = (bytes / 2 ** 20).toFixed(1)
  process.stdout.write(`${folder}: ${platform.architecture}, ${kind}, ${mib} MiB\n`)
  return { ...image, platform }
}

async function runConfig(): Promise<object> {
  return {
    User: `${USER}:${USER}`,
    // The C library overwrites what is freed: docs/security-review.md.
    Env: ['PATH=/usr/bin', 'GLIBC_TUNABLES=glibc.malloc.perturb=165'],
    Entrypoint: ['/usr/bin/trousseau'],
    Cmd: ['serve', '--config', '/etc/trousseau/trousseau.yaml'],
    WorkingDir: '/',
    Labels: {
      'org.opencontainers.image.title': 'trousseau',
      'org.opencontainers.image.description': description,
      'org.opencontainers.image.version': version,
      'org.opencontainers.image.revision': await revision(),
      'org.opencontainers.image.licenses': license,
    },
  }
}

async function addAttestation(
  layout: Layout,
  architecture: Architecture,
  image: Descriptor,
): Promise<Descriptor> {
  const parts = await partsOf(architecture)
  return attest(layout, { name: NAME, architecture, image, ...parts })
}

/** The SBOM that the image also carries, as a file. */
async function writeSbom(architecture: Architecture): Promise<void> {
  const content = sbom(await partsOf(architecture))
  const path = join(OUT, `trousseau-image-${debianName(architecture)}.spdx.json`)
  await writeFile(path, `${JSON.stringify(content, null, 2)}\n`)
}

async function partsOf(architecture: Architecture): Promise<SbomParts> {
  const lock = await readLock()
  const node = lock.find(({ folder }) => folder === `node_modules/node-linux-${architecture}`)
  if (node === undefined) throw new Error(`package-lock.json has no Node for ${architecture}`)
  return {
    node,
    bundled: lock.filter(({ folder }) => inside.has(folder)),
    debian: await lockedPackages(debianName(architecture)),
  }
}
