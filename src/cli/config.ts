/** The options of `trousseau config …`. @module */

import { type Command, Option } from 'commander'
import type { Io } from '../console/io.ts'
import { PROVIDER_TYPES, type ProviderType } from '../services/registry.ts'
import { initConfig } from '../tools/config_file/init.ts'
import { printConfigSchema, validateConfig } from '../tools/config_file/validate.ts'
import { CONFIG_FILE, type Ending } from './command.ts'

export function addConfig(program: Command, io: Io, { short }: Ending): void {
  const config = program.command('config').description('begin, check and explain config files')
  config
    .command('init')
    .description('write a config to begin with, with comments; nothing is ever overwritten')
    .argument('<file>', 'the file to write; - for standard output')
    .addOption(
      new Option('--type <type>', 'of the key service').choices(PROVIDER_TYPES).default('vault'),
    )
    .action((file: string, { type }: { type: ProviderType }) => short(initConfig(file, type, io)))
  config
    .command('validate')
    .description('list everything that is wrong with a config file')
    .argument('<file>', CONFIG_FILE)
    .option('--json', 'print JSON', false)
    .action((file: string, options: { json: boolean }) => short(validateConfig(file, options, io)))
  config
    .command('schema')
    .description('print the JSON Schema of config files, for editors')
    .action(() => short(printConfigSchema(io)))
}
