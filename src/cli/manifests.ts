/** The options of `trousseau manifests`. @module */

import { resolve } from 'node:path'
import { Argument, type Command, InvalidArgumentError, Option } from 'commander'
import type { Io } from '../console/io.ts'
import { VERSION } from '../plugin/version.ts'
import { resourceProblems } from '../tools/kube/encryption_resources.ts'
import { isBuiltIn, meantBy } from '../tools/kube/resource_names.ts'
import { KIND_NAMES, KINDS, type Kind, type KindName } from '../tools/manifests/kinds.ts'
import { KEY_FIELDS } from '../tools/manifests/openshift.ts'
import { type ManifestFlags, manifests } from '../tools/manifests/run.ts'
import type { Ending } from './command.ts'
import { resourceList } from './lists.ts'

const MAX_UID = 2 ** 32 - 2
const SELINUX_TYPE = /^[A-Za-z][\w.-]{0,127}$/

export function addManifests(program: Command, io: Io, { short }: Ending): void {
  const kinds = Object.entries<Kind>(KINDS).map(([name, { about }]) => `${name}: ${about}`)
  program
    .command('manifests')
    .description('print the files that run the plugin, and those that make the API server use it')
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
    .addOption(
      new Option('--key-field <name>', 'of openshift: how the APIServer resource names the key')
        .choices(KEY_FIELDS)
        .default(KEY_FIELDS[0]),
    )
    .option('--selinux-type <type>', 'that the pod runs with: docs/selinux.md', selinuxType)
    .action((kind: KindName, flags: ManifestFlags, command: Command) =>
      short(manifests(kind, flags, io, (problem) => command.error(problem))),
    )
}

/** Owner and mode of the folder will be set, so it must not be a folder of the system. */
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

const namesToEncrypt = resourceList({
  shape: /^[a-z*][a-z0-9.*-]*$/i,
  wanted: 'Wanted names as in an EncryptionConfiguration: secrets,configmaps',
  meant: meantBy,
  check(name) {
    if (name.includes('*') || name.includes('.') || isBuiltIn(name)) return
    throw new InvalidArgumentError(
      `${name}: the core group has no such resource: wanted plural and group, such as secrets,deployments.apps,widgets.example.org`,
    )
  },
})

/**
 * An API server accepts any name, and encrypts nothing under a wrong one; so names are checked
 * here.
 */
function resources(text: string): readonly string[] {
  const names = namesToEncrypt(text)
  const [problem] = resourceProblems([names])
  if (problem === undefined) return names
  throw new InvalidArgumentError(`${text}: ${problem.what}. ${problem.todo}`)
}

function selinuxType(text: string): string {
  if (text.includes(':')) {
    throw new InvalidArgumentError(
      'Wanted the type alone, such as spc_t: the third part of system_u:system_r:spc_t:s0',
    )
  }
  if (!SELINUX_TYPE.test(text)) {
    throw new InvalidArgumentError('Wanted the type of a process, such as spc_t or container_t')
  }
  if (/_(?:file|run|lib|exec|ro|tmp|tmpfs|log|etc)_t$|^(?:etc|usr|bin|tmp|var)_t$/.test(text)) {
    throw new InvalidArgumentError(
      'That is a type of files: wanted the type that the process runs with, such as spc_t',
    )
  }
  return text
}
