/** `trousseau vault …` against the real OpenBao server, and its scripts under the real client. @module */

import { Buffer } from 'node:buffer'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import process from 'node:process'
import { text } from 'node:stream/consumers'
import { runProgram } from '../../../../src/cli/program.ts'
import { memoryIo } from '../../console/memory_io.ts'
import { type TempFolder, tempFolder } from '../../temp_folder.ts'
import { KEY_SERVER, keyServerBinary } from './key_server.ts'
import { type OpenBao, startOpenBao } from './openbao.ts'
import { vaultProvider } from './provider.ts'

const PLAINTEXT = new Uint8Array([1, 2, 3])
const BOUND = new Uint8Array(32)

export interface Ran {
  readonly code: number
  readonly out: string
  readonly err: string
}

export interface VaultSetup extends AsyncDisposable {
  readonly bao: OpenBao
  readonly folder: TempFolder
  /** Everything that any command printed. */
  readonly said: () => string
  /** Runs `trousseau vault …` with the config. */
  vault(...args: string[]): Promise<Ran>
  /** The same with the root token in a file. */
  apply(...args: string[]): Promise<Ran>
  /** Runs a script in the folder `admin`, under the root token. */
  shell(script: string): Promise<Ran>
  /** Writes the config anew with other keys of the provider. */
  change(provider: object): Promise<void>
  /** The plugin's provider under exactly the config: key, wrap and unwrap. */
  roundTrip(): Promise<void>
}

interface VaultSetupOptions {
  readonly tls?: boolean
  /** A server that runs already, and goes on; one of its own where absent. */
  readonly on?: OpenBao
}

export async function vaultSetup(
  provider: object,
  { tls = false, on }: VaultSetupOptions = {},
): Promise<VaultSetup> {
  const folder = await tempFolder()
  const bao = on ?? (await startOpenBao({ tls }))
  const configFile = folder.at('config.json')
  const tokenFile = folder.at('admin-token')
  await writeFile(tokenFile, `${bao.rootToken}\n`, { mode: 0o600 })
  await mkdir(folder.at('admin'))
  await mkdir(folder.at('node'))
  let config = {}
  const change = async (changed: object) => {
    const base = { name: 'prod', type: 'vault', address: bao.address, key: 'k8s-etcd' }
    config = { ...base, allowInsecureHttp: true, ...changed }
    await writeFile(configFile, JSON.stringify(wholeConfig(config)))
  }
  await change(provider)
  let said = ''
  const vault = async (...[name = '', ...args]: string[]) => {
    const io = memoryIo()
    const code = await runProgram(['vault', name, '--config', configFile, ...args], io)
    said += io.printed() + io.complained()
    return { code, out: io.printed(), err: io.complained() }
  }
  return {
    bao,
    folder,
    said: () => said,
    vault,
    apply: (...args) => vault('setup', '--apply', '--token-file', tokenFile, ...args),
    change,
    shell: (script) => runScript(script, folder.at('admin'), bao),
    roundTrip: () => roundTrip(config),
    async [Symbol.asyncDispose]() {
      if (on === undefined) await bao[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

function wholeConfig(provider: object): object {
  return {
    apiVersion: 'trousseau.io/v1',
    kind: 'TrousseauConfig',
    socket: { path: '/run/kms.sock' },
    providers: [provider],
  }
}

/** Runs a script with the real client in its path, in `cwd`, under the root token. */
export async function runScript(script: string, cwd: string, bao: OpenBao): Promise<Ran> {
  const { prefix } = KEY_SERVER
  const env = {
    PATH: `${dirname(await keyServerBinary())}:${process.env['PATH']}`,
    HOME: cwd,
    [`${prefix}_ADDR`]: bao.address,
    [`${prefix}_TOKEN`]: bao.rootToken,
    ...(bao.address.startsWith('https') ? { [`${prefix}_CACERT`]: bao.caFile } : {}),
  }
  // From standard input, as the docs say: no command may take the rest of the script for its own input.
  const shell = spawn('sh', [], { cwd, env })
  shell.stdin.end(script)
  const [out, err, [code]] = await Promise.all([
    text(shell.stdout),
    text(shell.stderr),
    once(shell, 'close'),
  ])
  return { code, out, err }
}

async function roundTrip(config: object): Promise<void> {
  await using provider = vaultProvider(config)
  const version = await provider.newest()
  const wrapped = await provider.wrap(version, PLAINTEXT, BOUND)
  const plain = await provider.unwrap(version, wrapped, BOUND)
  if (Buffer.compare(plain, PLAINTEXT) !== 0) throw new Error('Unwrap failed')
}
