/**
 * The socket file: a stale one is replaced, a live one or anything else never
 * (rule T5), and it is never open to more than its mode says (rule T6).
 *
 * @module
 */

import { once } from 'node:events'
import { chmod, chown, link, lstat, mkdir, rename, rm, unlink } from 'node:fs/promises'
import { connect } from 'node:net'
import { dirname } from 'node:path'
import { KmsError, systemCodeOf } from '../kms/errors.ts'

export interface SocketOptions {
  readonly path: string
  readonly mode: number
  /** Numeric user id. */
  readonly owner?: number | undefined
  /** Numeric group id. */
  readonly group?: number | undefined
}

const FOLDER_MODE = 0o700

/** Makes the folder where it is missing, and the path free. */
export async function clearPath(path: string): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true, mode: FOLDER_MODE })
    const found = await lstat(path).catch(absent)
    if (found === undefined) return
    if (!found.isSocket()) {
      throw unusable(
        path,
        'something that is not a socket stands there: remove it or name another path',
      )
    }
    if (await answers(path)) {
      throw unusable(path, 'another process answers there: stop that one first')
    }
    await unlink(path)
  } catch (cause) {
    if (cause instanceof KmsError) throw cause
    throw unusable(
      path,
      `${systemCodeOf(cause) ?? 'unknown error'}: check the folder and its permissions`,
      cause,
    )
  }
}

/** Sets owner, group and mode of a socket that was bound with less. */
export async function openTo({ path, mode, owner, group }: SocketOptions): Promise<void> {
  try {
    if (owner !== undefined || group !== undefined) await chown(path, owner ?? -1, group ?? -1)
    await chmod(path, mode)
  } catch (cause) {
    throw unusable(
      path,
      `${systemCodeOf(cause) ?? 'unknown error'} when setting its owner and mode`,
      cause,
    )
  }
}

/** The inode at the path, or undefined where nothing is. */
export async function inodeAt(path: string): Promise<number | undefined> {
  return (await lstat(path).catch(absent))?.ino
}

/**
 * Runs `close`, which removes whatever stands at the path by name, and puts back a
 * socket that is not ours.
 */
export async function keepingForeign(
  path: string,
  ours: number | undefined,
  close: () => Promise<void>,
): Promise<void> {
  const foreign = await inodeAt(path)
  if (foreign === undefined || foreign === ours) return await close()
  const aside = `${path}.kept`
  await link(path, aside)
  await close()
  if ((await inodeAt(path)) === undefined) await rename(aside, path)
  else await rm(aside, { force: true })
}

export function unusable(path: string, why: string, cause?: unknown): KmsError {
  return new KmsError(`Cannot listen on "${path}": ${why}`, { code: 'unavailable', cause })
}

async function answers(path: string): Promise<boolean> {
  const socket = connect(path)
  try {
    await once(socket, 'connect')
    return true
  } catch (error) {
    const errno = systemCodeOf(error)
    if (errno === 'ECONNREFUSED' || errno === 'ENOENT') return false
    throw error
  } finally {
    socket.destroy()
  }
}

function absent(error: unknown): undefined {
  if (systemCodeOf(error) !== 'ENOENT') throw error
}
