/**
 * `trousseau manifests KIND` prints what runs the plugin, and what makes the API server use it,
 * from the config that the plugin runs with.
 *
 * @module
 */

import { writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { KmsError, systemCodeOf, systemReasonOf } from '../../base/errors.ts'
import { makeFolder } from '../../base/make_folder.ts'
import { ConfigError, configText, loadConfig } from '../../config/load.ts'
import type { Io } from '../../console/io.ts'
import { EXIT } from '../../console/output.ts'
import { clientOf } from '../setup/vault_client.ts'
import { KINDS, type Kind, type KindName } from './kinds.ts'
import { type ManifestChoices, planOf } from './plan.ts'
import { checkSelinuxKind } from './selinux.ts'
import type { ManifestFile } from './text.ts'

const FOLDER_MODE = 0o777

export interface ManifestFlags extends Omit<ManifestChoices, 'client'> {
  readonly config: string
  readonly out?: string
}

/** @throws ConfigError, or KmsError where a file exists or cannot be written */
export async function manifests(
  kind: KindName,
  flags: ManifestFlags,
  io: Io,
  refuse: (problem: string) => never,
): Promise<number> {
  checkSelinuxKind(kind, flags)
  const config = await loadConfig(flags.config)
  const choices = { ...flags, client: await clientOf(io) }
  const plan = planOf(config, choices, await configText(flags.config))
  const maker: Kind = KINDS[kind]
  const files = maker.make(plan)
  if (files.length === 0) {
    throw new ConfigError([`${flags.config}: has no provider that "manifests ${kind}" is about`])
  }
  if (flags.out !== undefined) {
    const folder = resolve(flags.out)
    for (const file of files) await write(folder, file)
    io.out(files.map(({ path }) => `Wrote ${join(folder, path)}\n`).join(''))
    return EXIT.ok
  }
  const text = oneStream(files)
  if (text === undefined) {
    refuse(
      `"manifests ${kind}" makes ${files.length} files, which are of no use in one stream: name a folder for them with --out`,
    )
  }
  io.out(text)
  return EXIT.ok
}

/** A single file as it is; several files as documents, where all are YAML. */
function oneStream(files: readonly ManifestFile[]): string | undefined {
  const [only, ...more] = files
  if (only !== undefined && more.length === 0) return only.text
  if (!files.every(({ path }) => /\.ya?ml$/.test(path))) return undefined
  return files.map(({ path, text }) => `# ${path}\n${text}`).join('---\n')
}

async function write(folder: string, { path, text }: ManifestFile): Promise<void> {
  const file = join(folder, path)
  try {
    await makeFolder(dirname(file), FOLDER_MODE)
    await writeFile(file, text, { flag: 'wx' })
  } catch (cause) {
    const code = systemCodeOf(cause)
    const why =
      code === 'EEXIST' ? 'it is there already: name another folder' : systemReasonOf(cause)
    throw new KmsError(`Cannot write ${file}: ${why}`, { code: 'request_invalid', cause })
  }
}
