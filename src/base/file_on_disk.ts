/**
 * Writes files so that they survive a power failure as soon as they are written. Node's permission
 * model, under which the binary runs, refuses to flush an open file or folder, but it allows
 * synchronous writes.
 *
 * @module
 */

import { chmod, constants, open, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { systemCodeOf } from './errors.ts'

const { O_CREAT, O_EXCL, O_RDWR, O_SYNC, O_WRONLY } = constants
const REFUSED = 'ERR_ACCESS_DENIED'

/** Opens a file that must not be there yet. */
export const NEW_ON_DISK: number = O_WRONLY | O_CREAT | O_EXCL | O_SYNC

/** A new file with the whole text, or none: what cannot be written whole leaves nothing behind. */
export async function writeNewFile(path: string, text: string, mode: number): Promise<void> {
  const file = await open(path, NEW_ON_DISK, mode)
  try {
    // Whatever the umask took away.
    await chmod(path, mode)
    await file.writeFile(text)
  } catch (error) {
    await rm(path, { force: true })
    throw error
  } finally {
    await file.close()
  }
}

/** A power failure may undo a link or a rename until the new name is on disk. */
export async function nameOnDisk(path: string): Promise<void> {
  try {
    await flushFolder(dirname(path))
  } catch (error) {
    if (systemCodeOf(error) !== REFUSED) throw error
    await writeFirstByteAgain(path)
  }
}

async function flushFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/**
 * The only way where a folder may not be flushed: ext4, XFS and Btrfs put the file's last change of
 * name into the transaction of a synchronous write to it.
 */
async function writeFirstByteAgain(path: string): Promise<void> {
  const file = await open(path, O_RDWR | O_SYNC)
  try {
    const { buffer, bytesRead } = await file.read(new Uint8Array(1), 0, 1, 0)
    await file.write(buffer, 0, bytesRead, 0)
  } finally {
    await file.close()
  }
}
