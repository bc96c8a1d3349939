/**
 * What is measured: the empty service, the real OpenBao, and the built bundle in
 * front of OpenBao and with a local key, each in a process of its own and with the
 * flags and the log level it ships with.
 *
 * @module
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, type FileHandle, mkdir, open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { connectKms } from '../../src/grpc/client.ts'
import { createKeyFile } from '../../src/providers/local_key_file.ts'
import { startOpenBao } from '../_lib/openbao.ts'
import { bundleCommand } from '../_lib/plugin_process.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { until } from '../_lib/wait.ts'
import type { Endpoint, Operation } from './job.ts'

export const TARGETS = ['floor', 'raw', 'vault', 'local'] as const
export type TargetName = (typeof TARGETS)[number]

export interface Target {
  readonly name: TargetName
  readonly endpoint: Endpoint
  readonly operations: readonly Operation[]
  /** The server's own process. */
  readonly pid: number
  /** The key service behind it. */
  readonly behindPid: number | undefined
  /** From the start of the process to the first good Status. */
  readonly readyMs: number | undefined
}

const FLOOR = fileURLToPath(new URL('floor_server.ts', import.meta.url))
const ALL: readonly Operation[] = ['Status', 'Encrypt', 'Decrypt']

/** Starts everything, hands it to `use`, and ends it. */
export async function withTargets<T>(use: (targets: readonly Target[]) => Promise<T>): Promise<T> {
  await using folder = await tempFolder()
  await using bao = await startOpenBao()
  await using processes = new Processes()
  const transit = await bao.setupTransit({ folder: folder.path })
  const token = await transit.login()
  const tokenFile = folder.at('token')
  await writeFile(tokenFile, token, { mode: 0o600 })
  const { mount, key } = transit
  const keyUrl = `${bao.address}/v1/${mount}/{operation}/${key}`
  const raw: Target = {
    name: 'raw',
    endpoint: { kind: 'http', keyUrl, token },
    operations: ['Encrypt', 'Decrypt'],
    pid: bao.pid,
    behindPid: undefined,
    readyMs: undefined,
  }
  const floor = await processes.floor(folder.path)
  const vault = await processes.plugin('vault', {
    folder: folder.at('vault'),
    behindPid: bao.pid,
    provider: {
      type: 'vault',
      address: bao.address,
      allowInsecureHttp: true,
      mount,
      key,
      auth: { method: 'token', tokenFile },
    },
  })
  const keyFile = folder.at('keys')
  await createKeyFile(keyFile, () => Date.now())
  const local = await processes.plugin('local', {
    folder: folder.at('local'),
    behindPid: undefined,
    provider: { type: 'local', keyFile },
  })
  return await use([floor, raw, vault, local])
}

interface PluginOptions {
  readonly folder: string
  readonly behindPid: number | undefined
  readonly provider: Readonly<Record<string, unknown>>
}

class Processes implements AsyncDisposable {
  readonly #children: ChildProcess[] = []
  readonly #logs: FileHandle[] = []

  async floor(folder: string): Promise<Target> {
    const socketPath = join(folder, 'floor.sock')
    const child = await this.#start([process.execPath, [FLOOR, socketPath]], join(folder, 'log'))
    const readyMs = await ready(child, socketPath)
    return target('floor', { child, socketPath, behindPid: undefined, readyMs })
  }

  async plugin(name: TargetName, options: PluginOptions): Promise<Target> {
    const { folder, behindPid, provider } = options
    await mkdir(folder, { mode: 0o700 })
    const socketPath = join(folder, 'kms.sock')
    const configPath = join(folder, 'config.json')
    const config = {
      apiVersion: 'trousseau.io/v1',
      kind: 'TrousseauConfig',
      socket: { path: socketPath },
      providers: [{ name, ...provider }],
    }
    await writeFile(configPath, JSON.stringify(config), { mode: 0o600 })
    const command = bundleCommand({ folder }, ['serve', '--config', configPath])
    const child = await this.#start(command, join(folder, 'log'))
    const readyMs = await ready(child, socketPath)
    return target(name, { child, socketPath, behindPid, readyMs })
  }

  async #start([command, args]: readonly [string, string[]], log: string): Promise<ChildProcess> {
    const file = await open(log, 'a', 0o600)
    const child = spawn(command, args, { stdio: ['ignore', file.fd, file.fd] })
    this.#logs.push(file)
    this.#children.push(child)
    return child
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) {
      if (child.exitCode !== null || child.signalCode !== null) continue
      const closed = once(child, 'close')
      child.kill('SIGKILL')
      await closed
    }
    for (const file of this.#logs) await file.close()
  }
}

function target(
  name: TargetName,
  options: {
    readonly child: ChildProcess
    readonly socketPath: string
    readonly behindPid: number | undefined
    readonly readyMs: number
  },
): Target {
  const { child, socketPath, behindPid, readyMs } = options
  const endpoint = { kind: 'socket', path: socketPath } as const
  return { name, endpoint, operations: ALL, pid: child.pid ?? 0, behindPid, readyMs }
}

async function ready(child: ChildProcess, socketPath: string): Promise<number> {
  const start = performance.now()
  // A client that comes too early waits for its next attempt.
  const listens = () =>
    access(socketPath).then(
      () => true,
      () => false,
    )
  await until('the server listens', listens, { everyMs: 2, limitMs: 20_000 })
  const client = connectKms(socketPath, { timeoutMs: 1_000 })
  try {
    await until(
      'the server is healthy',
      async () => {
        if (child.exitCode !== null) throw new Error(`Server exited with ${child.exitCode}`)
        const status = await client.v2.status().catch(() => undefined)
        return status?.healthz === 'ok'
      },
      { everyMs: 5, limitMs: 20_000 },
    )
    return performance.now() - start
  } finally {
    client.close()
  }
}
