/** Programs of Debian that the tests of what ships need; installed where they are missing. @module */

import { execFile } from 'node:child_process'
import { access, constants } from 'node:fs/promises'
import process from 'node:process'
import { promisify } from 'node:util'

/** The program of each package. */
const PACKAGES = {
  containerd: '/usr/bin/containerd',
  iproute2: '/usr/sbin/ip',
  'qemu-user-static': '/usr/bin/qemu-aarch64-static',
  runc: '/usr/sbin/runc',
  skopeo: '/usr/bin/skopeo',
  zstd: '/usr/bin/zstd',
} as const
type Package = keyof typeof PACKAGES

const run = promisify(execFile)

export async function debianTool(name: Package): Promise<string> {
  const path = PACKAGES[name]
  if (await runs(path)) return path
  if (process.getuid?.() !== 0) throw new Error(`${path} is missing: apt-get install ${name}`)
  const options = ['install', '--yes', '--no-install-recommends', name]
  await run('apt-get', ['update'])
  await run('env', ['DEBIAN_FRONTEND=noninteractive', 'apt-get', ...options])
  return path
}

function runs(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
}
