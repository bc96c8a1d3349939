/** The options of `trousseau recovery-key …`. @module */

import { type Command, Option } from 'commander'
import type { Io } from '../console/io.ts'
import { RECOVERY_CURVES } from '../recovery/jwk.ts'
import {
  type RecoveryKeygenOptions,
  type RecoveryVerifyOptions,
  recoveryKeygen,
  recoveryVerify,
} from '../tools/keys/recovery_key.ts'
import { type Ending, renamed } from './command.ts'
import { milliseconds, socketPath } from './flags.ts'

type VerifyFlags = Omit<RecoveryVerifyOptions, 'socketPath' | 'timeoutMs'> & {
  readonly socket: string
  readonly timeout: number
}

export function addRecoveryKey(program: Command, io: Io, end: Ending): void {
  renamed(program, { name: 'recovery-key', former: 'recovery' }, (group) => {
    group.description('keys that open Secrets after all key services are gone')
    renamed(group, { name: 'create', former: 'keygen' }, (command) => create(command, io, end))
    verify(group.command('verify'), io, end)
  })
}

function create(command: Command, io: Io, { short }: Ending): void {
  command
    .description('make a recovery key, and print the lines of the config for its public half')
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
}

function verify(command: Command, io: Io, { short }: Ending): void {
  command
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
