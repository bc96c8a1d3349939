/**
 * The built bundle as a child process, on Node with the flags that it ships with or on Deno with
 * narrow permissions, and everything that it printed. With TEST_BINARY, a path from the project's
 * root, the built binary is used instead of Node and bundle.
 *
 * @module
 */

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { connectKms, type KmsClient } from '../../../src/grpc/client.ts'
import { until } from '../wait.ts'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
export const BUNDLE = join(ROOT, 'dist', 'trousseau.mjs')
/** With TEST_NODE, a path, another version of it. */
export const NODE = process.env['TEST_NODE'] ?? join(ROOT, 'node_modules', '.bin', 'node')
const BINARY = process.env['TEST_BINARY']
/** Node's flags as they ship. */
export const NODE_FLAGS: readonly string[] = ['--disallow-code-generation-from-strings']
/**
 * The program itself, because the one in `.bin` is a script around it that passes no signals on.
 */
const DENO = join(
  ROOT,
  'node_modules',
  '@deno',
  `linux-${process.arch === 'x64' ? 'x64' : 'arm64'}-glibc`,
  'deno',
)

/** glibc's: what Deno uses after it was freed ends the process then, and not now and then. */
const FREED_IS_OVERWRITTEN = { MALLOC_PERTURB_: '165' }

const OUTPUT_BYTES = 64 * 1024 * 1024

export type Runtime = 'node' | 'deno'
export const RUNTIMES: readonly Runtime[] = ['node', 'deno']

export interface PluginProcessOptions {
  readonly runtime?: Runtime
  /** Where config and socket go. */
  readonly folder: string
  /** The config but for `apiVersion`, `kind` and `socket`. */
  readonly config: Readonly<Record<string, unknown>>
  /** Hosts that Deno may speak to, such as `127.0.0.1:8200`. */
  readonly hosts?: readonly string[]
  /**
   * Flags for Node besides those that ship. They need the bundle, since the binary accepts none.
   */
  readonly nodeFlags?: readonly string[]
  /** What runs the program in place of a runtime and the bundle. */
  readonly command?: readonly string[]
  /** Variables of the environment, besides `PATH` and `HOME`. */
  readonly environment?: Readonly<Record<string, string>>
  /** A command line that says what a config would; `config` is not used then. */
  readonly words?: readonly string[]
  /** Where it will listen, where that is not `kms.sock` in the folder. */
  readonly socketPath?: string
  /** Takes the socket of the process that runs in the same folder. */
  readonly takeOver?: boolean
  /** So many of the last characters of the output are remembered at least; all where absent. */
  readonly remembers?: number
}

export interface PluginProcess extends AsyncDisposable {
  readonly client: KmsClient
  readonly socketPath: string
  readonly configPath: string
  readonly pid: number
  /** Standard output and error so far. */
  output(): string
  /** Log lines whose `event` is this, of those that have come so far. */
  events(name: string): Record<string, unknown>[]
  /** Waits for such a line, since the log may come later than the answers that it is about. */
  told(name: string): Promise<Record<string, unknown>[]>
  /** SIGTERM, or another signal; resolves to the exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>
}

/** Settles as soon as the socket answers, whatever it answers. */
export async function startPluginProcess(options: PluginProcessOptions): Promise<PluginProcess> {
  const { socketPath = join(options.folder, 'kms.sock'), remembers = Infinity } = options
  const configPath = join(options.folder, 'config.json')
  await writeFile(configPath, configText(socketPath, options.config))
  await chmod(configPath, 0o600)
  const flags = options.takeOver === true ? ['--take-over'] : []
  const child = run(options, options.words ?? ['serve', '--config', configPath, ...flags])
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk
      if (output.length > 2 * remembers) output = output.slice(-remembers)
    })
  }
  const client = connectKms(socketPath, { timeoutMs: 10_000 })
  const plugin = handle(child, client, { socketPath, configPath }, () => output)
  try {
    await until(`the plugin listens; it printed ${output}`, () => {
      if (child.exitCode !== null) throw new Error(`Plugin exited ${child.exitCode}: ${output}`)
      return output.includes('socket_listening')
    })
  } catch (error) {
    await plugin[Symbol.asyncDispose]()
    throw error
  }
  return plugin
}

