/** The next version of the plugin, really built: a binary that says another version, and an image with it. @module */

import { execFile } from 'node:child_process'
import { rmSync } from 'node:fs'
import { copyFile, cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import process from 'node:process'
import { promisify } from 'node:util'
import * as v from 'valibot'
import { digestOf, Layout, MEDIA, plainTar } from '../../../build/oci.ts'
import { blobPath, DIST, manifestsOf, ROOT, readBlob, readManifest } from '../package/shipped.ts'
import { type TempFolder, tempFolder } from '../temp_folder.ts'

export const NEXT_VERSION = '99.0.0'
export const NEXT_IMAGE = `localhost/trousseau:${NEXT_VERSION}`
const ARCHITECTURE = process.arch === 'arm64' ? 'arm64' : 'x64'
/** What is built in the copy, or belongs to this one alone. */
const LEFT_OUT = new Set(['node_modules', 'dist', '.git'])

interface NextVersion {
  /** The copied tree, whose `dist` has bundle and binaries. */
  readonly root: string
  /** A tar that containerd imports. */
  readonly image: string
}

const platformConfig = v.looseObject({
  rootfs: v.object({ type: v.string(), diff_ids: v.array(v.string()) }),
})

/** Made once, for all tests of a file, and removed when the process ends. */
export async function buildNextVersion(): Promise<NextVersion> {
  const folder = await tempFolder()
  process.once('exit', () => rmSync(folder.path, { recursive: true, force: true }))
  const root = folder.at('next')
  await cp(ROOT, root, { recursive: true, filter: (path) => !LEFT_OUT.has(basename(path)) })
  await symlink(join(ROOT, 'node_modules'), join(root, 'node_modules'))
  const manifest = await readFile(join(root, 'package.json'), 'utf8')
  const changed = manifest.replace(/"version": "[^"]*"/, `"version": "${NEXT_VERSION}"`)
  await writeFile(join(root, 'package.json'), changed)
  for (const command of [
    ['build/bundle.ts'],
    ['build/binary.ts', '--architecture', ARCHITECTURE],
  ]) {
    await promisify(execFile)(process.execPath, command, { cwd: root })
  }
  const image = await nextImage(folder, root)
  // What is packed for the air gap besides; a program for the other architecture is that of this version.
  await copyFile(image, join(root, 'dist', 'trousseau-image-zstd.tar'))
  const images = ['image-amd64.spdx.json', 'image-arm64.spdx.json']
  const binaries = ['linux-x64', 'linux-arm64'].flatMap((name) => [name, `${name}.LEGAL.txt`])
  for (const name of [...images, ...binaries]) {
    await cp(join(DIST, `trousseau-${name}`), join(root, 'dist', `trousseau-${name}`), {
      force: false,
    })
  }
  return { root, image }
}

/** The image of `dist` with the other binary in its upper layer. */
async function nextImage(folder: TempFolder, root: string): Promise<string> {
  const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64'
  const found = (await manifestsOf('image')).find(
    ({ platform }) => platform?.architecture === architecture,
  )
  const { config, layers } = await readManifest('image', found ?? { digest: '' })
  const [base] = layers
  if (base === undefined) throw new Error(`${DIST}/image has no layers`)
  const before = v.parse(platformConfig, await readBlob('image', config.digest))

  const tar = await programLayer(folder, root)
  const layout = await Layout.create(folder.at('next-layout'))
  await layout.add(base.mediaType, await readFile(blobPath('image', base.digest)))
  const layer = await layout.add('application/vnd.oci.image.layer.v1.tar', tar)
  const diffIds = [...before.rootfs.diff_ids.slice(0, 1), digestOf(tar)]
  const rootfs = { ...before.rootfs, diff_ids: diffIds }
  const next = await layout.add(MEDIA.config, JSON.stringify({ ...before, rootfs }))
  const image = await layout.addJson(MEDIA.manifest, { config: next, layers: [base, layer] })
  const path = folder.at('next-image.tar')
  await layout.finish({ ...image, annotations: { 'io.containerd.image.name': NEXT_IMAGE } }, path)
  return path
}

async function programLayer(folder: TempFolder, root: string) {
  const bin = folder.at('next-layer/usr/bin')
  await mkdir(bin, { recursive: true })
  await copyFile(join(root, 'dist', `trousseau-linux-${ARCHITECTURE}`), join(bin, 'trousseau'))
  await plainTar(folder.at('next-layer'), folder.at('next-layer.tar'))
  return await readFile(folder.at('next-layer.tar'))
}
