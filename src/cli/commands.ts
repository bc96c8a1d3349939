/**
 * All commands and their options; what they do stands in a file of its
 * own for each.
 *
 * @module
 */

import { hostname } from 'node:os'
import { Argument, type Command, Option } from 'commander'
import type { Io } from '../console/io.ts'
import { EXIT, json } from '../console/output.ts'
import { RUNTIME, VERSION, versionLine } from '../plugin/version.ts'
import { RECOVERY_CURVES } from '../recovery/jwk.ts'
import { PROVIDER_TYPES, type ProviderType } from '../services/registry.ts'
import { initConfig } from '../tools/config_file/init.ts'
import { printConfigSchema, validateConfig } from '../tools/config_file/validate.ts'
import { check } from '../tools/conformance/run.ts'
import { demo } from '../tools/demo.ts'
import { addDoctor } from '../tools/doctor/run.ts'
import { keygen } from '../tools/keys/local.ts'
import { LOGIN_KEY_TYPES, type LoginKeygenOptions, loginKeygen } from '../tools/keys/login.ts'
import {
  type RecoveryKeygenOptions,
  type RecoveryVerifyOptions,
  recoveryKeygen,
  recoveryVerify,
} from '../tools/keys/recovery.ts'
import { addBench } from '../tools/load/bench.ts'
import { addManifests } from '../tools/manifests/run.ts'
import { addMigrate } from '../tools/migrate/run.ts'
import { addScan } from '../tools/scan/run.ts'
import { clientOf, clientOption, type VaultClient } from '../tools/setup/vault_client.ts'
import { status, statusOfConfig } from '../tools/status/run.ts'
import { watchStatus } from '../tools/status/watch.ts'
import { addVerifyBundle } from '../tools/verify_bundle.ts'
import { completionScript, SHELLS, type Shell } from './completion.ts'
import { claimOf, durationFlag, milliseconds, roleName, type Short, socketPath } from './flags.ts'
import { addPolicies } from './policy.ts'
import { addRecover } from './recover.ts'
import { serve, stopped } from './serve.ts'
import { addSetup } from './setup.ts'

const CONFIG_FILE = 'YAML or JSON config file; - for standard input'

