/**
 * Packages of Debian in the versions of `build/image.lock.json`. They are fetched by apt, which
 * checks the archive's signature. apt's state is in a folder of the cache, so that the machine's
 * own stays untouched.
 *
 * @module
 */

import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import * as v from 'valibot'
import { CACHE, exists, ROOT, run } from './cache.ts'

export const DEBIAN = { release: 'trixie', version: '13', name: 'Debian GNU/Linux 13 (trixie)' }
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'
const ARCHITECTURES = ['amd64', 'arm64'] as const
export type DebianArchitecture = (typeof ARCHITECTURES)[number]

/**
 * The libraries that Node needs. `gcc-14-base` has the copyrights of GCC's libraries, `base-files`
 * the licences that copyrights only name.
 */
const PER_ARCHITECTURE = [
  'base-files',
  'gcc-14-base',
  'libatomic1',
  'libc6',
  'libgcc-s1',
  'libstdc++6',
]
const FOR_ALL = ['ca-certificates']

const LOCK = join(ROOT, 'build', 'image.lock.json')
const APT = join(CACHE, `apt-${DEBIAN.release}`)
const DEBS = join(CACHE, 'debian')

const packageSchema = v.strictObject({
  name: v.string(),
  version: v.string(),
  architecture: v.picklist([...ARCHITECTURES, 'all']),
  sha256: v.string(),
})
const lockSchema = v.array(packageSchema)
export type DebianPackage = v.InferOutput<typeof packageSchema>

export async function lockedPackages(
  architecture: DebianArchitecture,
): Promise<readonly DebianPackage[]> {
  const all = v.parse(lockSchema, JSON.parse(await readFile(LOCK, 'utf8')))
  return all.filter((each) => each.architecture === architecture || each.architecture === 'all')
}

/** Writes the archive's newest versions into the lock file. */
export async function refreshLock(): Promise<void> {
  await update()
  const names = ARCHITECTURES.flatMap((each) => PER_ARCHITECTURE.map((name) => `${name}:${each}`))
  const { stdout } = await apt(['--print-uris', 'download', ...names, ...FOR_ALL], APT)
  const lines = /^'\S+' ([^_\s]+)_([^_\s]+)_([^_\s]+)\.deb \d+ SHA256:([0-9a-f]{64})$/gm
  const packages = [...stdout.matchAll(lines)]
    .map(([, name = '', version = '', architecture, sha256]) => ({
      name: decodeURIComponent(name),
      version: decodeURIComponent(version),
      architecture,
      sha256,
    }))
    .sort((a, b) =>
      `${a.name}:${a.architecture}`.localeCompare(`${b.name}:${b.architecture}`, 'en'),
    )
  await writeFile(LOCK, `${JSON.stringify(v.parse(lockSchema, packages), null, 2)}\n`)
}

/** The package's file, from the cache or from the archive. */
export async function debFile(wanted: DebianPackage): Promise<string> {
  const { name, version, architecture, sha256 } = wanted
  const path = join(DEBS, `${sha256}.deb`)
  if (await exists(path)) return path
  await updateOnce()
  await mkdir(DEBS, { recursive: true })
  // Both architectures may fetch a package for all architectures at the same time.
  const folder = await mkdtemp(join(DEBS, `${sha256}.new-`))
  const pick = architecture === 'all' ? name : `${name}:${architecture}`
  await apt(['download', `${pick}=${version}`], folder).catch((cause: unknown) => {
    const todo = 'npm run build:image -- --refresh-lock takes the newest versions'
    throw new Error(`Debian no longer has ${pick} ${version}: ${todo}`, { cause })
  })
  const [downloaded = ''] = await readdir(folder)
  const file = join(folder, downloaded)
  const digest = createHash('sha256')
    .update(await readFile(file))
    .digest('hex')
  if (digest !== sha256)
    throw new Error(`${pick} ${version} is not what build/image.lock.json says`)
  await rename(file, path)
  await rm(folder, { recursive: true })
  return path
}

/** A program that a build runs: the archive's newest, since nothing of it is in what is built. */
export async function fetchedPackage(name: string, folder: string): Promise<string> {
  await updateOnce()
  const own = process.arch === 'arm64' ? 'arm64' : 'amd64'
  await apt(['download', `${name}:${own}`], folder)
  const [file = ''] = (await readdir(folder)).filter((each) => each.endsWith('.deb'))
  return join(folder, file)
}

/** The mirrors from which this machine has its own packages, for the release of the image. */
async function sources(): Promise<string[]> {
  const format = ['--format', '$(REPO_URI)', 'Created-By: Packages']
  const { stdout } = await run('apt-get', ['indextargets', ...format])
  const places = stdout.split('\n').map((place) => place.trim().replace(/\/$/, ''))
  const archive = places.find((place) => place.endsWith('/debian'))
  const security = places.find((place) => place.endsWith('/debian-security'))
  if (archive === undefined || security === undefined) {
    throw new Error(
      "Wanted a machine whose apt sources have Debian's archive and its security updates",
    )
  }
  const { release } = DEBIAN
  return [
    `${archive} ${release} main`,
    `${archive} ${release}-updates main`,
    `${security} ${release}-security main`,
  ]
}

let updating: Promise<void> | undefined

function updateOnce(): Promise<void> {
  updating ??= update()
  return updating
}

async function update(): Promise<void> {
  await mkdir(join(APT, 'lists', 'partial'), { recursive: true })
  await mkdir(join(APT, 'archives', 'partial'), { recursive: true })
  await writeFile(join(APT, 'status'), '')
  const options = `[arch=${ARCHITECTURES} signed-by=${KEYRING}]`
  await writeFile(
    join(APT, 'sources.list'),
    (await sources()).map((source) => `deb ${options} ${source}\n`).join(''),
  )
  const settings = {
    'Dir::State': APT,
    'Dir::State::status': join(APT, 'status'),
    'Dir::Cache': APT,
    'Dir::Etc::sourcelist': join(APT, 'sources.list'),
    'Dir::Etc::sourceparts': '/dev/null',
    'Dir::Etc::preferencesparts': '/dev/null',
    'APT::Architecture': 'amd64',
    'APT::Architectures': ARCHITECTURES.join(','),
    'APT::Sandbox::User': '',
    'Acquire::Languages': 'none',
  }
  const lines = Object.entries(settings).map(([key, value]) => `${key} "${value}";\n`)
  await writeFile(join(APT, 'apt.conf'), lines.join(''))
  await apt(['update', '--error-on=any'], APT)
}

function apt(args: readonly string[], cwd: string): Promise<{ stdout: string }> {
  const settings = [`APT_CONFIG=${join(APT, 'apt.conf')}`, 'LC_ALL=C']
  return run('env', [...settings, 'apt-get', ...args], { cwd })
}
