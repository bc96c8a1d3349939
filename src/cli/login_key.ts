/** The options of `trousseau login-key …`. @module */

import { hostname } from 'node:os'
import { type Command, Option } from 'commander'
import { KmsError } from '../base/errors.ts'
import type { Io } from '../console/io.ts'
import {
  LOGIN_KEY_TYPES,
  type LoginKeygenOptions,
  loginKeygen,
  printPublicKey,
} from '../tools/keys/login_key.ts'
import type { AuthorizeOptions } from '../tools/keys/tpm_policy.ts'
import { clientOf, type VaultClient } from '../tools/setup/vault_client.ts'
import { type Ending, renamed } from './command.ts'
import { claimOf, clientOption, pcrList, pcrValueOf, roleName } from './flags.ts'

type LoginFlags = Omit<LoginKeygenOptions, 'file' | 'claims' | 'cli' | 'tpm'> & {
  readonly cli?: VaultClient
  readonly claim: Readonly<Record<string, string>>
  readonly tpm: boolean
  readonly device?: string
  readonly pcrs?: readonly number[]
  readonly authorize?: string
}

export function addLoginKey(program: Command, io: Io, end: Ending): void {
  renamed(program, { name: 'login-key', former: 'login' }, (group) => {
    group.description('keys with which a node signs its own logins')
    renamed(group, { name: 'create', former: 'keygen' }, (command) => create(command, io, end))
    printsPublic(group.command('public'), io, end)
    state(group.command('state'), io, end)
    authorizes(group.command('authorize'), io, end)
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
    .option('--tpm', "make the key in this node's TPM 2.0, which never gives it away", false)
    .option('--pcrs <list>', 'with --tpm: it signs while these PCRs are as they are now', pcrList)
    .option(
      '--authorize <file>',
      'with --tpm: it signs as policies say that this key signed (public, PEM)',
    )
    .addOption(deviceOption())
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
    .action(async (file: string, flags: LoginFlags) => {
      const { claim, cli, tpm, device, pcrs, authorize, ...options } = flags
      checkTpmFlags(flags)
      const inTpm = tpm ? { device, pcrs, authorize } : undefined
      const client = await clientOf(io, cli)
      return await short(
        loginKeygen({ ...options, cli: client, file, claims: claim, tpm: inTpm }, io),
      )
    })
}

function checkTpmFlags({ tpm, existing, type, pcrs, authorize }: LoginFlags): void {
  const refuse = (message: string) => {
    throw new KmsError(message, { code: 'request_invalid' })
  }
  if (!tpm && (pcrs ?? authorize) !== undefined) refuse('--pcrs and --authorize are for --tpm')
  if (tpm && existing) refuse('--existing finds out by itself what the file is: leave --tpm out')
  if (tpm && type !== 'ES256') refuse('A key in a TPM is of type ES256')
}

function printsPublic(command: Command, io: Io, { short }: Ending): void {
  command
    .description('print the public half of a login key, as PEM')
    .argument('<file>', 'the key')
    .action((file: string) => short(printPublicKey(file, io)))
}

interface StateFlags {
  readonly policy?: string
  readonly device?: string
  readonly json: boolean
}

function state(command: Command, io: Io, { short }: Ending): void {
  command
    .description("show this node's TPM and its PCRs, and whether a login key in it would sign now")
    .argument('[file]', 'the key; without it the TPM alone')
    .option('--policy <file>', 'the signed policies, for a key made with --authorize')
    .addOption(deviceOption())
    .option('--json', 'print JSON, which "login-key authorize" reads', false)
    .action(async (file: string | undefined, flags: StateFlags) => {
      const { tpmState } = await import('../tools/keys/tpm_login_key.ts')
      return await short(tpmState({ ...flags, file }, io))
    })
}

type AuthorizeFlags = Omit<AuthorizeOptions, 'file'>

function authorizes(command: Command, io: Io, { short }: Ending): void {
  command
    .description('sign, with an offline key, which state of a node lets its login key sign')
    .argument('<file>', 'the signed policies; nothing is ever overwritten')
    .requiredOption('--key <file>', 'the offline key: ECDSA with P-256, PEM')
    .option('--state <file>', 'what "login-key state --json" printed on such a node')
    .option('--pcrs <list>', 'which PCRs of it count', pcrList)
    .option(
      '--pcr <number=value>',
      'a value that was foretold, in hexadecimal',
      pcrValueOf,
      new Map(),
    )
    .option('--keep <file>', 'a former file, whose policies stay good')
    .option('--json', 'print JSON', false)
    .action(async (file: string, flags: AuthorizeFlags) => {
      const { authorize } = await import('../tools/keys/tpm_policy.ts')
      return await short(authorize({ file, ...flags }, io))
    })
}

function deviceOption(): Option {
  return new Option(
    '--device <path>',
    'the TPM: a device, or unix:///path of a socket (default: /dev/tpmrm0)',
  )
}
