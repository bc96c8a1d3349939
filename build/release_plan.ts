/** What a release needs before anything is built. @module */

import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as v from 'valibot'
import { run } from './cache.ts'
import { signature } from './sign.ts'

const manifestSchema = v.object({ version: v.string() })

export interface ReleaseOptions {
  /** A git work tree with `package.json` and `CHANGELOG.md`. */
  readonly root: string
  readonly keyFile: string
  /** Where the release is written: an empty folder, or one that does not exist. */
  readonly out: string
}

export interface ReleasePlan {
  readonly version: string
  readonly commit: string
  /** The section of the changelog, without its heading. */
  readonly notes: string
  readonly key: string
}

/** @throws Error that says what to do, when no release can be made */
export async function planRelease({ root, keyFile, out }: ReleaseOptions): Promise<ReleasePlan> {
  const key = await readFile(keyFile, 'utf8')
  // A key that cannot sign is refused now, and not after two builds.
  signature(new Uint8Array(), key)
  const git = async (...args: string[]) => (await run('git', args, { cwd: root })).stdout.trim()
  const changes = await git('status', '--porcelain')
  if (changes !== '') throw new Error(`Commit or remove first what differs from HEAD:\n${changes}`)
  const text = (name: string) => readFile(join(root, name), 'utf8')
  const { version } = v.parse(manifestSchema, JSON.parse(await text('package.json')))
  const notes = releaseNotes(await text('CHANGELOG.md'), version)
  if (await holdsFiles(out)) throw new Error(`${out} is not empty: wanted a new folder`)
  return { version, commit: await git('rev-parse', 'HEAD'), notes, key }
}

/** The changelog's section for the version. Its heading may contain more, such as a date. */
export function releaseNotes(changelog: string, version: string): string {
  const sections = changelog.split(/^## /m).slice(1)
  const found = sections.find((section) => section.split(/\s/, 1)[0] === version)
  const notes = found?.split('\n').slice(1).join('\n').trim() ?? ''
  if (notes === '') {
    throw new Error(`CHANGELOG.md says nothing of ${version}: wanted a section "## ${version}"`)
  }
  return `${notes}\n`
}

async function holdsFiles(folder: string): Promise<boolean> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  return names.length > 0
}
