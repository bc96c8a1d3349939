/** A node on which Trousseau is installed, with one OpenBao or with two. @module */

import { execFile } from 'node:child_process'
import { copyFile, rename, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { encryptionOf } from '../cluster/api_server.ts'
import type { OpenBao } from '../services/vault/openbao.ts'
import { CA, type ControlPlane, SOCKET, startControlPlane } from './control_plane.ts'

/** What the harness calls the credential files of the key. */
const TRANSIT = 'trousseau-transit-k8s-etcd'
const SECOND_CA = '/etc/trousseau/second-ca.pem'
/** Times are short, so that what a page waits for comes soon. */
const SOON = {
  rotation: { activationDelay: '3s' },
  health: { interval: '1s', staleAfter: '3s' },
  protection: { mode: 'any', minimumProviders: 1, holdTime: '2s', returnTime: '4s' },
}

/** Where the private half is, with `recipients`. */
export const RECOVERY_KEY = '/etc/trousseau/recovery-key'

export async function startEncryptedNode({ recipients = false } = {}): Promise<ControlPlane> {
  return await startControlPlane({
    trousseau: async (bao) => {
      const config = { providers: [await providerOf(bao)], ...SOON }
      if (!recipients) return config
      const keygen = ['recovery-key', 'create', RECOVERY_KEY, '--no-passphrase']
      await promisify(execFile)('trousseau', keygen)
      return { ...config, recovery: { recipients: [`${RECOVERY_KEY}.pub.json`] } }
    },
    encryption: encryptionOf(SOCKET, { resources: ['secrets'] }),
  })
}

/** @param second another key service, `vault-second` */
export async function startNodeOfTwo(second: OpenBao): Promise<ControlPlane> {
  return await startControlPlane({
    trousseau: async (bao) => {
      const one = await providerOf(bao)
      for (const name of ['role-id', 'secret-id']) {
        await rename(`/etc/trousseau/${TRANSIT}-${name}`, `/etc/trousseau/first-${name}`)
      }
      const auth = {
        method: 'approle',
        roleIdFile: '/etc/trousseau/first-role-id',
        secretIdFile: '/etc/trousseau/first-secret-id',
      }
      const other = { ...(await providerOf(second)), name: 'vault-second', id: 'vault-second' }
      await copyFile(second.caFile, SECOND_CA)
      const tls = { caFile: SECOND_CA }
      return {
        providers: [
          { ...one, auth },
          { ...other, tls },
        ],

        ...SOON,
      }
    },
    encryption: encryptionOf(SOCKET, { resources: ['secrets'] }),
  })
}

/** What the page about it needs: its authority, and an administrator's token. */
export async function offerSecond(second: OpenBao, tokenFile: string): Promise<void> {
  await copyFile(second.caFile, SECOND_CA)
  await writeFile(tokenFile, second.rootToken, { mode: 0o600 })
}

async function providerOf(bao: OpenBao): Promise<Readonly<Record<string, unknown>>> {
  const { provider } = await bao.setupTransit({ folder: '/etc/trousseau' })
  return { name: 'vault-prod', type: 'vault', ...provider, tls: { caFile: CA } }
}