/** Settles as soon as Status answers with a key id. */
export async function startWellPlugin(options: PluginProcessOptions): Promise<PluginProcess> {
  const plugin = await startPluginProcess(options)
  const well = () => plugin.client.v2.status().catch(() => undefined)
  try {
    await until('the plugin is well', well)
  } catch (error) {
    await plugin[Symbol.asyncDispose]()
    throw error
  }
  return plugin
}

/** A config file that listens on the socket, unless `config` says otherwise. */
export function configText(socketPath: string, config: Readonly<Record<string, unknown>>): string {
  const head = { apiVersion: 'trousseau.io/v1', kind: 'TrousseauConfig' }
  return JSON.stringify({ ...head, socket: { path: socketPath }, ...config })
}

/** The command line that runs the program, with the flags and permissions it ships with. */
export function bundleCommand(
  {
    runtime = 'node',
    folder,
    hosts = [],
    nodeFlags = [],
  }: Pick<PluginProcessOptions, 'runtime' | 'folder' | 'hosts' | 'nodeFlags'>,
  args: readonly string[],
): [command: string, args: string[]] {
  if (runtime === 'node' && nodeFlags.length === 0 && BINARY !== undefined) {
    return [resolve(ROOT, BINARY), [...args]]
  }
  if (runtime === 'node') return [NODE, [...NODE_FLAGS, ...nodeFlags, BUNDLE, ...args]]
  const socket = `unix:${join(folder, 'kms.sock')}`
  const net = ['127.0.0.1:0', socket, `${socket}.d/s`, ...hosts].join(',')
  const permissions = [
    '--no-prompt',
    '--allow-env',
    `--allow-net=${net}`,
    `--allow-read=${[folder, BUNDLE].join(',')}`,
    `--allow-write=${folder}`,
    '--allow-sys',
  ]
  return [DENO, ['run', ...permissions, BUNDLE, ...args]]
}

/** One command of the program, until it ends. */
export function runCommand(
  args: readonly string[],
): Promise<{ readonly code: number | null; readonly out: string; readonly err: string }> {
  const [command, all] = bundleCommand({ folder: '' }, args)
  return new Promise((settle) => {
    const child = execFile(command, all, { maxBuffer: OUTPUT_BYTES }, (_error, out, err) => {
      settle({ code: child.exitCode, out, err })
    })
  })
}

function run(options: PluginProcessOptions, args: readonly string[]): ChildProcess {
  const [command = '', ...all] = [
    ...(options.command ?? bundleCommand(options, []).flat()),
    ...args,
  ]
  return spawn(command, all, {
    cwd: options.folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env['PATH'],
      HOME: process.env['HOME'],
      ...(options.runtime === 'deno' ? FREED_IS_OVERWRITTEN : {}),
      ...options.environment,
    },
  })
}

function handle(
  child: ChildProcess,
  client: KmsClient,
  paths: Pick<PluginProcess, 'socketPath' | 'configPath'>,
  output: () => string,
): PluginProcess {
  const exited = once(child, 'close')
  const events = (name: string) =>
    output()
      .split('\n')
      // What stands behind the last line end may be half a line.
      .slice(0, -1)
      .filter((line) => line.startsWith('{'))
      .map((line): Record<string, unknown> => JSON.parse(line))
      .filter(({ event }) => event === name)
  const stop = async (signal: NodeJS.Signals = 'SIGTERM') => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal)
    await exited
    return child.exitCode
  }
  return {
    client,
    ...paths,
    pid: child.pid ?? 0,
    output,
    events,
    told: (name) =>
      until(`the log tells of ${name}`, () => {
        const lines = events(name)
        return lines.length > 0 && lines
      }),
    stop,
    async [Symbol.asyncDispose]() {
      client.close()
      await stop('SIGKILL')
    },
  }
}
