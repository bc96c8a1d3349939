/**
 * All commands but `serve`, and their options; what they do stands in a file of its
 * own for each.
 *
 * @module
 */

import { hostname } from 'node:os'
import { Argument, type Command, Option } from 'commander'
import { RECOVERY_CURVES } from '../recovery/jwk.ts'
import { addBench } from './bench.ts'
import { check } from './check.ts'
import { completionScript, SHELLS, type Shell } from './completion.ts'
import { printConfigSchema, validateConfig } from './config.ts'
import { demo } from './demo.ts'
import { addDoctor } from './doctor.ts'
import { claimOf, milliseconds, policyName, roleName, type Short, socketPath } from './flags.ts'
import type { Io } from './io.ts'
import { keygen } from './keygen.ts'
import { LOGIN_KEY_TYPES, type LoginKeygenOptions, loginKeygen } from './login.ts'
import { addManifests } from './manifests.ts'
import { addMigrate } from './migrate.ts'
import { EXIT, json } from './output.ts'
import { addPolicies, ofProvider } from './policy.ts'
import { addRecover } from './recover_command.ts'
import {
  type RecoveryKeygenOptions,
  type RecoveryVerifyOptions,
  recoveryKeygen,
  recoveryVerify,
} from './recovery.ts'
import { addScan } from './scan.ts'
import { stopped } from './serve.ts'
import { status, statusOfConfig } from './status.ts'
import { type SetupOptions, vaultSetup } from './vault.ts'
import { addVerifyBundle } from './verify_bundle.ts'
import { RUNTIME, VERSION } from './version.ts'

export function addCommands(program: Command, io: Io, done: (code: number) => void): void {
  addDemo(program, io, done)
  /** A command that ends by itself, or when it is stopped. */
  const short = async (work: number | Promise<number>) => {
    const interrupted = stopped(io.stop).then(() => EXIT.interrupted)
    done(await Promise.race([work, interrupted]))
  }
  addAsking(program, io, short)
  addScan(program, io, short)
  addBench(program, io, done)
  addFiles(program, io, short)
  addPolicies(program, io, short, { vault: (parent) => addSetup(parent, io, short) })
  addLogin(program, io, short)
  addRecovery(program, io, short)
  addRecover(program, io, short)
  addDoctor(program, io, short)
  addMigrate(program, io, done)
  addManifests(program, io, short)
  addVerifyBundle(program, io, short)
  addAbout(program, io, short)
}

function addDemo(program: Command, io: Io, done: (code: number) => void): void {
  program
    .command('demo')
    .description('show the plugin at work with a local key, and keep serving')
    .option(
      '--dir <folder>',
      'keep key and socket here (default: a folder that goes with the demo)',
    )
    .action(async (options: { dir?: string }) => done(await demo(options, io)))
}

function addAsking(program: Command, io: Io, short: Short): void {
  program
    .command('status')
    .description("ask any plugin's socket as kube-apiserver does, and this one about its providers")
    .option('--socket <path>', 'path of the socket, or unix:// and it', socketPath)
    .option('--config <file>', 'config file: all its sockets, and its admin server')
    .option('--timeout <duration>', 'time limit of each call', milliseconds, 3_000)
    .option('--json', 'print JSON', false)
    .action((flags: StatusFlags, command: Command) => {
      const { socket, config, timeout: timeoutMs, json } = flags
      if (socket !== undefined && config === undefined) {
        return short(status({ socketPath: socket, timeoutMs, json }, io))
      }
      if (config !== undefined && socket === undefined) {
        return short(statusOfConfig({ configPath: config, timeoutMs, json }, io))
      }
      return command.error('Option --socket or --config is needed, and not both')
    })
  program
    .command('check')
    .description(
      "probe any plugin's socket by the rules of the KMS contract; it encrypts and decrypts",
    )
    .requiredOption('--socket <path>', 'path of the socket, or unix:// and it', socketPath)
    .option('--json', 'print JSON', false)
    .action(({ socket, json }: { socket: string; json: boolean }) =>
      short(check({ socketPath: socket, json }, io)),
    )
}

interface StatusFlags {
  readonly socket?: string
  readonly config?: string
  readonly timeout: number
  readonly json: boolean
}

function addFiles(program: Command, io: Io, short: Short): void {
  program
    .command('keygen')
    .description('make a key file for the local provider; nothing is ever overwritten')
    .argument('<file>', 'the key file')
    .option('--add-version', 'add a key version to a file that exists', false)
    .action((file: string, options: { addVersion: boolean }) =>
      short(keygen({ file, ...options }, io)),
    )
  const config = program.command('config').description('look at config files')
  config
    .command('validate')
    .description('list everything that is wrong with a config file')
    .argument('<file>', 'YAML or JSON config file')
    .action((file: string) => short(validateConfig(file, io)))
  config
    .command('schema')
    .description('print the JSON Schema of config files, for editors')
    .action(() => short(printConfigSchema(io)))
}

type LoginFlags = Omit<LoginKeygenOptions, 'file' | 'claims'> & {
  readonly claim: Readonly<Record<string, string>>
}

