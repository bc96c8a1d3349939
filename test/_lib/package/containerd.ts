/** A containerd of the test's own: its socket, its data and its state in a folder. @module */

import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { debianTool } from '../debian.ts'
import type { TempFolder } from '../temp_folder.ts'
import { until } from '../wait.ts'
import { run } from './shipped.ts'

export interface Containerd extends AsyncDisposable {
  readonly address: string
  /**
   * The name of the one container. runc's control groups belong to the machine, where another test
   * may run a container at the same time.
   */
  readonly container: string
  /** The start of every command line of its client. */
  readonly ctr: readonly [program: string, ...args: string[]]
  /** Where runc keeps its state. */
  readonly runcRoot: string
  /** Runs its client; resolves to what it printed. */
  ask(...args: string[]): Promise<string>
}

/** @param within a command line that ends in the program, such as one that has no network */
export async function startContainerd(
  folder: TempFolder,
  within: readonly string[] = [],
): Promise<Containerd> {
  await debianTool('runc')
  const program = await debianTool('containerd')
  const address = folder.at('containerd.sock')
  const config = [
    'version = 2',
    `root = "${folder.at('containerd')}"`,
    `state = "${folder.at('state')}"`,
    // The plugin for the kubelet needs a network for its pods.
    'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
    `[grpc]\naddress = "${address}"`,
  ]
  await writeFile(folder.at('containerd.toml'), config.join('\n'))
  const [command = '', ...args] = [...within, program, '--config', folder.at('containerd.toml')]
  const child = spawn(command, args, { stdio: 'ignore' })
  const closed = once(child, 'close')
  const ask = async (...args: string[]) =>
    (await run('ctr', ['--address', address, ...args])).stdout
  await until(
    'containerd answers',
    () =>
      ask('version').then(
        () => true,
        () => false,
      ),
    { everyMs: 200, limitMs: 60_000 },
  )
  const container = `plugin-${randomUUID()}`
  return {
    address,
    container,
    ctr: ['ctr', '--address', address],
    runcRoot: folder.at('runc'),
    ask,
    async [Symbol.asyncDispose]() {
      // With --rm the one that is attached to the container removes it once this is done.
      await ask('tasks', 'rm', '--force', container).catch(() => {
        // It ended by itself.
      })
      child.kill('SIGTERM')
      await closed
    },
  }
}
