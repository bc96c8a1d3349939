/** The options of `trousseau verify-bundle`. @module */

import type { Command } from 'commander'
import type { Io } from '../console/io.ts'
import { type VerifyBundleFlags, verifyBundle } from '../tools/verify_bundle.ts'
import type { Ending } from './command.ts'

export function addVerifyBundle(program: Command, io: Io, { short }: Ending): void {
  program
    .command('verify-bundle')
    .description('check the signature of a bundle, or of the folder it was unpacked to')
    .argument('<path>', 'the file, or the folder with SHA256SUMS in it')
    .requiredOption(
      '--key <file>',
      'public key in PEM (EC P-256), from elsewhere than the bundle itself',
    )
    .option('--signature <file>', 'in base64 (default: the path, or SHA256SUMS, with .sig)')
    .option('--json', 'print JSON', false)
    .action((path: string, flags: VerifyBundleFlags) => short(verifyBundle(path, flags, io)))
}
