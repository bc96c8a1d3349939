/** Facts that the kernel tells in small files, below roots that a config may move. @module */

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { systemReasonOf } from '../../base/errors.ts'
import { type Fact, type FactValue, Unknown } from './value.ts'

export interface Roots {
  readonly sys: string
  readonly proc: string
  readonly etc: string
  readonly run: string
}

interface KernelFile {
  readonly path: string
  readonly root: keyof Roots
  readonly file: string
  /** Undefined for a content that says nothing. */
  readonly read: (text: string) => FactValue | undefined
}

/** Of the vendor that UEFI's own variables have. */
const SECURE_BOOT = 'firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c'
/** A variable begins with its attributes. */
const ATTRIBUTE_BYTES = 4
const MAX_TEXT = 4_096

export const KERNEL_FILES: readonly KernelFile[] = [
  { path: 'kernel.release', root: 'proc', file: 'sys/kernel/osrelease', read: line },
  { path: 'kernel.cmdline', root: 'proc', file: 'cmdline', read: line },
  { path: 'kernel.lockdown', root: 'sys', file: 'kernel/security/lockdown', read: chosen },
  { path: 'kernel.fips', root: 'proc', file: 'sys/crypto/fips_enabled', read: flag },
  { path: 'boot.id', root: 'proc', file: 'sys/kernel/random/boot_id', read: line },
  { path: 'boot.age', root: 'proc', file: 'uptime', read: (text) => number(text.split(' ')[0]) },
  { path: 'boot.secure', root: 'sys', file: SECURE_BOOT, read: variable },
  { path: 'ima.violations', root: 'sys', file: 'kernel/security/ima/violations', read: number },
  {
    path: 'ima.measurements',
    root: 'sys',
    file: 'kernel/security/ima/runtime_measurements_count',
    read: number,
  },
  { path: 'lsm.active', root: 'sys', file: 'kernel/security/lsm', read: (text) => names(text) },
  {
    path: 'lsm.selinux',
    root: 'sys',
    file: 'fs/selinux/enforce',
    read: (text) => ({ '1': 'enforcing', '0': 'permissive' })[text.trim()],
  },
  { path: 'lsm.apparmor', root: 'sys', file: 'module/apparmor/parameters/enabled', read: flag },
]

export async function readKernelFile(
  { root, file, read }: KernelFile,
  roots: Roots,
): Promise<Fact> {
  const path = join(roots[root], file)
  try {
    const text = await readFile(path, 'latin1')
    if (text.length > MAX_TEXT) return new Unknown(`${path} is longer than ${MAX_TEXT} characters`)
    return read(text) ?? new Unknown(`${path} says nothing that is known here`)
  } catch (error) {
    return new Unknown(`${path}: ${systemReasonOf(error)}`)
  }
}

function line(text: string): string | undefined {
  return text.trim() || undefined
}

/** Such as `none [integrity] confidentiality`. */
function chosen(text: string): string | undefined {
  return /\[(\w+)\]/.exec(text)?.[1]
}

function flag(text: string): boolean | undefined {
  return { '1': true, '0': false, Y: true, N: false }[text.trim()]
}

function number(text: string | undefined): number | undefined {
  const value = Number(text?.trim() || Number.NaN)
  return Number.isFinite(value) ? Math.floor(value) : undefined
}

function names(text: string): string[] | undefined {
  const all = text.trim().split(',').filter(Boolean)
  return all.length > 0 ? all : undefined
}

function variable(text: string): boolean | undefined {
  const value = text.charCodeAt(ATTRIBUTE_BYTES)
  return text.length === ATTRIBUTE_BYTES + 1 && value <= 1 ? value === 1 : undefined
}
