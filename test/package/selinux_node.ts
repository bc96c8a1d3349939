/**
 * The installer on a node that seems to have SELinux: a mount namespace of its own, with
 * a made-up `/sys/fs/selinux`, and tools that write down how they were called. The
 * bundle's program is the one that was built from these sources.
 *
 * @module
 */

import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmod, cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { signature } from '../../build/sign.ts'
import { createKeyFile } from '../../src/services/local/key_file.ts'
import { makeSigningKey } from '../_lib/package/release.ts'
import { BUNDLE } from '../_lib/plugin/process.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'

const INSTALLER = fileURLToPath(new URL('../../build/airgap/install.sh', import.meta.url))
const POD = '/var/lib/rancher/rke2/agent/pod-manifests/trousseau.yaml'
const CONFIG = `apiVersion: trousseau.io/v1
kind: TrousseauConfig
socket: { path: /run/trousseau/kms.sock }
providers: [{ name: keys, type: local, keyFile: /etc/trousseau/keys }]
stateDir: /var/lib/trousseau/state
`
/** Folders of the node that are the test's own. */
const OWN = ['etc', 'run', 'var/lib', 'usr/local/bin', 'sys/fs']
/** Runs the installer, with a kubelet that starts the plugin as soon as its manifest is there. */
const SCRIPT = `
for each in ${OWN.join(' ')}; do mount --bind "$1/$each" "/$each"; done
(
  while [ ! -e ${POD} ]; do sleep 0.1; done
  exec /usr/local/bin/trousseau serve --config /etc/trousseau/trousseau.yaml >/dev/null 2>&1
) &
kubelet=$!
shift
"$@" && code=0 || code=$?
kill $kubelet 2>/dev/null || true
wait $kubelet || true
exit $code
`
const run = promisify(execFile)

interface SelinuxNode extends TempFolder {
  /** The installer's output; it runs as the real root of its own mounts. */
  install(...flags: string[]): Promise<string>
  /** Standard output of a command of the installed program there, whatever its exit code. */
  program(...args: string[]): Promise<string>
  /** How the tools were called, one line each. */
  calls(): Promise<string[]>
  pod(): Promise<string>
}

interface SelinuxNodeOptions {
  /** Without it the node's kernel knows no SELinux. */
  readonly enforce?: string
  /** Bodies of scripts by the name of the tool. */
  readonly tools?: Readonly<Record<string, string>>
}

export async function selinuxNode({
  enforce,
  tools = {},
}: SelinuxNodeOptions): Promise<SelinuxNode> {
  const folder = await tempFolder()
  for (const each of [...OWN, 'tools']) await mkdir(folder.at(each), { recursive: true })
  if (enforce !== undefined) {
    await mkdir(folder.at('sys/fs/selinux'))
    await writeFile(folder.at('sys/fs/selinux/enforce'), enforce)
  }
  for (const [name, body] of Object.entries(tools)) {
    await script(folder.at(`tools/${name}`), `echo "${name} $*" >>${folder.at('calls')}\n${body}`)
  }
  await mkdir(folder.at('etc/trousseau'))
  await createKeyFile(folder.at('etc/trousseau/keys'), Date.now)
  await writeFile(folder.at('config.yaml'), CONFIG)
  await writeFile(folder.at('calls'), '')
  const key = await signedBundle(folder)
  const given = ['--config', folder.at('config.yaml'), '--runtime', 'rke2', '--user', '0']
  const there = (...command: string[]) => {
    const args = ['--mount', 'sh', '-ec', SCRIPT, 'sh', folder.path, ...command]
    const env = { ...process.env, PATH: `${folder.at('tools')}:${process.env['PATH']}` }
    return run('unshare', args, { env })
  }
  return {
    ...folder,
    async install(...flags) {
      const asked = flags.includes('--undo') ? [] : ['--key', key, ...given]
      return (await there(folder.at('bundle/install.sh'), ...asked, ...flags)).stdout
    },
    program: (...args) =>
      there('/usr/local/bin/trousseau', ...args).then(
        ({ stdout }) => stdout,
        ({ stdout }: { readonly stdout: string }) => stdout,
      ),
    calls: async () =>
      (await readFile(folder.at('calls'), 'utf8')).split('\n').filter((line) => line !== ''),
    pod: () => readFile(folder.at(POD.slice(1)), 'utf8'),
  }
}

/** Resolves to the public key's file. */
async function signedBundle(folder: TempFolder): Promise<string> {
  const { keyFile, publicKeyFile } = await makeSigningKey(folder)
  const root = folder.at('bundle')
  const program = `exec ${process.execPath} ${BUNDLE} "$@"`
  await mkdir(join(root, 'images'), { recursive: true })
  await writeFile(join(root, 'images/trousseau-image.tar'), 'an image')
  for (const name of ['trousseau-linux-x64', 'trousseau-linux-arm64']) {
    await script(join(root, 'bin', name), program)
  }
  await cp(INSTALLER, join(root, 'install.sh'))
  const entries = await readdir(root, { recursive: true, withFileTypes: true })
  const files = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
  const lines = files.map(async (file) => {
    const hash = createHash('sha256').update(await readFile(file))
    return `${hash.digest('hex')}  ${relative(root, file)}\n`
  })
  const sums = (await Promise.all(lines)).toSorted().join('')
  await writeFile(join(root, 'SHA256SUMS'), sums)
  const signed = signature(new TextEncoder().encode(sums), await readFile(keyFile, 'utf8'))
  await writeFile(join(root, 'SHA256SUMS.sig'), `${signed}\n`)
  return publicKeyFile
}

async function script(path: string, body: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, `#!/bin/sh\n${body}\n`)
  await chmod(path, 0o755)
}
