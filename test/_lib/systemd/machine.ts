/**
 * A machine whose first process is a real systemd, in namespaces of its own: `boot` says how it is kept apart.
 * It shares the network of the test, so that a key service of the test's is on its loopback.
 *
 * @module
 */

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { TempFolder } from '../temp_folder.ts'
import { until } from '../wait.ts'

const BOOT = fileURLToPath(new URL('boot', import.meta.url))
const BOOT_MS = 120_000
const run = promisify(execFile)
/** As root has it; of this process's own nothing is handed on. */
const ENVIRONMENT = { PATH: '/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8' }

export class SystemdMachine implements AsyncDisposable {
  readonly #folder: string
  readonly #group: string
  #first: ChildProcess | undefined
  #pid = 0

  /** A machine that is off, with an empty layer above this machine's files. */
  static async create(folder: TempFolder): Promise<SystemdMachine> {
    const machine = new SystemdMachine(folder.at('systemd'), await controlGroup(folder.path))
    for (const name of ['disk', 'files'])
      await mkdir(join(machine.#folder, name), { recursive: true })
    return machine
  }

  private constructor(folder: string, group: string) {
    this.#folder = folder
    this.#group = group
  }

  /** Puts a file onto the disk before the boot. */
  async write(path: string, text: string, mode = 0o600): Promise<void> {
    await mkdir(dirname(this.#at(path)), { recursive: true })
    await writeFile(this.#at(path), text, { mode })
  }

  /** Copies a file or folder of this process onto the disk before the boot. */
  async copy(from: string, to: string): Promise<void> {
    await mkdir(dirname(this.#at(to)), { recursive: true })
    await cp(from, this.#at(to), { recursive: true })
  }

  async powerOn(): Promise<void> {
    await mkdir(this.#group)
    const first = spawn(BOOT, [this.#folder, this.#group], { stdio: ['ignore', 'ignore', 'pipe'] })
    let said = ''
    first.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      said += chunk
    })
    this.#first = first
    await until(
      'systemd is up',
      async () => {
        if (first.exitCode !== null) throw new Error(`The machine does not boot: ${said}`)
        this.#pid = await childOf(first.pid)
        return this.#pid > 0 && /running|degraded/.test(await this.#state())
      },
      { limitMs: BOOT_MS, everyMs: 200 },
    )
  }

  /** Runs a command on the machine; resolves to what it printed. */
  async run(...command: readonly string[]): Promise<string> {
    const inside = ['--target', String(this.#pid), '--all', '--wd=/', '--', ...command]
    return (await run('nsenter', inside, { env: ENVIRONMENT })).stdout
  }

  /** A property of a unit. */
  async property(unit: string, name: string): Promise<string> {
    return (await this.run('systemctl', 'show', unit, '--value', `--property=${name}`)).trim()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const first = this.#first
    if (first !== undefined && first.exitCode === null) {
      const closed = once(first, 'close')
      process.kill(this.#pid > 0 ? this.#pid : (first.pid ?? 0), 'SIGKILL')
      await closed
    }
    await removeGroups(this.#group)
  }

  #at(path: string): string {
    return join(this.#folder, 'files', path)
  }

  /** Systemd says how it is by an exit code, too. */
  #state(): Promise<string> {
    return this.run('systemctl', 'is-system-running').catch(
      ({ stdout = '' }: { stdout?: string }) => stdout,
    )
  }
}

/** Version 2 of control groups, on a machine that has both versions or that one alone. */
async function controlGroup(folder: string): Promise<string> {
  const text = await readFile('/proc/self/mounts', 'utf8')
  const root = /^\S+ (\S+) cgroup2 /m.exec(text)?.[1]
  if (root === undefined) throw new Error('This machine has no control groups of version 2')
  return join(root, folder.replaceAll('/', '-').slice(1))
}

/** The group and those below it, of which no process is left. */
async function removeGroups(group: string): Promise<void> {
  const entries = await readdir(group, { withFileTypes: true }).catch(() => [])
  for (const entry of entries) {
    if (entry.isDirectory()) await removeGroups(join(group, entry.name))
  }
  // The kernel is some moments behind the end of the last process.
  await until('the control group is empty', () =>
    rmdir(group).then(
      () => true,
      ({ code }: { code?: string }) => code === 'ENOENT',
    ),
  )
}

async function childOf(pid: number | undefined): Promise<number> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '')
  return text === '' ? 0 : Number.parseInt(text, 10)
}
