/** Which of the two command line clients an operator has: `vault`, or OpenBao's. @module */

import { access, constants } from 'node:fs/promises'
import { join } from 'node:path'
import type { Io } from '../../console/io.ts'

export type VaultClient = 'vault' | 'bao'

/**
 * The one that is on the PATH; `vault` where both are, or none.
 *
 * @param named which one somebody asked for
 */
export async function clientOf({ environment }: Io, named?: VaultClient): Promise<VaultClient> {
  if (named !== undefined) return named
  const folders = (environment['PATH'] ?? '').split(':').filter((folder) => folder !== '')
  const isThere = (name: VaultClient) =>
    Promise.any(folders.map((folder) => access(join(folder, name), constants.X_OK))).then(
      () => true,
      () => false,
    )
  return !(await isThere('vault')) && (await isThere('bao')) ? 'bao' : 'vault'
}
