/**
 * Keeps the public keys of the signer in a file of `stateDir`. API servers trust what is in it, so
 * a file that is damaged, or that others may write, is refused and never taken for a missing one.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { hash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import * as v from 'valibot'
import { KmsError, systemCodeOf, systemReasonOf } from '../base/errors.ts'
import type { SignerState, SignerStore } from '../signer/state.ts'
import { PatientDisk } from './patient_disk.ts'
import { prepareFolder, replaceInFolder } from './state_folder.ts'

const FILE_NAME = 'signer.json'
const WRITABLE_BY_OTHERS = 0o022

const time = v.pipe(v.number(), v.minValue(0))
const stateSchema = v.strictObject({
  readAt: time,
  versions: v.array(
    v.strictObject({
      sourceId: v.string(),
      label: v.string(),
      createdAt: time,
      longestLifeMs: time,
      supersededAt: v.optional(time),
      maySign: v.optional(v.boolean()),
      spki: v.pipe(v.string(), v.base64()),
    }),
  ),
})
const fileSchema = v.strictObject({
  kind: v.literal('TrousseauSignerKeys'),
  format: v.literal(1),
  checksum: v.string(),
  state: v.unknown(),
})

interface SignerStateFile extends SignerStore {
  /** True while the file system owes an answer. */
  stuck(): boolean
}

export function createSignerStateFile(folder: string): SignerStateFile {
  const path = join(folder, FILE_NAME)
  const disk = new PatientDisk(folder)
  return {
    stuck: () => disk.stuck,
    load: () =>
      disk.ask(async () => {
        if (!(await isOurs(path))) return undefined
        return stateOf(path, await readFile(path, 'utf8'))
      }),
    save: (state) =>
      disk.ask(async () => {
        await prepareFolder(folder)
        await replaceInFolder(path, textOf(state))
      }),
  }
}

/**
 * False where nothing is there.
 *
 * @throws KmsError where somebody else may have written it
 */
async function isOurs(path: string): Promise<boolean> {
  try {
    const { mode, uid } = await stat(path)
    const ours = [0, process.geteuid?.() ?? uid].includes(uid)
    if (!ours || (mode & WRITABLE_BY_OTHERS) !== 0) throw refused(path, 'others may write it')
    return true
  } catch (cause) {
    if (systemCodeOf(cause) === 'ENOENT') return false
    if (cause instanceof KmsError) throw cause
    throw refused(path, systemReasonOf(cause), cause)
  }
}

function textOf({ readAt, versions }: SignerState): string {
  const state = {
    readAt,
    versions: versions.map((version) => ({
      sourceId: version.sourceId,
      label: version.label,
      createdAt: version.createdAt,
      longestLifeMs: version.longestLifeMs,
      supersededAt: version.supersededAt,
      maySign: version.maySign,
      spki: Buffer.from(version.spki).toString('base64'),
    })),
  }
  const file = { kind: 'TrousseauSignerKeys', format: 1, checksum: checksumOf(state), state }
  return `${JSON.stringify(file)}\n`
}

function stateOf(path: string, text: string): SignerState {
  const file = v.safeParse(v.pipe(v.string(), v.parseJson(), fileSchema), text)
  const state = file.success ? v.safeParse(stateSchema, file.output.state) : file
  if (!(file.success && state.success) || checksumOf(file.output.state) !== file.output.checksum) {
    throw refused(path, 'it is damaged')
  }
  const { readAt, versions } = v.parse(stateSchema, file.output.state)
  const read = versions.map(({ spki, ...version }) => ({
    ...version,
    spki: new Uint8Array(Buffer.from(spki, 'base64')),
  }))
  return { readAt, versions: read }
}

/** Finds damage; against whoever may write the file, its owner and mode stand. */
function checksumOf(state: unknown): string {
  return hash('sha256', JSON.stringify(state), 'hex')
}

function refused(path: string, why: string, cause?: unknown): KmsError {
  return new KmsError(`File ${path} cannot be used: ${why}`, { code: 'unavailable', cause })
}