/** In the order of a newcomer's day, which help follows. */
export function addCommands(program: Command, io: Io, done: (code: number) => void): void {
  /** A command that ends by itself, or when it is stopped. */
  const short = async (work: number | Promise<number>) => {
    const interrupted = stopped(io.stop).then(() => EXIT.interrupted)
    done(await Promise.race([work, interrupted]))
  }
  program.commandsGroup('Try it:')
  addDemo(program, io, done)
  program.commandsGroup('Set it up:')
  addConfig(program, io, short)
  addKeygen(program, io, short)
  addPolicies(program, io, short, { vault: (parent) => addSetup(parent, io, short) })
  addLogin(program, io, short)
  addManifests(program, io, short)
  program.commandsGroup('Run it, and see whether it is well:')
  addServe(program, io, done)
  addStatus(program, io, { short, done })
  addDoctor(program, io, short)
  addCheck(program, io, short)
  addBench(program, io, done)
  program.commandsGroup('See what is encrypted, and have it written anew:')
  addScan(program, io, short)
  addMigrate(program, io, done)
  program.commandsGroup('For the day when all key services are gone:')
  addRecovery(program, io, short)
  addRecover(program, io, short)
  program.commandsGroup('About this program:')
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

function addServe(program: Command, io: Io, done: (code: number) => void): void {
  program
    .command('serve')
    .description('run the plugin until SIGTERM or SIGINT')
    .requiredOption('--config <file>', CONFIG_FILE)
    .option(
      '--take-over',
      'take the socket of a plugin that runs as soon as this one can answer; stop that one then',
      false,
    )
    .action(async ({ config, takeOver }: { config: string; takeOver: boolean }) =>
      done(await serve({ configPath: config, takeOver }, io)),
    )
}

function addStatus(
  program: Command,
  io: Io,
  { short, done }: { readonly short: Short; readonly done: (code: number) => void },
): void {
  program
    .command('status')
    .description("ask any plugin's socket as kube-apiserver does, and this one about its providers")
    .option('--socket <path>', 'path of the socket, or unix:// and it', socketPath)
    .option('--config <file>', 'config file: all its sockets, and its admin server')
    .option('--timeout <duration>', 'time limit of each call', milliseconds, 3_000)
    .addOption(
      new Option('--watch [duration]', 'ask again and again, each 2s or as said, until stopped')
        .argParser(durationFlag(100, 3_600_000))
        .preset('2s')
        .conflicts('json'),
    )
    .addOption(
      new Option(
        '--live',
        'exit code 0 as soon as --socket answers at all, as a liveness probe wants it',
      )
        .default(false)
        .conflicts('watch'),
    )
    .option('--json', 'print JSON', false)
    .action(async (flags: StatusFlags, command: Command) => {
      const { socket, config, timeout: timeoutMs, watch: everyMs, json, live } = flags
      if ((socket === undefined) === (config === undefined)) {
        command.error('Option --socket or --config is needed, and not both')
      }
      if (live && socket === undefined) {
        command.error('Option --live needs --socket')
      }
      if (everyMs !== undefined) {
        const watched = { socketPath: socket, configPath: config, timeoutMs, everyMs }
        return done(await watchStatus(watched, io))
      }
      return await short(
        config === undefined
          ? status({ socketPath: socket ?? '', timeoutMs, json, live }, io)
          : statusOfConfig({ configPath: config, timeoutMs, json }, io),
      )
    })
}

function addCheck(program: Command, io: Io, short: Short): void {
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
  /** Milliseconds. */
  readonly watch?: number
  readonly json: boolean
  readonly live: boolean
}

function addKeygen(program: Command, io: Io, short: Short): void {
  program
    .command('keygen')
    .description('make a key file for the local provider; nothing is ever overwritten')
    .argument('<file>', 'the key file')
    .option('--add-version', 'add a key version to a file that exists', false)
    .option('--json', 'print JSON', false)
    .action((file: string, options: { addVersion: boolean; json: boolean }) =>
      short(keygen({ file, ...options }, io)),
    )
}

function addConfig(program: Command, io: Io, short: Short): void {
  const config = program.command('config').description('begin, check and explain config files')
  config
    .command('init')
    .description('write a config to begin with, with comments; nothing is ever overwritten')
    .argument('<file>', 'where to; - for standard output')
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

type LoginFlags = Omit<LoginKeygenOptions, 'file' | 'claims' | 'cli'> & {
  readonly cli?: VaultClient
  readonly claim: Readonly<Record<string, string>>
}

function addLogin(program: Command, io: Io, short: Short): void {
  program
    .command('login')
    .description('keys with which a node signs its own logins')
    .command('keygen')
    .description(
      'make the key with which this node signs its JWTs (auth.selfSigned), and print the script that lets it in',
    )
    .argument('<file>', 'the private key; nothing is ever overwritten')
    .addOption(new Option('--type <type>', 'of the key').choices(LOGIN_KEY_TYPES).default('ES256'))
    .option('--existing', 'print it for a key that is there, and make none', false)
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
    .option('--json', 'print JSON', false)
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
    .option('--json', 'print JSON', false)
    .action(({ socket, timeout, ...options }: VerifyFlags) =>
      short(recoveryVerify({ ...options, socketPath: socket, timeoutMs: timeout }, io)),
    )
}

type VerifyFlags = Omit<RecoveryVerifyOptions, 'socketPath' | 'timeoutMs'> & {
  readonly socket: string
  readonly timeout: number
}

function addAbout(program: Command, io: Io, short: Short): void {
  const version = (asJson: boolean) => {
    io.out(asJson ? json({ version: VERSION, runtime: RUNTIME }) : `${versionLine()}\n`)
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
