/**
 * The servers that are measured, each in a process of its own with the Node flags
 * and the log level that ship: the built bundle, and the empty service.
 *
 * @module
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, type FileHandle, mkdir, open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { BUNDLE_OPTIONS } from '../../build/bundle_options.ts'
import { connectKms } from '../../src/grpc/client.ts'
import { bundleCommand, NODE, NODE_FLAGS } from '../_lib/plugin/process.ts'
import { until } from '../_lib/wait.ts'

export interface ServerOptions {
  /** Is made; holds config, socket and log. */
  readonly folder: string
  /** Of Node, besides those that ship. */
  readonly nodeFlags?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  /** A binary, in place of Node and the bundle. */
  readonly binary?: string
}

interface PluginOptions extends ServerOptions {
  /** The provider's config but for its name. */
  readonly provider: Readonly<Record<string, unknown>>
  /** The rest of the config, where it is not the default. */
  readonly config?: Readonly<Record<string, unknown>>
}

export interface ServerProcess {
  readonly socketPath: string
  readonly pid: number
  /** From the start of the process until the socket is there. */
  readonly listensMs: number
  /** From the start of the process to the first good Status. */
  readonly readyMs: number
  /** SIGTERM, or another signal; settles when it has ended. */
  stop(signal?: NodeJS.Signals): Promise<void>
}

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const FLOOR = join('test', 'bench', 'floor_server.ts')
const SOCKET = 'kms.sock'

/** Whatever still runs when it is disposed of is killed. */
export class Processes implements AsyncDisposable {
  readonly #children: ChildProcess[] = []
  readonly #logs: FileHandle[] = []

  /** Bundled as the plugin is: Node's own reading of TypeScript takes 25 MB. */
  async floor(options: ServerOptions): Promise<ServerProcess> {
    const { folder, nodeFlags = [], binary } = options
    await mkdir(folder, { mode: 0o700 })
    const socketPath = join(folder, SOCKET)
    if (binary !== undefined) return await this.#start([binary, [socketPath]], options)
    const args = [...NODE_FLAGS, ...nodeFlags, await floorBundle(folder), socketPath]
    return await this.#start([NODE, args], options)
  }

  async plugin(options: PluginOptions): Promise<ServerProcess> {
    const { folder, nodeFlags = [], provider, config = {}, binary } = options
    await mkdir(folder, { mode: 0o700 })
    const configPath = join(folder, 'config.json')
    const content = {
      apiVersion: 'trousseau.io/v1',
      kind: 'TrousseauConfig',
      socket: { path: join(folder, SOCKET) },
      providers: [{ name: 'bench', ...provider }],
      ...config,
    }
    await writeFile(configPath, JSON.stringify(content), { mode: 0o600 })
    const args = ['serve', '--config', configPath]
    if (binary !== undefined) return await this.#start([binary, args], options)
    return await this.#start(bundleCommand({ folder, nodeFlags }, args), options)
  }

  /** Another plugin by its command, which finds in `PEER_SOCKET` where it is to listen. */
  async other(command: string, options: ServerOptions): Promise<ServerProcess> {
    const { folder, environment } = options
    await mkdir(folder, { mode: 0o700 })
    const own = { ...environment, PEER_SOCKET: join(folder, SOCKET) }
    // The process that is measured is the plugin itself, and no shell around it.
    const args = ['-c', `exec ${command}`]
    return await this.#start(['/bin/sh', args], { ...options, environment: own })
  }

  async #start(
    [command, args]: readonly [string, readonly string[]],
    { folder, environment }: ServerOptions,
  ): Promise<ServerProcess> {
    const log = await open(join(folder, 'log'), 'a', 0o600)
    this.#logs.push(log)
    const start = performance.now()
    const env = { ...process.env, ...environment }
    const child = spawn(command, args, { env, stdio: ['ignore', log.fd, log.fd] })
    this.#children.push(child)
    const socketPath = join(folder, SOCKET)
    const listened = await untilReady(child, socketPath)
    return {
      socketPath,
      pid: child.pid ?? 0,
      listensMs: listened - start,
      readyMs: performance.now() - start,
      stop: (signal = 'SIGTERM') => end(child, signal),
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) await end(child, 'SIGKILL')
    for (const log of this.#logs) await log.close()
  }
}

/** The empty service as one file, in the folder. */
export async function floorBundle(folder: string): Promise<string> {
  const outfile = join(folder, 'floor.mjs')
  await build({ ...BUNDLE_OPTIONS, absWorkingDir: ROOT, entryPoints: [FLOOR], outfile })
  return outfile
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const closed = once(child, 'close')
  child.kill(signal)
  await closed
}

/** Resolves to the moment when the socket was there. */
async function untilReady(child: ChildProcess, socketPath: string): Promise<number> {
  const running = () => {
    const { exitCode, signalCode } = child
    if (exitCode === null && signalCode === null) return
    throw new Error(`Server exited with ${exitCode ?? signalCode}`)
  }
  // A client that comes too early waits for its next attempt.
  const listens = () => {
    running()
    return access(socketPath).then(
      () => true,
      () => false,
    )
  }
  await until('the server listens', listens, { everyMs: 2, limitMs: 20_000 })
  const listened = performance.now()
  const client = connectKms(socketPath, { timeoutMs: 1_000 })
  const isHealthy = async () => {
    running()
    const status = await client.v2.status().catch(() => undefined)
    return status?.healthz === 'ok'
  }
  try {
    await until('the server is healthy', isHealthy, { everyMs: 5, limitMs: 20_000 })
    return listened
  } finally {
    client.close()
  }
}
