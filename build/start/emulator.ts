/** Runs Node for an architecture: as it is on such a machine, and otherwise under qemu. @module */

import { mkdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { cached, exists, run } from '../cache.ts'
import { fetchedPackage } from '../debian.ts'
import { fillRootfs } from '../rootfs.ts'
import { type Architecture, runtime } from '../runtime.ts'

const QEMU = { x64: 'usr/bin/qemu-x86_64', arm64: 'usr/bin/qemu-aarch64' }

/**
 * The command, to which Node's arguments are added.
 *
 * @param folder gets the libraries of the other architecture
 * @throws Error that says what to do, where qemu or the libraries cannot be had
 */
export async function nodeCommand(
  architecture: Architecture,
  folder: string,
): Promise<[command: string, ...args: string[]]> {
  const { node } = await runtime(architecture)
  if (architecture === process.arch) return [node]
  const libraries = join(folder, 'libraries')
  try {
    await fillRootfs(libraries, architecture)
    return [await qemu(architecture), '-L', libraries, node]
  } catch (cause) {
    throw new Error(
      `The code in the binary for ${architecture} is made under qemu, with Debian's libraries, and one of them cannot be had: install qemu-user-static, and see docs/packaging.md`,
      { cause },
    )
  }
}

/** The machine's own, or Debian's in the cache. */
async function qemu(architecture: Architecture): Promise<string> {
  const path = QEMU[architecture]
  for (const own of [`/${path}-static`, `/${path}`]) if (await exists(own)) return own
  const folder = await cached(`qemu-${architecture}`, async (draft) => {
    const all = join(draft, 'all')
    await mkdir(all)
    await run('dpkg-deb', ['-x', await fetchedPackage('qemu-user', all), all])
    await rename(join(all, path), join(draft, 'qemu'))
    await rm(all, { recursive: true })
  })
  return join(folder, 'qemu')
}
