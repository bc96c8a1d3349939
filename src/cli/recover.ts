/** `trousseau recover …` and its options. @module */

import { type Command, InvalidArgumentError, Option } from 'commander'
import type { Io } from '../console/io.ts'
import type { StorageFlags } from '../tools/etcd/storage.ts'
import { storedAs } from '../tools/kube/resource_names.ts'
import { type RecoverDrillOptions, recoverDrill } from '../tools/recover/drill.ts'
import { type RecoverExportOptions, recoverExport } from '../tools/recover/export.ts'
import { type RecoverListOptions, recoverList } from '../tools/recover/list.ts'
import { type Ending, renamed } from './command.ts'
import { resourceNames } from './lists.ts'
import { addStorageOptions, checkStorageFlags } from './storage_options.ts'

export function addRecover(program: Command, io: Io, { short }: Ending): void {
  const recover = program
    .command('recover')
    .description('open the objects of a snapshot of etcd, without an API server')
  addStorage(addSelection(recover.command('list')))
    .description('list the encrypted objects and whose keys open them; nothing is opened')
    .option(
      '--resources <list>',
      'only these resources, also those in the clear; comma between',
      names,
    )
    .addOption(formerResources())
    .action(({ resource, ...options }: RecoverListOptions & Former) =>
      short(recoverList({ ...options, resources: resource ?? options.resources }, io)),
    )
  renamed(recover, { name: 'drill', former: 'verify' }, (drill) =>
    addKeys(addStorage(drill))
      .description('the disaster drill: open everything that is encrypted, and show nothing of it')
      .action((options: RecoverDrillOptions) => short(recoverDrill(options, io))),
  )
  addKeys(addStorage(addSelection(recover.command('export'))))
    .description('write Secrets, ConfigMaps or custom resources as manifests, in the clear')
    .option('--resources <list>', 'these, by commas, such as widgets.example.org', names, [
      'secrets',
    ])
    .addOption(formerResources())
    .requiredOption('--out <file>', 'a new file, of mode 0600; - for standard output')
    .action(({ resource, ...options }: RecoverExportOptions & Former) =>
      short(recoverExport({ ...options, resources: resource ?? options.resources }, io)),
    )
}

interface Former {
  readonly resource?: readonly string[]
}

/** The older name of --resources in this command, kept for scripts that use it. */
function formerResources(): Option {
  return new Option('--resource <list>').argParser(names).conflicts('resources').hideHelp()
}

function addStorage(command: Command): Command {
  return addStorageOptions(command)
    .hook('preAction', (_, called) => checkStorageFlags(called.opts<StorageFlags>(), called))
    .option('--json', 'print JSON', false)
}

function addKeys(command: Command): Command {
  return command
    .option('--recovery-key <file>', 'a private recovery key; again for another one', more)
    .option('--passphrase-file <file>', 'file with its passphrase (default: asked for)')
    .option('--config <file>', 'config file whose providers are asked, after the recovery keys')
}

function addSelection(command: Command): Command {
  return command
    .option('--namespace <name>', 'only objects of this namespace')
    .option('--name <name>', 'only objects of this name')
}

function more(file: string, before: readonly string[] = []): readonly string[] {
  return [...before, file]
}

function names(text: string): readonly string[] {
  if (text.includes('*')) throw new InvalidArgumentError('Wanted names of resources without "*"')
  return resourceNames(text).flatMap(storedAs)
}
