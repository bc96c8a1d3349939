/** What `npm run build:image` leaves in `dist/`, as the tests use it. @module */

import { execFile } from 'node:child_process'
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import * as v from 'valibot'
import { createKeyFile } from '../../../src/services/local/key_file.ts'
import type { TempFolder } from '../temp_folder.ts'

export const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
export const DIST = join(ROOT, 'dist')
export const run = promisify(execFile)

export function binary(architecture: 'x64' | 'arm64'): string {
  return join(DIST, `trousseau-linux-${architecture}`)
}

/** A config with one key file, made in the folder. */
export async function localConfig(folder: TempFolder) {
  const keyFile = folder.at('keys')
  await createKeyFile(keyFile, Date.now)
  return { providers: [{ name: 'keys', type: 'local', keyFile }] }
}

const descriptor = v.object({
  mediaType: v.string(),
  digest: v.string(),
  size: v.number(),
  platform: v.optional(v.object({ architecture: v.string(), os: v.string() })),
})
const indexSchema = v.object({ manifests: v.array(descriptor) })
const manifestSchema = v.object({
  config: descriptor,
  layers: v.array(descriptor),
  subject: v.optional(descriptor),
})
type Descriptor = v.InferOutput<typeof descriptor>

export type LayoutName = 'image' | 'image-zstd'

export function blobPath(layout: LayoutName, digest: string): string {
  return join(DIST, layout, 'blobs', digest.replace(':', '/'))
}

export async function readBlob(layout: LayoutName, digest: string): Promise<unknown> {
  return JSON.parse(await readFile(blobPath(layout, digest), 'utf8'))
}

/** The manifests of the one image in the layout. */
export async function manifestsOf(layout: LayoutName): Promise<readonly Descriptor[]> {
  const text = await readFile(join(DIST, layout, 'index.json'), 'utf8')
  const [image] = v.parse(indexSchema, JSON.parse(text)).manifests
  if (image === undefined) throw new Error(`dist/${layout} is empty`)
  return v.parse(indexSchema, await readBlob(layout, image.digest)).manifests
}

export async function readManifest(layout: LayoutName, { digest }: Pick<Descriptor, 'digest'>) {
  return v.parse(manifestSchema, await readBlob(layout, digest))
}

/** Unpacks the image's layers into `root` of the folder. */
export async function unpackImage(folder: TempFolder, architecture: 'amd64' | 'arm64') {
  const root = folder.at('root')
  await mkdir(root)
  const manifests = await manifestsOf('image')
  const image = manifests.find(({ platform }) => platform?.architecture === architecture)
  if (image === undefined) throw new Error(`dist/image has none for ${architecture}`)
  const { layers } = await readManifest('image', image)
  for (const { digest } of layers) await run('tar', ['-xzf', blobPath('image', digest), '-C', root])
  return root
}
