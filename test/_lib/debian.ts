/** Programs of Debian that tests need; missing ones are installed. @module */

import { execFile } from 'node:child_process'
import { access, constants } from 'node:fs/promises'
import process from 'node:process'
import { promisify } from 'node:util'

/** The program of each package. */
const PACKAGES = {
  chromium: '/usr/bin/chromium',
  containerd: '/usr/bin/containerd',
  iproute2: '/usr/sbin/ip',
  prometheus: '/usr/bin/prometheus',
  'qemu-user-static': '/usr/bin/qemu-aarch64-static',
  runc: '/usr/sbin/runc',
  'selinux-utils': '/usr/sbin/matchpathcon',
  skopeo: '/usr/bin/skopeo',
  swtpm: '/usr/bin/swtpm',
  'tpm2-tools': '/usr/bin/tpm2_pcrread',
  tmux: '/usr/bin/tmux',
  zstd: '/usr/bin/zstd',
} as const
type Package = keyof typeof PACKAGES

const APT = 'apt-get -o DPkg::Lock::Timeout=300'
const INSTALL = `test -x "$1" || { ${APT} update && ${APT} install --yes --no-install-recommends "$2"; }`

const run = promisify(execFile)

/**
 * Test files run side by side, and apt-get fails where it finds the lock of another one. So only
 * one at a time checks and installs, and none uses a package that is half installed.
 */
export async function debianTool(name: Package): Promise<string> {
  const path = PACKAGES[name]
  if (process.getuid?.() === 0) {
    const alone = ['flock', '--verbose', '--timeout', '300', '/var/lib/apt']
    const install = ['sh', '-c', INSTALL, 'sh', path, name]
    await run('env', ['DEBIAN_FRONTEND=noninteractive', ...alone, ...install])
  } else if (!(await runs(path))) {
    throw new Error(`${path} is missing: apt-get install ${name}`)
  }
  return path
}

function runs(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
}
