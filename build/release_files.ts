/**
 * Makes a release: two builds of one commit, each in a clone of its own, which must be equal, and
 * the files that prove what was built.
 *
 * @module
 */

import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { run } from './cache.ts'
import { planRelease, type ReleaseOptions, type ReleasePlan } from './release_plan.ts'
import { signature } from './sign.ts'

const NOTES = 'RELEASE_NOTES.md'
const SUMS = 'SHA256SUMS'

/** Names of the files in `dist/` after a build, and in the release. */
export const ARTEFACTS: readonly string[] = [
  'trousseau.mjs',
  'trousseau.mjs.LEGAL.txt',
  'trousseau-linux-x64',
  'trousseau-linux-arm64',
  'trousseau-linux-x64.LEGAL.txt',
  'trousseau-linux-arm64.LEGAL.txt',
  'trousseau-image.tar',
  'trousseau-image-zstd.tar',
  'trousseau-image-amd64.spdx.json',
  'trousseau-image-arm64.spdx.json',
  'trousseau-airgap.tar.zst',
  'trousseau-airgap.tar.zst.sig',
]

export interface Release extends ReleasePlan {
  /** Names of all files in it. */
  readonly files: readonly string[]
}

type Build = (clone: string, keyFile: string) => Promise<void>

/**
 * Writes the release into its folder, and publishes nothing.
 *
 * @param build leaves the artefacts in `dist/` of a clone
 * @param tell called with a message for each step
 */
export async function makeRelease(
  options: ReleaseOptions,
  { build = buildAll, tell }: { build?: Build; tell: (line: string) => void },
): Promise<Release> {
  const plan = await planRelease(options)
  const folder = await mkdtemp(join(tmpdir(), 'trousseau-release-'))
  const builtIn = async (name: string) => {
    tell(`${name} build of ${plan.version}, ${plan.commit}`)
    const clone = join(folder, name)
    await run('git', ['clone', '--quiet', '--no-checkout', options.root, clone])
    await run('git', ['checkout', '--quiet', '--detach', plan.commit], { cwd: clone })
    await build(clone, options.keyFile)
    return join(clone, 'dist')
  }
  try {
    const first = await builtIn('first')
    const sums = await equalSums(first, await builtIn('second'))
    await mkdir(options.out, { recursive: true })
    for (const name of ARTEFACTS) await copyFile(join(first, name), join(options.out, name))
    return { ...plan, files: await vouch(options.out, sums, plan) }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Resolves to the names of all files of the release. */
async function vouch(
  out: string,
  sums: ReadonlyMap<string, string>,
  { notes, key }: ReleasePlan,
): Promise<string[]> {
  const all = new Map([...sums, [NOTES, createHash('sha256').update(notes).digest('hex')]])
  // In the format of `sha256sum --check`.
  const text = [...all].map(([name, sum]) => `${sum}  ${name}\n`).join('')
  const signed = `${signature(new TextEncoder().encode(text), key)}\n`
  const added = { [NOTES]: notes, [SUMS]: text, [`${SUMS}.sig`]: signed }
  for (const [name, content] of Object.entries(added)) await writeFile(join(out, name), content)
  return [...sums.keys(), ...Object.keys(added)]
}

/** The bundle for the air gap, and all that is in it. */
async function buildAll(clone: string, keyFile: string): Promise<void> {
  await run('npm', ['ci', '--ignore-scripts'], { cwd: clone })
  const script = ['run', '--silent', 'build:airgap', '--', '--key', keyFile]
  await run('npm', script, { cwd: clone })
}

/** The SHA-256 of each artefact, after checking that both folders have the same ones. */
async function equalSums(first: string, second: string): Promise<Map<string, string>> {
  const sums = new Map<string, string>()
  const differing: string[] = []
  for (const name of ARTEFACTS) {
    const sum = await sha256(join(first, name))
    if (sum !== (await sha256(join(second, name)))) differing.push(name)
    sums.set(name, sum)
  }
  if (differing.length === 0) return sums
  throw new Error(`Two builds of one commit differ in ${differing.join(', ')}`)
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return hash.digest('hex')
}
