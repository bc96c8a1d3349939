/**
 * Folders of the system that belong to the test alone: the runbooks' commands run with the paths of
 * a control-plane node, and touch nothing of this machine.
 *
 * @module
 */

import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, constants, cp, mkdir, readdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const INSIDE = 'TROUSSEAU_TEST_PRIVATE_ROOT'
const run = promisify(execFile)

/**
 * Starts the test file again in a mount namespace of its own, and ends this process when that one
 * ends.
 */
export async function enterPrivateMounts(moduleUrl: string): Promise<void> {
  if (process.env[INSIDE] !== undefined) return
  const own = process.getuid?.() === 0 ? [] : ['--map-root-user']
  const child = spawn(
    'unshare',
    ['--mount', '--propagation', 'private', ...own, process.execPath, fileURLToPath(moduleUrl)],
    { stdio: 'inherit', env: { ...process.env, [INSIDE]: '1' } },
  )
  const [code] = await once(child, 'exit')
  process.exit(code ?? 1)
}

/**
 * @param folder a temporary one, in which the contents lie
 * @param programs by name: they come first in `/usr/local/bin`
 */
export async function mountPrivateRoot(
  folder: string,
  programs: Readonly<Record<string, string>>,
): Promise<AsyncDisposable> {
  const mounted: string[] = []
  const bind = async (from: string, to: string) => {
    await run('mount', ['--bind', from, to])
    mounted.push(to)
  }
  const at = async (name: string) => {
    await mkdir(join(folder, name), { recursive: true })
    return join(folder, name)
  }
  await cp('/etc', await at('etc'), { recursive: true, verbatimSymlinks: true, filter: mayRead })
  for (const name of ['kubernetes', 'trousseau', 'systemd/system']) await at(`etc/${name}`)
  const [theirs, ours] = [await at('their-bin'), await at('bin')]
  for (const [name, path] of Object.entries(programs)) await symlink(path, join(ours, name))
  for (const name of await readdir('/usr/local/bin')) {
    if (!Object.hasOwn(programs, name)) await symlink(join(theirs, name), join(ours, name))
  }
  await bind('/usr/local/bin', theirs)
  await bind(ours, '/usr/local/bin')
  await bind(join(folder, 'etc'), '/etc')
  for (const path of ['/run', '/var/lib', '/var/backups']) {
    await bind(await at(path.slice(1).replace('/', '-')), path)
  }
  return {
    async [Symbol.asyncDispose]() {
      for (const path of mounted.reverse()) await run('umount', ['--lazy', path])
    },
  }
}

/** Some files are for the machine's own root. */
function mayRead(path: string): Promise<boolean> {
  return access(path, constants.R_OK).then(
    () => true,
    () => false,
  )
}
