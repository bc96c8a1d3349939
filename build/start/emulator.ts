/** Runs Node for an architecture: as it is on such a machine, and otherwise under qemu. @module */

import { join } from 'node:path'
import process from 'node:process'
import { cached, exists, run } from '../cache.ts'
import { fetchedPackage } from '../debian.ts'
import { fillRootfs } from '../rootfs.ts'
import { type Architecture, runtime } from '../runtime.ts'

const QEMU = { x64: 'usr/bin/qemu-x86_64-static', arm64: 'usr/bin/qemu-aarch64-static' }

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
  if (await exists(join('/', path))) return join('/', path)
  const folder = await cached('qemu-user-static', async (draft) => {
    await run('dpkg-deb', ['-x', await fetchedPackage('qemu-user-static', draft), draft])
  })
  return join(folder, path)
}
