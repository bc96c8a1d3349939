/**
 * `trousseau manifests KIND`: what runs the plugin and what tells the API server of
 * it, made of the config that the plugin runs with.
 *
 * @module
 */

import { writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { Argument, type Command, InvalidArgumentError } from 'commander'
import { KmsError, systemCodeOf, systemReasonOf } from '../../base/errors.ts'
import { makeFolder } from '../../base/make_folder.ts'
import type { Short } from '../../cli/flags.ts'
import { ConfigError, configText, loadConfig } from '../../config/load.ts'
import type { Io } from '../../console/io.ts'
import { EXIT } from '../../console/output.ts'
import { VERSION } from '../../plugin/version.ts'
import { resourceProblems } from '../kube/encryption_resources.ts'
import { isBuiltIn, meantBy } from '../kube/resource_names.ts'
import { clientOf } from '../setup/vault_client.ts'
import { KIND_NAMES, KINDS, type Kind, type KindName } from './kinds.ts'
import { type ManifestChoices, planOf } from './plan.ts'
import { checkSelinuxKind, selinuxType } from './selinux.ts'
import type { ManifestFile } from './text.ts'

const FOLDER_MODE = 0o777
const MAX_UID = 2 ** 32 - 2

interface ManifestFlags extends Omit<ManifestChoices, 'client'> {
  readonly config: string
  readonly out?: string
}

export function addManifests(program: Command, io: Io, short: Short): void {
  const kinds = Object.entries<Kind>(KINDS).map(([name, { about }]) => `${name}: ${about}`)
  program
    .command('manifests')
    .description('print what runs the plugin, and what tells the API server of it')
    .addArgument(new Argument('<kind>', kinds.join('\n')).choices(KIND_NAMES))
    .requiredOption('--config <file>', 'YAML or JSON config file that the plugin will run with')
    .option('--out <folder>', 'write files there instead; nothing is ever overwritten')
    .option(
      '--config-path <path>',
      'where the config lies on the nodes, in a folder of its own',
      inOwnFolder,
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
    .action((kind: KindName, flags: ManifestFlags, command: Command) =>
      short(manifests(kind, flags, io, (problem) => command.error(problem))),
    )
}

/** @throws ConfigError, or KmsError where a file is there already or cannot be written */
async function manifests(
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

/** One file as it is; several as documents, where all are YAML. */
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

/** Owner and mode of the folder are set: it must be none of the system's. */
function inOwnFolder(text: string): string {
  if (/^(?:\/[^/"\n]+){3,}$/.test(text) && resolve(text) === text) return text
  throw new InvalidArgumentError(
    'Wanted an absolute path in a folder of its own, such as /etc/trousseau/trousseau.yaml',
  )
}

function label(text: string): string {
  if (/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(text)) return text
  throw new InvalidArgumentError('Wanted small letters, digits and "-"')
}

function uid(text: string): number {
  if (/^\d{1,10}$/.test(text) && Number(text) <= MAX_UID) return Number(text)
  throw new InvalidArgumentError('Wanted a numeric user id')
}

/** The API server takes every name, and encrypts nothing under a wrong one. */
function resources(text: string): string[] {
  const names = text.split(',').map((name) => name.trim())
  if (!names.every((name) => /^[a-z*][a-z0-9.*-]*$/i.test(name))) {
    throw new InvalidArgumentError(
      'Wanted names as in an EncryptionConfiguration: secrets,configmaps',
    )
  }
  for (const name of names) {
    const meant = meantBy(name)
    if (meant !== undefined) {
      throw new InvalidArgumentError(`${name}: the resource is called ${meant}`)
    }
    if (!name.includes('*') && !name.includes('.') && !isBuiltIn(name)) {
      throw new InvalidArgumentError(
        `${name}: the core group has no such resource: wanted plural and group, such as secrets,deployments.apps,widgets.example.org`,
      )
    }
  }
  const [problem] = resourceProblems([names])
  if (problem === undefined) return names
  throw new InvalidArgumentError(`${text}: ${problem.what}. ${problem.todo}`)
}
