/**
 * Runs the image as OpenShift's operators do: any user, no capabilities, a read-only root, the default
 * seccomp profile, the folders of the pod and nothing else. containerd's client has no flag for a user,
 * so the container's specification is taken from it and given back changed.
 *
 * @module
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import * as v from 'valibot'
import manifest from '../../../package.json' with { type: 'json' }
import type { TempFolder } from '../temp_folder.ts'
import { until } from '../wait.ts'
import type { Containerd } from './containerd.ts'

const IMAGE = `localhost/trousseau:${manifest.version}`
const PROGRAM = '/usr/bin/trousseau'

const specification = v.looseObject({
  process: v.looseObject({ user: v.looseObject({ uid: v.number() }) }),
  root: v.looseObject({ path: v.string() }),
  linux: v.looseObject({ cgroupsPath: v.string() }),
})
const container = v.object({ Spec: specification })

export interface SidecarContainer extends AsyncDisposable {
  /** Of the plugin, on the node. */
  readonly pid: number
  /** Standard output and error so far. */
  output(): string
  /** Resolves to the exit code. */
  stop(): Promise<number | null>
}

interface Mount {
  readonly from: string
  readonly to: string
  readonly readOnly: boolean
}

export interface SidecarUser {
  readonly uid: number
  readonly gid: number
  /** Supplementary groups, such as a pod's `fsGroup`. */
  readonly groups?: readonly number[]
}

export class Sidecars implements AsyncDisposable {
  readonly #containerd: Containerd
  readonly #folder: TempFolder
  #mounted: Promise<string> | undefined
  #count = 0

  constructor(containerd: Containerd, folder: TempFolder) {
    this.#containerd = containerd
    this.#folder = folder
  }

  /** Resolves once the process runs. */
  async start(
    args: readonly string[],
    { user, mounts }: { readonly user: SidecarUser; readonly mounts: readonly Mount[] },
  ): Promise<SidecarContainer> {
    this.#count += 1
    const name = `${this.#containerd.container}-${this.#count}`
    const spec = await this.#specOf(name, args, mounts)
    spec.process['user'] = { ...user, additionalGids: [...(user.groups ?? [])] }
    const none = { bounding: [], effective: [], inheritable: [], permitted: [] }
    spec.process['capabilities'] = none
    spec.process['noNewPrivileges'] = true
    spec.root.path = await this.#root()
    const file = this.#folder.at(`${name}.json`)
    await writeFile(file, JSON.stringify(spec))
    const [program = '', ...flags] = this.#containerd.ctr
    const run = ['run', '--rm', '--runc-root', this.#containerd.runcRoot, '--config', file, name]
    const child = spawn(program, [...flags, ...run], { stdio: ['ignore', 'pipe', 'pipe'] })
    return await this.#running(name, child)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#mounted === undefined) return
    await this.#containerd.ask('images', 'unmount', '--rm', await this.#mounted)
  }

  /** What containerd would run: its own defaults, with our arguments and mounts. */
  async #specOf(name: string, args: readonly string[], mounts: readonly Mount[]) {
    const binds = mounts.flatMap(({ from, to, readOnly }) => [
      '--mount',
      `type=bind,src=${from},dst=${to},options=rbind:${readOnly ? 'ro' : 'rw'}`,
    ])
    const flags = ['--snapshotter', 'native', '--read-only', '--seccomp', '--net-host', ...binds]
    const draft = `${name}-draft`
    await this.#containerd.ask('containers', 'create', ...flags, IMAGE, draft, PROGRAM, ...args)
    const text = await this.#containerd.ask('containers', 'info', draft)
    await this.#containerd.ask('containers', 'delete', draft)
    const { Spec } = v.parse(container, JSON.parse(text))
    Spec.linux.cgroupsPath = Spec.linux.cgroupsPath.replace(draft, name)
    return Spec
  }

  /** The image's files; all containers share them, since none may write there. */
  #root(): Promise<string> {
    this.#mounted ??= (async () => {
      const at = this.#folder.at('rootfs')
      await mkdir(at)
      await this.#containerd.ask('images', 'mount', '--rw', '--snapshotter', 'native', IMAGE, at)
      return at
    })()
    return this.#mounted
  }

  async #running(name: string, child: ChildProcess): Promise<SidecarContainer> {
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (chunk: string) => {
        output += chunk
      })
    }
    const closed = once(child, 'close')
    const stop = async () => {
      if (child.exitCode === null) child.kill('SIGTERM')
      await closed
      return child.exitCode
    }
    const running = {
      output: () => output,
      stop,
      [Symbol.asyncDispose]: async () => void (await stop()),
    }
    const pid = await until(`container ${name} runs`, async () => {
      if (child.exitCode !== null) throw new Error(`It ended with ${child.exitCode}: ${output}`)
      const tasks = await this.#containerd.ask('tasks', 'ls')
      const task = new RegExp(`^${name}\\s+(\\d+)\\s+RUNNING`, 'm').exec(tasks)
      return task !== null && Number(task[1])
    })
    return { ...running, pid }
  }
}
