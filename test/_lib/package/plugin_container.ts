/**
 * Runs the image as a plugin in a container, with the restrictions of the manifests: the node's
 * network, a read-only root, an ordinary user, no capabilities, the default seccomp profile and no
 * new privileges.
 *
 * @module
 */

import { readFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import manifest from '../../../package.json' with { type: 'json' }
import type { Containerd } from './containerd.ts'
import { DIST, type LayoutName } from './shipped.ts'

const USER = 65_532
/** What containerd gives a container that asks for nothing. */
const DEFAULT_CAPABILITIES = [
  'CHOWN',
  'DAC_OVERRIDE',
  'FSETID',
  'FOWNER',
  'MKNOD',
  'NET_RAW',
  'SETGID',
  'SETUID',
  'SETFCAP',
  'SETPCAP',
  'NET_BIND_SERVICE',
  'SYS_CHROOT',
  'KILL',
  'AUDIT_WRITE',
]

export async function importImage({ ask }: Containerd, layout: LayoutName): Promise<void> {
  await ask('images', 'import', `${DIST}/trousseau-${layout}.tar`)
}

/**
 * The command line that runs the image, but for the arguments of the program.
 *
 * @param shared a folder of the node that is inside at the same path; the container's user gets it
 */
export function containerCommand(containerd: Containerd, shared: string): readonly string[] {
  const hardened = [
    ...['--snapshotter', 'native', '--rm', '--read-only', '--seccomp', '--net-host'],
    ...DEFAULT_CAPABILITIES.flatMap((name) => ['--cap-drop', `CAP_${name}`]),
    ...['--mount', `type=bind,src=${shared},dst=${shared},options=rbind:rw`],
    ...['--runc-root', containerd.runcRoot],
  ]
  const image = `localhost/trousseau:${manifest.version}`
  const command = [image, containerd.container, '/usr/bin/trousseau']
  const owned = `chown -R ${USER}:${USER} ${shared} && exec "$@"`
  return ['sh', '-c', owned, 'sh', ...containerd.ctr, 'run', ...hardened, ...command]
}

/** What the kernel says of the process in the container. */
export async function assertHardened({ ask, container }: Containerd): Promise<void> {
  const tasks = await ask('tasks', 'ls')
  const pid = new RegExp(`^${container}\\s+(\\d+)\\s`, 'm').exec(tasks)?.[1]
  assert.ok(pid, tasks)
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  assert.match(status, new RegExp(`^Uid:(\\t${USER}){4}$`, 'm'))
  assert.match(status, /^CapBnd:\t0{16}$/m)
  assert.match(status, /^NoNewPrivs:\t1$/m)
  assert.match(status, /^Seccomp:\t2$/m)
  assert.match(await readFile(`/proc/${pid}/mountinfo`, 'utf8'), /^\d+ \d+ \S+ \S+ \/ ro[ ,]/m)
}
