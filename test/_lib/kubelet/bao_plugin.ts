/** The plugin on a node with a key service of the test's own, which is outside of all machines. @module */

import type { Transit } from '../services/vault/openbao.ts'
import type { Machine } from './machine.ts'
import { installPlugin } from './plugin.ts'

const STATE = '/var/lib/trousseau/state'
export const SIGNER_SOCKET = '/run/trousseau/signer.sock'
const FILES = { roleIdFile: '/etc/trousseau/role-id', secretIdFile: '/etc/trousseau/secret-id' }

/** @param config further keys of it */
export async function installBaoPlugin(
  machine: Machine,
  transit: Transit,
  config: object = {},
): Promise<void> {
  await installPlugin(machine, {
    provider: { name: 'bao', ...(await keyOf(transit, machine)) },
    config: { admin: { listen: '127.0.0.1:8787' }, stateDir: STATE, ...config },
  })
}

/**
 * The plugin with a signer whose key the key service has; what it encrypts with is a key file.
 *
 * @param settings further ones of the signer
 * @param config further keys of it
 */
export async function installBaoSigner(
  machine: Machine,
  transit: Transit,
  settings: object,
  config: object,
): Promise<void> {
  const key = await keyOf(transit, machine)
  const signer = { socket: { path: SIGNER_SOCKET }, key, ...settings }
  await installPlugin(machine, { config: { stateDir: STATE, signer, ...config } })
}

/** Brings the machine what it logs in with. */
async function keyOf({ provider, ...files }: Transit, machine: Machine): Promise<object> {
  await machine.copy(files.roleIdFile, FILES.roleIdFile)
  await machine.copy(files.secretIdFile, FILES.secretIdFile)
  const auth = { method: 'approle', ...FILES }
  return { type: 'vault', ...provider, auth, allowInsecureHttp: true }
}
