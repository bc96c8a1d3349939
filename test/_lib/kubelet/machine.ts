/**
 * A machine that runs containerd and a kubelet in namespaces of its own. Its disk is a folder that
 * outlives a boot; to end its first process is a power cut.
 *
 * @module
 */

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, readdir, readFile, rmdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { run } from '../package/shipped.ts'
import type { TempFolder } from '../temp_folder.ts'
import { until } from '../wait.ts'
import { addressOf, BRIDGE } from './network.ts'
import { nodePrograms } from './programs.ts'

const BIN = fileURLToPath(new URL('bin/', import.meta.url))
const CGROUPS = '/sys/fs/cgroup'
/** Where containerd puts what has no parent. */
const GROUP = 'k8s.io'
const CONTAINERS = '/var/lib/containerd/io.containerd.grpc.v1.cri'
/** As root has it; of this process's own nothing is handed on. */
export const ENVIRONMENT = {
  HOME: '/var/lib/root',
  PATH: '/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  KUBECONFIG: '/etc/kubernetes/admin.conf',
}
const OUTPUT_BYTES = 64 * 1024 * 1024
const BOOT_MS = 60_000
/** systemd's own limit. */
const SHUTDOWN_MS = 90_000
const DAEMONS = /^(etcd|kube-|kubelet|containerd|\/usr\/bin\/trousseau) /
/** What lies on the disk, by the name of its folder there. */
const ON_DISK = { etc: '/etc', 'var-lib': '/var/lib', 'var-log': '/var/log' } as const

export class Machine implements AsyncDisposable {
  readonly name: string
  readonly address: string
  readonly #disk: string
  /** This end of it. */
  readonly #cable: string
  #first: ChildProcess | undefined
  #pid = 0

  private constructor(folder: TempFolder, number: number) {
    this.name = `node-${number}`
    this.address = addressOf(number)
    this.#cable = `node${number}`
    this.#disk = folder.at(this.name)
  }

  /**
   * A machine that is off.
   *
   * @param further programs by their names
   */
  static async create(
    folder: TempFolder,
    number: number,
    further: Readonly<Record<string, string>>,
  ): Promise<Machine> {
    const machine = new Machine(folder, number)
    await machine.#fillDisk(further)
    return machine
  }

