/** An OCI image layout: blobs by their digest, and an index that names the images. @module */

import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from './cache.ts'

export const MEDIA = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  statement: 'application/vnd.in-toto+json',
} as const

export interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
  readonly platform?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
}

export function digestOf(bytes: Buffer | string): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

export class Layout {
  readonly folder: string

  private constructor(folder: string) {
    this.folder = folder
  }

  /** Replaces whatever the folder contained. */
  static async create(folder: string): Promise<Layout> {
    await rm(folder, { recursive: true, force: true })
    await mkdir(join(folder, 'blobs', 'sha256'), { recursive: true })
    await writeFile(join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
    return new Layout(folder)
  }

  async add(mediaType: string, bytes: Buffer | string): Promise<Descriptor> {
    const digest = digestOf(bytes)
    await writeFile(join(this.folder, 'blobs', digest.replace(':', '/')), bytes)
    return { mediaType, digest, size: Buffer.byteLength(bytes) }
  }

  addJson(mediaType: string, content: object): Promise<Descriptor> {
    return this.add(mediaType, JSON.stringify({ schemaVersion: 2, mediaType, ...content }))
  }

  /** Adds the image to the index, and writes the whole layout as one tar beside the folder. */
  async finish(image: Descriptor, tar: string): Promise<void> {
    const index = { schemaVersion: 2, mediaType: MEDIA.index, manifests: [image] }
    await writeFile(join(this.folder, 'index.json'), JSON.stringify(index))
    await plainTar(this.folder, tar)
  }
}

/** A tar that says nothing about this machine: no owner, no time, and a fixed order. */
export async function plainTar(folder: string, path: string): Promise<void> {
  await run('chmod', ['-R', 'u=rwX,go=rX', folder])
  const flags = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner']
  await run('tar', [...flags, '--format=gnu', '-cf', path, '-C', folder, '.'])
}
