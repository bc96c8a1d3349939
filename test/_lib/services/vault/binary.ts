/**
 * HashiCorp's Vault, built once from its Go modules into the cache, without the web
 * interface; where it can be, also without the databases and clouds that no test needs.
 *
 * @module
 */

import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { goPrograms } from '../../go/programs.ts'

const MODULES = fileURLToPath(new URL('../../../vault/go/', import.meta.url))
/** Older Vault reaches into Go's own library, which Go's linker refuses since 1.23. */
const LINKER_FLAGS = ['-checklinkname=0']
const KUBERNETES =
  'github.com/hashicorp/vault-plugin-auth-kubernetes/cmd/vault-plugin-auth-kubernetes'

/** Oldest first; each has a folder in `test/vault/go/`. */
export const VAULT_VERSIONS = ['1.12.0', '1.13.0', '1.21.0'] as const
export type VaultVersion = (typeof VAULT_VERSIONS)[number]
/** What Vault calls minimal is a third of the work, and lacks a login, which is a program of its own then. */
const MINIMAL: readonly VaultVersion[] = ['1.21.0']

export async function vaultBinary(version: VaultVersion): Promise<string> {
  const minimal = MINIMAL.includes(version)
  const folder = await goPrograms({
    name: `vault-${version}`,
    sources: join(MODULES, `vault-${version}`),
    packages: minimal ? ['.', KUBERNETES] : ['.'],
    linkerFlags: LINKER_FLAGS,
    tags: minimal ? 'minimal' : undefined,
  })
  return join(folder, 'vault')
}

/** What a server has to be told of the login that it lacks: undefined where it lacks none. */
export async function kubernetesPlugin(
  version: VaultVersion,
): Promise<{ sha256: string; command: string } | undefined> {
  if (!MINIMAL.includes(version)) return undefined
  const command = basename(KUBERNETES)
  const program = await readFile(join(dirname(await vaultBinary(version)), command))
  return { sha256: createHash('sha256').update(program).digest('hex'), command }
}