function addLogin(program: Command, io: Io, short: Short): void {
  program
    .command('login')
    .description('keys with which a node signs its own logins')
    .command('keygen')
    .description(
      'make a key for auth.method jwt with selfSigned, and print what its public half goes into',
    )
    .argument('<file>', 'the private key; nothing is ever overwritten')
    .addOption(new Option('--type <type>', 'of the key').choices(LOGIN_KEY_TYPES).default('ES256'))
    .option('--existing', 'print it for a key that is there, and make none', false)
    .option('--audience <text>', 'claim aud', 'vault')
    .option('--subject <text>', 'claim sub, which tells nodes apart', `trousseau:${hostname()}`)
    .option('--claim <name=value>', 'one more claim, for a role that binds it', claimOf, {})
    .option('--mount <path>', 'mount of the login', 'jwt')
    .option('--role <name>', 'role that `vault setup` makes', roleName, 'trousseau')
    .addOption(clientOption())
    .action((file: string, { claim, ...options }: LoginFlags) =>
      short(loginKeygen({ ...options, file, claims: claim }, io)),
    )
}

function clientOption(): Option {
  return new Option('--cli <name>', 'your client').choices(['vault', 'bao']).default('vault')
}

function addRecovery(program: Command, io: Io, short: Short): void {
  const recovery = program
    .command('recovery')
    .description('keys that open Secrets after all key services are gone')
  recovery
    .command('keygen')
    .description('make such a key, and print what its public half goes into')
    .argument('<file>', 'the private key; nothing is ever overwritten')
    .addOption(
      new Option('--curve <curve>', 'of the key').choices(RECOVERY_CURVES).default('P-256'),
    )
    .option('--passphrase-file <file>', 'file with the passphrase (default: asked for)')
    .option('--no-passphrase', 'leave the private key in the clear')
    .action((file: string, options: Omit<RecoveryKeygenOptions, 'file'>) =>
      short(recoveryKeygen({ ...options, file }, io)),
    )
  recovery
    .command('verify')
    .description('prove that a key opens what a running plugin encrypts')
    .requiredOption('--socket <path>', 'path of the socket, or unix:// and it', socketPath)
    .requiredOption('--key <file>', 'the private key')
    .option('--passphrase-file <file>', 'file with its passphrase (default: asked for)')
    .option('--timeout <duration>', 'time limit of each call', milliseconds, 3_000)
    .action(({ socket, timeout, ...options }: VerifyFlags) =>
      short(recoveryVerify({ ...options, socketPath: socket, timeoutMs: timeout }, io)),
    )
}

type VerifyFlags = Omit<RecoveryVerifyOptions, 'socketPath' | 'timeoutMs'> & {
  readonly socket: string
  readonly timeout: number
}

function addSetup(vault: Command, io: Io, short: Short): void {
  ofProvider(vault, 'setup')
    .description('print the commands that set everything up, or do it over the API')
    .addOption(clientOption())
    .option(
      '--policy-name <name>',
      'name of the policy (default: trousseau-KEY, or trousseau-MOUNT-KEY)',
      policyName,
    )
    .option('--role <name>', 'name of the role (default: that of the policy)', roleName)
    .option('--apply', 'show the plan, and do it; nothing is ever deleted', false)
    .option('--dry-run', 'show the plan only', false)
    .option('--token-file <file>', "file with an administrator's token, for --apply and --dry-run")
    .option('--replace-policy', 'let --apply replace a policy that says something else', false)
    .action((options: SetupFlags, command: Command) =>
      short(vaultSetup({ ...options, api: apiOf(options, command) }, io)),
    )
}

interface SetupFlags extends SetupOptions {
  readonly apply: boolean
  readonly dryRun: boolean
  readonly tokenFile?: string
}

function apiOf(flags: SetupFlags, command: Command): SetupOptions['api'] {
  const { apply, dryRun, tokenFile } = flags
  const asks = apply || dryRun
  if (asks && tokenFile !== undefined) return { tokenFile, dryRun }
  if (asks)
    command.error("Options --apply and --dry-run need --token-file, an administrator's token")
  if (tokenFile !== undefined || flags.replacePolicy) {
    command.error('Options --token-file and --replace-policy need --apply or --dry-run')
  }
  return undefined
}

function addAbout(program: Command, io: Io, short: Short): void {
  const version = (asJson: boolean) => {
    io.out(
      asJson ? json({ version: VERSION, runtime: RUNTIME }) : `trousseau ${VERSION} (${RUNTIME})\n`,
    )
    return EXIT.ok
  }
  program
    .command('version')
    .description('print the version of this program and of its runtime')
    .option('--json', 'print JSON', false)
    .action((options: { json: boolean }) => short(version(options.json)))
  program
    .command('completion')
    .description('print a completion script; the docs say where to put it')
    .addArgument(new Argument('<shell>', 'which shell').choices(SHELLS))
    .action((shell: Shell) => {
      io.out(completionScript(program, shell))
      return short(EXIT.ok)
    })
}
