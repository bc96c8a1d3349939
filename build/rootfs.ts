/**
 * The files of the image below the binary: the libraries that Node needs, the authorities of
 * ca-certificates, the user, and what tells a scanner where the files come from.
 *
 * @module
 */

import {
  copyFile,
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { run } from './cache.ts'
import { DEBIAN, type DebianArchitecture, debFile, lockedPackages } from './debian.ts'
import type { Architecture } from './runtime.ts'

export const USER = 65_532

/** Where each architecture has its libraries, and the path by which the binary names its loader. */
const PLACES = {
  x64: {
    debian: 'amd64',
    folder: 'usr/lib/x86_64-linux-gnu',
    loader: 'ld-linux-x86-64.so.2',
    link: 'usr/lib64/ld-linux-x86-64.so.2',
    target: '../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2',
  },
  arm64: {
    debian: 'arm64',
    folder: 'usr/lib/aarch64-linux-gnu',
    loader: 'ld-linux-aarch64.so.1',
    link: 'usr/lib/ld-linux-aarch64.so.1',
    target: 'aarch64-linux-gnu/ld-linux-aarch64.so.1',
  },
} as const satisfies Record<Architecture, { debian: DebianArchitecture } & Record<string, string>>

const LIBRARIES = [
  'libatomic.so.1',
  'libc.so.6',
  'libdl.so.2',
  'libgcc_s.so.1',
  'libm.so.6',
  'libpthread.so.0',
  'libstdc++.so.6',
]

const FILES: Readonly<Record<string, string>> = {
  'etc/passwd': `root:x:0:0:root:/:/nonexistent\nnonroot:x:${USER}:${USER}:nonroot:/:/nonexistent\n`,
  'etc/group': `root:x:0:\nnonroot:x:${USER}:\n`,
  'etc/nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\n',
  'etc/os-release': `PRETTY_NAME="${DEBIAN.name}"\nNAME="Debian GNU/Linux"\nVERSION_ID="${DEBIAN.version}"\nVERSION_CODENAME=${DEBIAN.release}\nID=debian\n`,
}

/** Folders that whoever runs the image mounts. */
const FOLDERS = ['etc/trousseau', 'run/trousseau', 'var/lib/trousseau']

export function debianName(architecture: Architecture): DebianArchitecture {
  return PLACES[architecture].debian
}

export async function fillRootfs(root: string, architecture: Architecture): Promise<void> {
  const { debian, folder, loader, link, target } = PLACES[architecture]
  const unpacked = await mkdtemp(join(tmpdir(), 'trousseau-debian-'))
  try {
    for (const each of await lockedPackages(debian)) {
      const deb = await debFile(each)
      await run('dpkg-deb', ['-x', deb, unpacked])
      const { stdout } = await run('dpkg-deb', ['-f', deb])
      await put(root, `var/lib/dpkg/status.d/${each.name}`, stdout)
      const copyright = `usr/share/doc/${each.name}/copyright`
      await copy(unpacked, root, copyright)
    }
    const common = 'usr/share/common-licenses'
    await cp(join(unpacked, common), join(root, common), {
      recursive: true,
      verbatimSymlinks: true,
    })
    for (const library of [...LIBRARIES, loader]) await copy(unpacked, root, `${folder}/${library}`)
    await put(root, 'etc/ssl/certs/ca-certificates.crt', await authorities(unpacked))
  } finally {
    await rm(unpacked, { recursive: true, force: true })
  }
  for (const [path, text] of Object.entries(FILES)) await put(root, path, text)
  for (const path of FOLDERS) await mkdir(join(root, path), { recursive: true })
  await mkdir(dirname(join(root, link)), { recursive: true })
  await symlink(target, join(root, link))
  await symlink('usr/lib', join(root, 'lib'))
  if (link.startsWith('usr/lib64/')) await symlink('usr/lib64', join(root, 'lib64'))
}

async function put(root: string, path: string, content: string): Promise<void> {
  await mkdir(dirname(join(root, path)), { recursive: true })
  await writeFile(join(root, path), content)
}

/** Follows links, so that a library has the name by which it is loaded. */
async function copy(from: string, root: string, path: string): Promise<void> {
  await mkdir(dirname(join(root, path)), { recursive: true })
  await copyFile(join(from, path), join(root, path))
}

async function authorities(unpacked: string): Promise<string> {
  const folder = join(unpacked, 'usr/share/ca-certificates/mozilla')
  const files = (await readdir(folder)).filter((file) => file.endsWith('.crt')).sort()
  const texts = await Promise.all(files.map((file) => readFile(join(folder, file), 'utf8')))
  return texts.map((text) => `${text.trimEnd()}\n`).join('')
}
