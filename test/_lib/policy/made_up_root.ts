/** A made-up `/sys`, `/proc`, `/etc` and `/run`, as a node could have them. @module */

import { mkdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Roots } from '../../../src/policy/facts/kernel.ts'

export const SECURE_BOOT =
  'sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c'
export const PCR_7 = '7'.repeat(64)

/** By path below the root. */
const WELL: Readonly<Record<string, string | Uint8Array>> = {
  'proc/sys/kernel/osrelease': '6.12.8-amd64\n',
  'proc/cmdline': 'root=/dev/vda ro lockdown=integrity\n',
  'proc/sys/crypto/fips_enabled': '1\n',
  'proc/sys/kernel/random/boot_id': '7c1e29ab-5a8b-4d4e-9c1f-1d6d3c0a8a11\n',
  'proc/uptime': '3601.27 100.00\n',
  'proc/self/mountinfo': '27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n',
  'sys/kernel/security/lockdown': 'none [integrity] confidentiality\n',
  'sys/kernel/security/lsm': 'lockdown,capability,selinux',
  'sys/kernel/security/ima/runtime_measurements_count': '1242\n',
  'sys/kernel/security/ima/violations': '0\n',
  'sys/fs/selinux/enforce': '1',
  'sys/module/apparmor/parameters/enabled': 'N\n',
  [SECURE_BOOT]: new Uint8Array([6, 0, 0, 0, 1]),
  'sys/class/tpm/tpm0/tpm_version_major': '2\n',
  'sys/class/tpm/tpm0/pcr-sha256/0': `${'A'.repeat(64)}\n`,
  'sys/class/tpm/tpm0/pcr-sha256/7': `${PCR_7}\n`,
  'etc/machine-id': '0123456789abcdef0123456789abcdef\n',
  'run/systemd/timesync/synchronized': '',
}

interface MadeUpRoot {
  readonly roots: Roots
  put(path: string, content: string | Uint8Array): Promise<void>
  take(path: string): Promise<void>
}

export async function madeUpRoot(folder: string): Promise<MadeUpRoot> {
  const put = async (path: string, content: string | Uint8Array) => {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), content)
  }
  for (const [path, content] of Object.entries(WELL)) await put(path, content)
  const at = (name: string) => join(folder, name)
  return {
    roots: { sys: at('sys'), proc: at('proc'), etc: at('etc'), run: at('run') },
    put,
    take: (path) => rm(at(path), { recursive: true, force: true }),
  }
}
