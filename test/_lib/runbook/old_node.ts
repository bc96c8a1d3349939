/** A node on which another plugin runs, as `old-plugin`, with the transit key `kms`. @module */

import { mkdir, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { encryptionBy } from '../cluster/api_server.ts'
import { type ControlPlane, startControlPlane } from './control_plane.ts'

/** The token of the old plugin, which may do everything. */
export const TOKEN_FILE = '/etc/old-plugin-token'

/** @param kms the entry of the EncryptionConfiguration, but for its endpoint */
export async function startOldNode(
  socket: string,
  kms: Readonly<Record<string, unknown>>,
  flags: readonly string[] = [],
): Promise<ControlPlane> {
  return await startControlPlane({
    oldPlugin: async (bao) => {
      await bao.request('POST', 'sys/mounts/transit', { type: 'transit' })
      await bao.request('POST', 'transit/keys/kms', {})
      await writeFile(TOKEN_FILE, bao.rootToken, { mode: 0o600 })
      await mkdir(dirname(socket), { recursive: true })
      return { socket, port: Number(new URL(bao.address).port), key: 'kms', tokenFile: TOKEN_FILE }
    },
    encryption: encryptionBy(
      [{ kms: { ...kms, endpoint: `unix://${socket}`, timeout: '3s' } }, { identity: {} }],
      ['secrets'],
    ),
    flags,
  })
}
