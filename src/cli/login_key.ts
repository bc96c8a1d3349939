/** The options of `trousseau login-key …`. @module */

import { hostname } from 'node:os'
import { type Command, Option } from 'commander'
import type { Io } from '../console/io.ts'
import { LOGIN_KEY_TYPES, type LoginKeygenOptions, loginKeygen } from '../tools/keys/login_key.ts'
import { clientOf, type VaultClient } from '../tools/setup/vault_client.ts'
import { type Ending, renamed } from './command.ts'
import { claimOf, clientOption, roleName } from './flags.ts'

type LoginFlags = Omit<LoginKeygenOptions, 'file' | 'claims' | 'cli'> & {
  readonly cli?: VaultClient
  readonly claim: Readonly<Record<string, string>>
}

export function addLoginKey(program: Command, io: Io, end: Ending): void {
  renamed(program, { name: 'login-key', former: 'login' }, (group) => {
    group.description('keys with which a node signs its own logins')
    renamed(group, { name: 'create', former: 'keygen' }, (command) => create(command, io, end))
  })
}

function create(command: Command, io: Io, { short }: Ending): void {
  command
    .description(
      'make the key with which this node signs its JWTs (auth.selfSigned), and print the script that registers it at the key service',
    )
    .argument('<file>', 'the private key; nothing is ever overwritten')
    .addOption(new Option('--type <type>', 'of the key').choices(LOGIN_KEY_TYPES).default('ES256'))
    .option('--existing', 'print the script for a key that exists, and make none', false)
    .option('--audience <text>', 'claim aud', 'vault')
    .addOption(
      new Option('--subject <text>', 'claim sub, which tells nodes apart').default(
        `trousseau:${hostname()}`,
        'trousseau: and the name of the host',
      ),
    )
    .option('--claim <name=value>', 'one more claim, for a role that binds it', claimOf, {})
    .option('--mount <path>', 'mount of the login', 'jwt')
    .option('--role <name>', 'role that `vault setup` makes', roleName, 'trousseau')
    .addOption(clientOption())
    .option('--json', 'print JSON', false)
    .action(async (file: string, { claim, cli, ...options }: LoginFlags) =>
      short(loginKeygen({ ...options, cli: await clientOf(io, cli), file, claims: claim }, io)),
    )
}
