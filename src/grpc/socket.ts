/**
 * The socket file: a stale one is replaced, a live one only where a hand-over is
 * asked for, anything else never (rule T5), and it is never open to more than its
 * mode says (rule T6). It is bound in a folder of its own, which nobody else may
 * enter, and then renamed, so that the path always leads to a socket that answers,
 * also while one process takes it over from another.
 *
 * @module
 */

import { chmod, chown, lstat, rm, rmdir, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { KmsError, systemCodeOf, systemReasonOf } from '../base/errors.ts'
import { makeFolder } from '../base/make_folder.ts'
import { socketAnswers } from '../base/socket_answers.ts'
import { DRAFT_SUFFIX } from '../base/socket_path.ts'

export interface SocketOptions {
  readonly path: string
  readonly mode: number
  /** Numeric user id. */
  readonly owner?: number | undefined
  /** Numeric group id. */
  readonly group?: number | undefined
}

const FOLDER_MODE = 0o700
const LEFT = new Set(['ENOENT', 'ENOTEMPTY', 'EEXIST'])

/**
 * Makes the folder where it is missing, and resolves to the path to bind, which is
 * then renamed to `path`.
 *
 * @param takeOver whether a socket that answers may be replaced
 */
export async function draftFor(path: string, takeOver: boolean): Promise<string> {
  const draft = `${path}${DRAFT_SUFFIX}`
  try {
    await makeFolder(dirname(path), FOLDER_MODE)
    if ((await lives(path)) && !takeOver) {
      throw unusable(path, 'another process answers there: stop that one first')
    }
    await closedFolder(path, dirname(draft))
    if (await lives(draft)) throw unusable(path, 'another process is about to listen there too')
    await rm(draft, { force: true })
    return draft
  } catch (cause) {
    if (cause instanceof KmsError) throw cause
    throw unusable(path, `${systemReasonOf(cause)}; check the folder and its permissions`, cause)
  }
}

/** Its mode stands in for the umask, which is that of the whole process. */
async function closedFolder(path: string, folder: string): Promise<void> {
  await makeFolder(folder, FOLDER_MODE)
  if (!(await lstat(folder)).isDirectory()) {
    throw unusable(path, `what is no folder stands at ${folder}: remove it`)
  }
  await chmod(folder, FOLDER_MODE)
}

/** Removes the folder that a socket was bound in, unless another one is about to be. */
export async function leaveDraft(draft: string): Promise<void> {
  await rmdir(dirname(draft)).catch((error: unknown) => {
    if (!LEFT.has(systemCodeOf(error) ?? '')) throw error
  })
}

/** Whether a process answers at the path; throws where something other than a socket is there. */
async function lives(path: string): Promise<boolean> {
  const found = await lstat(path).catch(absent)
  if (found === undefined) return false
  if (found.isSocket()) return await socketAnswers(path)
  throw unusable(
    path,
    `something that is not a socket stands at ${path}: remove it or name another path`,
  )
}

/** Sets owner, group and mode of a socket that was bound with less. */
export async function openTo({ path, mode, owner, group }: SocketOptions): Promise<void> {
  try {
    if (owner !== undefined || group !== undefined) await chown(path, owner ?? -1, group ?? -1)
    await chmod(path, mode)
  } catch (cause) {
    throw unusable(path, `its owner and mode cannot be set: ${systemReasonOf(cause)}`, cause)
  }
}

/** The inode at the path, or undefined where nothing is. */
export async function inodeAt(path: string): Promise<number | undefined> {
  return (await lstat(path).catch(absent))?.ino
}

/** Removes the socket unless another process has put its own there. */
export async function removeOwn(path: string, ours: number | undefined): Promise<void> {
  if (ours !== undefined && (await inodeAt(path)) === ours) await unlink(path)
}

export function unusable(path: string, why: string, cause?: unknown): KmsError {
  return new KmsError(`Cannot listen on "${path}": ${why}`, { code: 'unavailable', cause })
}

function absent(error: unknown): undefined {
  if (systemCodeOf(error) !== 'ENOENT') throw error
}
