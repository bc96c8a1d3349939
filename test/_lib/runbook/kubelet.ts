/**
 * A stand-in for the kubelet: it runs the command of each manifest in `/etc/kubernetes/manifests`
 * as a process, starts it again when the manifest changes or the process ends, and ends it when the
 * manifest is removed.
 *
 * @module
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import * as v from 'valibot'
import { parse } from 'yaml'

export const MANIFESTS = '/etc/kubernetes/manifests'
const ENCRYPTION_FLAG = '--encryption-provider-config='
const LOOK_EVERY_MS = 100

const pod = v.object({
  spec: v.object({
    containers: v.tuple([
      v.object({
        command: v.array(v.string()),
        volumeMounts: v.array(v.object({ name: v.string(), mountPath: v.string() })),
      }),
    ]),
    volumes: v.array(v.object({ name: v.string(), hostPath: v.object({ path: v.string() }) })),
  }),
})

interface Running {
  readonly text: string
  readonly child: ChildProcess
}

export class Kubelet implements AsyncDisposable {
  readonly #programs: Readonly<Record<string, string>>
  readonly #running = new Map<string, Running>()
  readonly #loop: Promise<void>
  #stopped = false
  #output = ''

  /** @param programs where the commands of the manifests are */
  constructor(programs: Readonly<Record<string, string>>) {
    this.#programs = programs
    this.#loop = this.#follow()
  }

  output(): string {
    return this.#output
  }

  /** Ends the process of a manifest; the next one is started as if it had crashed. */
  async restart(file: string): Promise<void> {
    const running = this.#running.get(file)
    if (running === undefined) throw new Error(`${file} does not run`)
    await ended(running.child, 'SIGTERM')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true
    await this.#loop
    for (const { child } of this.#running.values()) await ended(child, 'SIGKILL')
  }

  async #follow(): Promise<void> {
    await mkdir(MANIFESTS, { recursive: true })
    while (!this.#stopped) {
      const there = await manifests()
      await Promise.all([...this.#running.keys()].map((file) => this.#stopUnless(file, there)))
      for (const [file, text] of there) if (!this.#running.has(file)) this.#start(file, text)
      await pause(LOOK_EVERY_MS)
    }
  }

  async #stopUnless(file: string, there: ReadonlyMap<string, string>): Promise<void> {
    const running = this.#running.get(file)
    if (running === undefined) return
    const exited = running.child.exitCode !== null || running.child.signalCode !== null
    if (!exited && there.get(file) === running.text) return
    await ended(running.child, 'SIGTERM')
    this.#running.delete(file)
  }

  #start(file: string, text: string): void {
    const { spec } = v.parse(pod, parse(text))
    const [{ command, volumeMounts }] = spec.containers
    const [name = '', ...args] = command
    const program = this.#programs[name]
    if (program === undefined) throw new Error(`${file} runs ${name}, which is not here`)
    const volumes = new Map(spec.volumes.map((each) => [each.name, each.hostPath.path]))
    const mounts = volumeMounts.filter((mount) => volumes.get(mount.name) === mount.mountPath)
    const unseen = pathsOf(args).filter(
      (path) => !mounts.some(({ mountPath }) => `${path}/`.startsWith(`${mountPath}/`)),
    )
    if (unseen.length > 0) throw new Error(`${file} does not mount ${unseen}`)
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        this.#output = (this.#output + chunk).slice(-200_000)
      })
    }
    this.#running.set(file, { text, child })
  }
}

async function manifests(): Promise<Map<string, string>> {
  const there = new Map<string, string>()
  for (const file of (await readdir(MANIFESTS)).filter((name) => name.endsWith('.yaml'))) {
    const text = await readFile(join(MANIFESTS, file), 'utf8').catch(() => '')
    // A file that is just being written waits for the next round.
    if (text.endsWith('\n')) there.set(file, text)
  }
  return there
}

/** What a container must see: the files that its flags name, and the sockets that such a file names. */
function pathsOf(args: readonly string[]): string[] {
  const files = args.flatMap((word) => /^--[^=]+=(\/.+)$/.exec(word)?.[1] ?? [])
  const config = args.find((word) => word.startsWith(ENCRYPTION_FLAG))
  if (config === undefined) return files
  const text = readFileSync(config.slice(ENCRYPTION_FLAG.length), 'utf8')
  return [...files, ...[...text.matchAll(/unix:\/\/(\/[\w./-]+)/g)].map(([, path]) => path ?? '')]
}

async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const closed = once(child, 'close')
  child.kill(signal)
  await closed
}
