/** Images of one program each, without a container engine. @module */

import { copyFile, mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { digestOf, Layout, MEDIA, plainTar } from '../../../build/oci.ts'
import type { TempFolder } from '../temp_folder.ts'

/**
 * @param reference the name under which the kubelet looks for it
 * @returns the path of a tar that containerd imports
 */
export async function imageOf(
  folder: TempFolder,
  reference: string,
  program: string,
  name: string,
): Promise<string> {
  const draft = folder.at(`image-${reference.replaceAll('/', '-')}`)
  const bin = join(draft, 'root', 'usr', 'local', 'bin')
  await mkdir(bin, { recursive: true })
  await copyFile(program, join(bin, name))
  await plainTar(join(draft, 'root'), join(draft, 'layer.tar'))
  const tar = await readFile(join(draft, 'layer.tar'))
  const layout = await Layout.create(join(draft, 'layout'))
  const layer = await layout.add('application/vnd.oci.image.layer.v1.tar', tar)
  const config = await layout.add(
    MEDIA.config,
    JSON.stringify({
      architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
      os: 'linux',
      config: { Env: ['PATH=/usr/local/bin'], Entrypoint: [name] },
      rootfs: { type: 'layers', diff_ids: [digestOf(tar)] },
    }),
  )
  const image = await layout.addJson(MEDIA.manifest, { config, layers: [layer] })
  const annotations = { 'io.containerd.image.name': reference }
  const path = join(draft, `${name}.tar`)
  await layout.finish({ ...image, annotations }, path)
  return path
}
