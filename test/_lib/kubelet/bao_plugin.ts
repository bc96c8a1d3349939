/** The plugin on a node with a key service of the test's own, which is outside of all machines. @module */

import type { Transit } from '../services/vault/openbao.ts'
import type { Machine } from './machine.ts'
import { installPlugin } from './plugin.ts'

const FILES = { roleIdFile: '/etc/trousseau/role-id', secretIdFile: '/etc/trousseau/secret-id' }

/** @param config further keys of it */
export async function installBaoPlugin(
  machine: Machine,
  { provider, ...files }: Transit,
  config: object = {},
): Promise<void> {
  await machine.copy(files.roleIdFile, FILES.roleIdFile)
  await machine.copy(files.secretIdFile, FILES.secretIdFile)
  await installPlugin(machine, {
    provider: {
      name: 'bao',
      type: 'vault',
      ...provider,
      auth: { method: 'approle', ...FILES },
      allowInsecureHttp: true,
    },
    config: {
      admin: { listen: '127.0.0.1:8787' },
      stateDir: '/var/lib/trousseau/state',
      ...config,
    },
  })
}
