/**
 * A bundle for the air gap, signed with a key of the test's own, and nodes without a network on
 * which to install it.
 *
 * @module
 */

import { rmSync } from 'node:fs'
import { chown, mkdir, open, readdir, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import process from 'node:process'
import manifest from '../../../package.json' with { type: 'json' }
import { createKeyFile } from '../../../src/services/local/key_file.ts'
import { debianTool } from '../debian.ts'
import { type TempFolder, tempFolder } from '../temp_folder.ts'
import { makeSigningKey, type SigningKey } from './release.ts'
import { binary, ROOT, run } from './shipped.ts'

/** The user that the plugin runs as. */
export const USER = 65_532
export const CONFIG = `apiVersion: trousseau.io/v1
kind: TrousseauConfig
socket: { path: /run/trousseau/kms.sock }
providers: [{ name: keys, type: local, keyFile: /etc/trousseau/keys }]
stateDir: /var/lib/trousseau/state
`
/** The start of a command line that has a network of its own with nothing but loopback. */
export const OFFLINE = ['unshare', '--net', 'sh', '-ec', 'ip link set lo up; exec "$@"', 'sh']

interface Bundle {
  /** Public half of the key. */
  readonly key: string
  readonly packed: string
  readonly unpacked: string
  /** The key itself. */
  readonly signedWith: SigningKey
}

interface BundleOptions {
  /** The tree that is packed, and its version. */
  readonly root?: string
  readonly version?: string
  readonly signedWith?: SigningKey
}

/**
 * Made once and removed when the process ends. All tests of a file share it, since it takes half a
 * minute to make.
 */
export async function makeBundle(options: BundleOptions = {}): Promise<Bundle> {
  await debianTool('iproute2')
  await debianTool('zstd')
  const folder = await tempFolder()
  process.once('exit', () => rmSync(folder.path, { recursive: true, force: true }))
  const { root = ROOT, version = manifest.version } = options
  const signedWith = options.signedWith ?? (await makeSigningKey(folder))
  const args = ['build/airgap.ts', '--key', signedWith.keyFile, '--out', folder.path]
  await run(process.execPath, args, { cwd: root })
  const packed = folder.at('trousseau-airgap.tar.zst')
  await run('tar', ['--zstd', '-xf', packed, '-C', folder.path])
  const unpacked = folder.at(`trousseau-${version}`)
  return { key: signedWith.publicKeyFile, packed, unpacked, signedWith }
}

interface Node extends TempFolder {
  /** The folder that is installed below. */
  readonly root: string
  /** A file in it. */
  in(path: string): string
  readonly config: string
  install(flags: readonly string[], env?: NodeJS.ProcessEnv): Promise<string>
  /** Everything in it, with owner, mode and digest. */
  tree(): Promise<string[]>
  /** Whether the plugin at its socket says that it is. */
  isWell(): Promise<boolean>
}

/** A node with almost nothing but what the operator brings: a config, and the key that it names. */
export async function makeNode({ key, unpacked }: Bundle): Promise<Node> {
  const folder = await tempFolder()
  const root = folder.at('root')
  const inside = (path: string) => join(root, path)
  // Every node has it; the installer does not take away what its records stand in.
  await mkdir(inside('var/lib'), { recursive: true })
  await mkdir(inside('etc/trousseau'), { recursive: true })
  await createKeyFile(inside('etc/trousseau/keys'), Date.now)
  await chown(inside('etc/trousseau/keys'), USER, USER)
  const config = folder.at('config.yaml')
  await writeFile(config, CONFIG)
  return {
    ...folder,
    root,
    in: inside,
    config,
    async install(flags, env = {}) {
      const command = [...OFFLINE, join(unpacked, 'install.sh'), '--root', root, '--key', key]
      const [program = '', ...args] = [...command, ...flags]
      return (await run(program, args, { env: { ...process.env, ...env } })).stdout
    },
    async tree() {
      const script =
        'cd "$1" && find . -printf "%P %y %m %U:%G\\n" | sort && find . -type f -exec sha256sum {} + | sort'
      return (await run('sh', ['-c', script, 'sh', root])).stdout.split('\n')
    },
    isWell: () =>
      run(binary('x64'), ['status', '--socket', inside('run/trousseau/kms.sock')]).then(
        ({ stdout }) => /^health +ok$/m.test(stdout),
        () => false,
      ),
  }
}

/** Every file of the bundle, by its path from there. */
export async function filesOf(unpacked: string): Promise<string[]> {
  const entries = await readdir(unpacked, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(unpacked, join(entry.parentPath, entry.name)))
    .sort()
}

/** Changes one byte of the file while `body` runs. */
export async function withFlip(
  path: string,
  { at, bits }: { readonly at: number; readonly bits: number },
  body: () => Promise<void>,
): Promise<void> {
  const file = await open(path, 'r+')
  try {
    const before = new Uint8Array(1)
    await file.read(before, 0, 1, at)
    await file.write(
      before.map((byte) => byte ^ bits),
      0,
      1,
      at,
    )
    await body()
    await file.write(before, 0, 1, at)
  } finally {
    await file.close()
  }
}