  /** Where a file of the machine is for this process; what does not lie on the disk, while it runs. */
  at(path: string): string {
    for (const [folder, above] of Object.entries(ON_DISK)) {
      if (path.startsWith(`${above}/`)) return join(this.#disk, folder, path.slice(above.length))
    }
    return `/proc/${this.#pid}/root${path}`
  }

  read(path: string): Promise<string> {
    return readFile(this.at(path), 'utf8')
  }

  /** Writes a file as an editor of root would, with the folders above it. */
  async write(path: string, text: string, mode = 0o600): Promise<void> {
    await mkdir(join(this.at(path), '..'), { recursive: true })
    await writeFile(this.at(path), text, { mode })
  }

  /** Copies a file of this process onto the machine. */
  async copy(from: string, to: string): Promise<void> {
    await this.write(to, await readFile(from, 'utf8'))
  }

  /** Boots it: containerd and the kubelet start at once. */
  async powerOn(): Promise<void> {
    const namespaces = ['--pid', '--fork', '--kill-child', '--mount', '--propagation', 'private']
    const command = [join(BIN, 'boot'), this.#disk, this.address]
    const first = spawn('unshare', [...namespaces, '--net', '--uts', '--mount-proc', ...command], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: ENVIRONMENT,
    })
    let said = ''
    first.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      said += chunk
    })
    this.#first = first
    this.#pid = await until('the first process is there', () => childOf(first.pid), {
      limitMs: BOOT_MS,
    })
    await this.#connect()
    await until('the machine is up', async () => {
      if (first.exitCode !== null) throw new Error(`${this.name} does not boot: ${said}`)
      return await this.read('/run/booted').then(
        () => true,
        () => false,
      )
    })
  }

  /** Takes the power away: every process is gone at once, and /run is empty. */
  async powerOff(): Promise<void> {
    const first = this.#first
    if (first === undefined) return
    this.#first = undefined
    const closed = once(first, 'close')
    process.kill(this.#pid, 'SIGKILL')
    await closed
    await run('ip', ['link', 'delete', this.#cable]).catch(() => {
      // The kernel was faster, which removes it some time after the machine's end of it.
    })
    await this.#removeControlGroups()
  }

  /** As systemd ends a machine: every process is asked to end, and has some time for it. */
  async shutDown(): Promise<void> {
    await this.run('kill', '-TERM', '-1').catch(() => {
      // It ends itself by that.
    })
    await until(
      'every process has ended',
      async () => {
        const left = (await this.run('ps', '-e', '-o', 'args=').catch(() => '')).trim().split('\n')
        return left.every((line) => !DAEMONS.test(line))
      },
      { limitMs: SHUTDOWN_MS, everyMs: 100 },
    ).catch(() => {
      // systemd kills what is left, too.
    })
    await this.powerOff()
  }

  /** The start of a command line that is run on the machine, until its next boot. */
  get within(): readonly string[] {
    return ['nsenter', '--target', String(this.#pid), '--all', '--wd=/', '--']
  }

  /** Runs a command on the machine; resolves to what it printed. */
  async run(...command: readonly string[]): Promise<string> {
    const [program = '', ...args] = [...this.within, ...command]
    const { stdout } = await promisify(execFile)(program, args, {
      maxBuffer: OUTPUT_BYTES,
      env: ENVIRONMENT,
    })
    return stdout
  }

  /** The process whose command line begins so, as the machine numbers it. */
  async pidOf(command: string): Promise<string> {
    return (await this.run('pgrep', '-f', `^${command} `)).trim()
  }

  /** Runs commands of a shell on the machine; a bash that reads a socket takes it for a login. */
  shell(text: string): Promise<string> {
    return this.run('bash', '--norc', '-euo', 'pipefail', '-c', text)
  }

  /** What containers of these pods printed last, of which nobody else would know any more, and the kubelet. */
  async lastWords(lines: number, ...pods: readonly string[]): Promise<string> {
    const logs = pods.map((pod) => `/var/log/pods/kube-system_${pod}*/*/*.log`).join(' ')
    return await this.shell(`shopt -s nullglob; tail -n ${lines} ${logs} /var/log/kubelet.log`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.powerOff()
  }

  async #fillDisk(further: Readonly<Record<string, string>>): Promise<void> {
    for (const folder of [...Object.keys(ON_DISK), 'bin', 'var-lib/root']) {
      await mkdir(join(this.#disk, folder), { recursive: true })
    }
    const etc = join(this.#disk, 'etc')
    await cp('/etc', etc, { recursive: true, verbatimSymlinks: true })
    for (const folder of ['kubernetes/manifests', 'containerd', 'trousseau']) {
      await mkdir(join(etc, folder), { recursive: true })
    }
    await writeFile(join(etc, 'hostname'), `${this.name}\n`)
    await writeFile(join(etc, 'hosts'), `127.0.0.1 localhost\n${this.address} ${this.name}\n`)
    await writeFile(join(etc, 'resolv.conf'), 'nameserver 127.0.0.1\n')
    const programs = { ...(await nodePrograms()), systemctl: join(BIN, 'systemctl'), ...further }
    for (const [name, path] of Object.entries(programs)) {
      await symlink(path, join(this.#disk, 'bin', name))
    }
  }

  async #connect(): Promise<void> {
    const pair = ['type', 'veth', 'peer', 'name', 'eth0', 'netns', String(this.#pid)]
    await run('ip', ['link', 'add', this.#cable, ...pair])
    await run('ip', ['link', 'set', this.#cable, 'master', BRIDGE, 'up'])
  }

  /**
   * Those of the containers stay behind without processes. Control groups belong to the whole
   * machine that the tests run on, and are told apart by the ids of the containers.
   */
  async #removeControlGroups(): Promise<void> {
    const controllers = await readdir(CGROUPS)
    for (const kind of ['containers', 'sandboxes']) {
      const ids = await readdir(this.at(join(CONTAINERS, kind))).catch(() => [])
      const groups = ids.flatMap((id) => controllers.map((each) => join(CGROUPS, each, GROUP, id)))
      for (const group of groups) {
        await rmdir(group).catch(() => {
          // The controller has none of this container.
        })
      }
    }
  }
}

async function childOf(pid: number | undefined): Promise<number | undefined> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '')
  return text === '' ? undefined : Number.parseInt(text, 10)
}
