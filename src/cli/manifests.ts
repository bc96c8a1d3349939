/**
 * `trousseau manifests KIND`: what runs the plugin and what tells the API server of
 * it, made of the config that the plugin runs with.
 *
 * @module
 */

import { writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { Argument, type Command, InvalidArgumentError } from 'commander'
import { makeFolder } from '../auth/make_folder.ts'
import { ConfigError, loadConfig } from '../config/load.ts'
import { KmsError, systemCodeOf, systemReasonOf } from '../kms/errors.ts'
import type { Short } from './flags.ts'
import type { Io } from './io.ts'
import { KIND_NAMES, KINDS, type Kind, type KindName } from './manifests/kinds.ts'
import { type ManifestChoices, planOf } from './manifests/plan.ts'
import { checkSelinuxKind, selinuxType } from './manifests/selinux.ts'
import type { ManifestFile } from './manifests/text.ts'
import { EXIT } from './output.ts'
import { VERSION } from './version.ts'

const FOLDER_MODE = 0o777
const MAX_UID = 2 ** 32 - 2

interface ManifestFlags extends ManifestChoices {
  readonly config: string
  readonly out?: string
}

export function addManifests(program: Command, io: Io, short: Short): void {
  const kinds = Object.entries<Kind>(KINDS).map(
    ([name, { about }]) => `  ${name.padEnd(18)} ${about}`,
  )
  program
    .command('manifests')
    .description('print what runs the plugin, and what tells the API server of it')
    .addArgument(new Argument('<kind>', 'which one').choices(KIND_NAMES))
    .requiredOption('--config <file>', 'YAML or JSON config file that the plugin will run with')
    .option('--out <folder>', 'write files there instead; nothing is ever overwritten')
    .option(
      '--config-path <path>',
      'where the config lies on the nodes',
      absolute,
      '/etc/trousseau/trousseau.yaml',
    )
    .option('--image <reference>', 'the image', `localhost/trousseau:${VERSION}`)
    .option('--namespace <name>', 'of the objects', label, 'kube-system')
    .option('--user <uid>', 'numeric user and group that the plugin runs as', uid, 65_532)
    .option(
      '--provider-name <name>',
      'in the EncryptionConfiguration; never change it',
      label,
      'trousseau',
    )
    .option('--resources <list>', 'what is encrypted', resources, ['secrets'])
    .option('--selinux-type <type>', 'that the pod runs with: docs/selinux.md', selinuxType)
    .addHelpText('after', `\nKinds:\n${kinds.join('\n')}`)
    .action((kind: KindName, flags: ManifestFlags) => short(manifests(kind, flags, io)))
}

/** @throws ConfigError, or KmsError where a file is there already or cannot be written */
async function manifests(kind: KindName, flags: ManifestFlags, io: Io): Promise<number> {
  checkSelinuxKind(kind, flags)
  const plan = planOf(await loadConfig(flags.config), flags)
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
  io.out(shown(files))
  return EXIT.ok
}

/** One file as it is, so that it can be piped; several with their names between them. */
function shown(files: readonly ManifestFile[]): string {
  const [only, ...more] = files
  if (only !== undefined && more.length === 0) return only.text
  return files
    .map(({ path, text }) => `# ---- ${path} (--out FOLDER writes files)\n${text}`)
    .join('\n')
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

function absolute(text: string): string {
  if (text.startsWith('/') && !/["\n]/.test(text)) return text
  throw new InvalidArgumentError('Wanted an absolute path')
}

function label(text: string): string {
  if (/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(text)) return text
  throw new InvalidArgumentError('Wanted small letters, digits and "-"')
}

function uid(text: string): number {
  if (/^\d{1,10}$/.test(text) && Number(text) <= MAX_UID) return Number(text)
  throw new InvalidArgumentError('Wanted a numeric user id')
}

function resources(text: string): string[] {
  const names = text.split(',')
  if (names.every((name) => /^[a-z*][a-z0-9.*-]*$/.test(name))) return names
  throw new InvalidArgumentError(
    'Wanted names as in an EncryptionConfiguration: secrets,configmaps',
  )
}
