/** The options of `trousseau audit …`. @module */

import { type Command, Option } from 'commander'
import type { Io } from '../console/io.ts'
import type { AuditVerifyFlags } from '../tools/audit/verify.ts'
import type { Ending } from './command.ts'

export function addAudit(program: Command, io: Io, { short }: Ending): void {
  const group = program.command('audit').description('the stream of all that was asked for')
  group
    .command('verify')
    .description('check that nothing in audit files was changed, removed or put in')
    .argument('<files...>', 'one stream, with its rotated files, in any order')
    .addOption(
      new Option(
        '--key <file>',
        'public key of the node, as "login-key public" prints it; may be repeated',
      )
        .argParser((file: string, before: readonly string[]) => [...before, file])
        .default([], 'signatures are not checked'),
    )
    .option('--json', 'print JSON', false)
    .action(async (files: readonly string[], flags: AuditVerifyFlags) => {
      const { verifyAudit } = await import('../tools/audit/verify.ts')
      return await short(verifyAudit(files, flags, io))
    })
}
