/**
 * What this node says about SELinux: whether the kernel has it, which processes listen on the
 * socket and run the API server, and the labels of both and of files. The runtime cannot read a
 * file's label, so the program `stat` is asked.
 *
 * @module
 */

import childProcess from 'node:child_process'
import { readdir, readFile, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { DRAFT_SUFFIX } from '../../base/socket_path.ts'
import { type Label, labelIn } from './selinux_label.ts'

const STAT_LIMIT_MS = 2_000
/** `__SO_ACCEPTCON` in the flags of /proc/net/unix. */
const LISTENS = '00010000'

/** Where the kernel's file systems are mounted. */
export interface Roots {
  readonly sys: string
  readonly proc: string
}
export const KERNEL: Roots = { sys: '/sys', proc: '/proc' }

interface Processes {
  /** The label of the process that listens on the socket; undefined where none is found. */
  readonly plugin: Label | undefined
  readonly apiServer: Label | undefined
}

/** Undefined where the kernel has no SELinux. */
export async function enforces({ sys }: Roots): Promise<boolean | undefined> {
  const text = await readFile(join(sys, 'fs/selinux/enforce'), 'utf8').catch(() => undefined)
  return text === undefined ? undefined : text.trim() === '1'
}

export async function processesOf(socketPath: string, { proc }: Roots): Promise<Processes> {
  const sockets = await listenersAt(socketPath, proc)
  let [plugin, apiServer]: (string | undefined)[] = []
  for (const pid of (await readdir(proc)).filter((name) => /^\d+$/.test(name))) {
    const folder = join(proc, pid)
    if ((await textOf(join(folder, 'comm'))).trim() === 'kube-apiserver') apiServer ??= folder
    if (plugin === undefined && (await holds(folder, sockets))) plugin = folder
  }
  return { plugin: await labelOfProcess(plugin), apiServer: await labelOfProcess(apiServer) }
}

/** Undefined where it is not known: there is no file, no label, or no program that reads labels. */
export async function labelOfFile(path: string, searchPath: string): Promise<Label | undefined> {
  try {
    const options = { timeout: STAT_LIMIT_MS, env: { PATH: searchPath, LC_ALL: 'C' } }
    const run = promisify(childProcess.execFile)
    const { stdout } = await run('stat', ['-L', '-c', '%C', '--', path], options)
    return labelIn(stdout)
  } catch {
    return undefined
  }
}

/** Links of descriptors, as `/proc/PID/fd` has them. */
async function listenersAt(path: string, proc: string): Promise<ReadonlySet<string>> {
  const names = [path, `${path}${DRAFT_SUFFIX}`]
  const lines = (await textOf(join(proc, 'net/unix'))).split('\n')
  const fields = lines.map((line) => line.trim().split(/\s+/))
  return new Set(
    fields
      .filter(([, , , flags, , , , name = '']) => flags === LISTENS && names.includes(name))
      .map(([, , , , , , inode = '']) => `socket:[${inode}]`),
  )
}

async function holds(folder: string, sockets: ReadonlySet<string>): Promise<boolean> {
  if (sockets.size === 0) return false
  const fds = await readdir(join(folder, 'fd')).catch(() => [])
  const links = fds.map((fd) => readlink(join(folder, 'fd', fd)).catch(() => ''))
  return (await Promise.all(links)).some((link) => sockets.has(link))
}

async function labelOfProcess(folder: string | undefined): Promise<Label | undefined> {
  return folder === undefined ? undefined : labelIn(await textOf(join(folder, 'attr/current')))
}

/** Never fails, since a process may have ended by now, or belong to another user. */
function textOf(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '')
}
