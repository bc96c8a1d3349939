/**
 * HashiCorp's Vault, built once from its Go modules into the cache: without the web
 * interface, and from 1.21 on without the databases and clouds that no test needs.
 *
 * @module
 */

import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { goPrograms } from './go_programs.ts'

const MODULES = fileURLToPath(new URL('../vault/go/', import.meta.url))
/** Older Vault reaches into Go's own library, which Go's linker refuses since 1.23. */
const LINKER_FLAGS = ['-checklinkname=0']

/** Oldest first; each has a folder in `test/vault/go/`. */
export const VAULT_VERSIONS = ['1.12.0', '1.13.0', '1.21.0'] as const
export type VaultVersion = (typeof VAULT_VERSIONS)[number]

export async function vaultBinary(version: VaultVersion): Promise<string> {
  const name = `vault-${version}`
  const sources = join(MODULES, name)
  return join(
    await goPrograms({ name, sources, packages: ['.'], linkerFlags: LINKER_FLAGS }),
    'vault',
  )
}
