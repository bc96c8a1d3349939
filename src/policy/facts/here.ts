/** Facts about this process and this host that no file of the kernel tells. @module */

import { createHash } from 'node:crypto'
import { access, readFile, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import process from 'node:process'
import { systemReasonOf } from '../../base/errors.ts'
import { digestOf } from './file.ts'
import type { Roots } from './kernel.ts'
import { type Fact, Unknown } from './value.ts'

/** Marks that container engines leave. */
const MARKS = ['/.dockerenv', '/run/.containerenv']
/** The root of a container is a layer over those of its image. */
const LAYERED = /^\d+ \d+ \S+ \/ \/ .* - overlay /m

/**
 * Who this machine is, apart from its name, which two may have. The id itself is no secret that
 * everybody should see, as its own page says.
 */
export async function machineOf({ etc }: Roots): Promise<Fact> {
  const path = join(etc, 'machine-id')
  try {
    const id = (await readFile(path, 'latin1')).trim()
    if (!/^[0-9a-f]{32}$/.test(id)) return new Unknown(`${path} holds no machine id`)
    return createHash('sha256').update(`trousseau.io/machine ${id}`).digest('hex')
  } catch (error) {
    return new Unknown(`${path}: ${systemReasonOf(error)}`)
  }
}

/**
 * Of the one file that holds this program: the binary, or the bundle that a runtime reads. The binary
 * holds the bundle as a script, where no module knows its own address.
 */
export async function ownDigest(): Promise<Fact> {
  const path = isBinary() ? '/proc/self/exe' : process.argv[1]
  return path === undefined ? new Unknown('the runtime tells no program') : await digestOf(path)
}

/** Deno has no such module. */
function isBinary(): boolean {
  const sea: unknown = process.getBuiltinModule('node:sea')
  if (typeof sea !== 'object' || sea === null || !('isSea' in sea)) return false
  return typeof sea.isSea === 'function' && sea.isSea() === true
}

export async function inContainer({ proc }: Roots): Promise<Fact> {
  for (const mark of MARKS) if (await isThere(mark)) return true
  const path = join(proc, 'self/mountinfo')
  try {
    return LAYERED.test(await readFile(path, 'latin1'))
  } catch (error) {
    return new Unknown(`${path}: ${systemReasonOf(error)}`)
  }
}

/** False where systemd's client runs and has not synchronized; others leave no trace to read. */
export async function clockSynchronized({ run }: Roots): Promise<Fact> {
  const folder = join(run, 'systemd/timesync')
  if (await isThere(join(folder, 'synchronized'))) return true
  return (await isThere(folder)) ? false : new Unknown(`${folder} is not there`)
}

/** The user ids that own the folders of these sockets, each once. */
export async function folderOwners(sockets: readonly string[]): Promise<Fact> {
  try {
    const found = await Promise.all(sockets.map((path) => stat(dirname(path))))
    return [...new Set(found.map(({ uid }) => uid))].toSorted((a, b) => a - b)
  } catch (error) {
    return new Unknown(`the folder of a socket: ${systemReasonOf(error)}`)
  }
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
