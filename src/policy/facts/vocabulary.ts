/**
 * Every fact that rules, claims and an outside decision may use, with its source and what it is
 * worth (docs/policy.md has this as a table). All of them are what this node says of itself: who is
 * root there can make any of them say something else, and `worth` says who else can.
 *
 * @module
 */

import type { FactType } from './value.ts'

export interface FactSpec {
  readonly path: string
  readonly type: FactType
  /** Where it is read, for people. */
  readonly source: string
  /** Who could forge it. */
  readonly worth: string
  /** The most entries, or characters of a text: the worst case of a rule is made of it. */
  readonly max: number
  /** It is another one at each reading, so that it is of no use as a claim. */
  readonly moves?: boolean
}

/** A text that is longer is unknown. */
const MAX_TEXT = 4_096
const SHORT = 128
/** Characters of a text in a list or a map. */
export const MAX_PART = 128
const MAX_ENTRIES = 64
/** Of a bank. */
export const PCRS = 24

const KERNEL =
  'The kernel says so: root can lie by mounting something over it or changing the kernel'
const MEASURED =
  'The TPM keeps it; but read through the kernel and not signed by the TPM, so root can lie'
const OF_ROOT = 'Anybody who may write the file; root can lie'
const OWN = 'This process says so: whoever can replace it can lie'
const CLOCK = "Root sets this node's clock, and so can whoever answers its time service"

function of(
  type: FactType,
  source: string,
  worth: string,
  more: Partial<Pick<FactSpec, 'max' | 'moves'>> = {},
): Omit<FactSpec, 'path'> {
  return { type, source, worth, max: SHORT, ...more }
}

const NODE: Readonly<Record<string, Omit<FactSpec, 'path'>>> = {
  'kernel.release': of('string', 'PROC/sys/kernel/osrelease', KERNEL),
  'kernel.cmdline': of('string', 'PROC/cmdline', KERNEL, { max: MAX_TEXT }),
  'kernel.lockdown': of('string', 'SYS/kernel/security/lockdown', KERNEL),
  'kernel.fips': of('bool', 'PROC/sys/crypto/fips_enabled', KERNEL),
  'boot.id': of('string', 'PROC/sys/kernel/random/boot_id', KERNEL),
  'boot.age': of('duration', 'PROC/uptime', KERNEL, { moves: true }),
  'boot.secure': of(
    'bool',
    'SYS/firmware/efi/efivars/SecureBoot-…',
    `${KERNEL}; the firmware sets it`,
  ),
  'tpm.present': of('bool', 'SYS/class/tpm/tpm0/tpm_version_major', KERNEL),
  'tpm.pcrs': of('map(string)', 'SYS/class/tpm/tpm0/pcr-sha256', MEASURED, { max: PCRS }),
  'ima.measurements': of('int', 'SYS/kernel/security/ima/runtime_measurements_count', KERNEL, {
    moves: true,
  }),
  'ima.violations': of('int', 'SYS/kernel/security/ima/violations', KERNEL),
  'lsm.active': of('list(string)', 'SYS/kernel/security/lsm', KERNEL, { max: MAX_ENTRIES }),
  'lsm.selinux': of('string', 'SYS/fs/selinux/enforce', KERNEL),
  'lsm.apparmor': of('bool', 'SYS/module/apparmor/parameters/enabled', KERNEL),
  'time.now': of('timestamp', "this node's clock", CLOCK, { moves: true }),
  'time.synchronized': of('bool', 'RUN/systemd/timesync/synchronized', CLOCK),
  'time.stepped': of('duration', 'clock set since the start of Trousseau', OWN, { moves: true }),
  'node.name': of('string', 'policy.node, or the name of the host', OF_ROOT, { max: 256 }),
  'node.machine': of('string', 'ETC/machine-id, as a digest', OF_ROOT),
  'trousseau.version': of('string', 'this program', OWN),
  'trousseau.sha256': of('string', 'the file of this program', OWN),
  'trousseau.container': of('bool', 'PROC/self/mountinfo, /.dockerenv, /run/.containerenv', OWN),
  'socket.folderOwners': of('list(int)', 'the folders of the sockets', OF_ROOT, {
    max: MAX_ENTRIES,
  }),
}

const FILE: Readonly<Record<string, Omit<FactSpec, 'path'>>> = {
  present: of('bool', 'the file of policy.files', OF_ROOT),
  sha256: of('string', 'the file of policy.files', OF_ROOT),
  owner: of('int', 'the file of policy.files', OF_ROOT),
  group: of('int', 'the file of policy.files', OF_ROOT),
  mode: of('string', 'the file of policy.files', OF_ROOT),
}

const ENCRYPTION: Readonly<Record<string, Omit<FactSpec, 'path'>>> = {
  'encryption.providers': of('list(string)', 'policy.encryptionConfig', OF_ROOT, {
    max: MAX_ENTRIES,
  }),
  'encryption.writers': of('list(string)', 'policy.encryptionConfig', OF_ROOT, {
    max: MAX_ENTRIES,
  }),
}

const ASKED = 'The request itself: whoever may use the socket chooses it'

/** They are of a request and not of the node, and so can be no claims. */
const REQUEST: Readonly<Record<string, Omit<FactSpec, 'path'>>> = {
  'request.operation': of('string', 'encrypt or decrypt', ASKED),
  'request.api': of('string', 'v2 or v1beta1', ASKED),
  'request.endpoint': of('string', "the endpoint's name", ASKED),
  'request.provider': of('string', 'the name of the provider whose key is used', ASKED),
  'request.keyVersion': of('string', 'the version of that key', ASKED),
  'request.size': of('int', 'bytes of what is encrypted or opened', ASKED),
}

/** What of a config decides which facts there are. */
export interface FactNames {
  /** Paths by their names. */
  readonly files: Readonly<Record<string, string>>
  readonly encryptionConfig?: string | undefined
}

/** Facts about the node. */
export function nodeSpecs({ files, encryptionConfig }: FactNames): FactSpec[] {
  const ofFiles = Object.keys(files).flatMap((name) =>
    Object.entries(FILE).map(([field, spec]) => ({ ...spec, path: `files.${name}.${field}` })),
  )
  return [
    ...listed(NODE),
    ...ofFiles,
    ...(encryptionConfig === undefined ? [] : listed(ENCRYPTION)),
  ]
}

export function requestSpecs(): FactSpec[] {
  return listed(REQUEST)
}

function listed(specs: Readonly<Record<string, Omit<FactSpec, 'path'>>>): FactSpec[] {
  return Object.entries(specs).map(([path, spec]) => ({ path, ...spec }))
}
