/** Which of the two clients the operator has: `vault`, or `bao` of OpenBao. @module */

import { access, constants } from 'node:fs/promises'
import { join } from 'node:path'
import type { Io } from '../../console/io.ts'

export type VaultClient = 'vault' | 'bao'

/**
 * The client that is on the PATH; `vault` where both are, or none.
 *
 * @param named the client that was asked for
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
