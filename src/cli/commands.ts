/**
 * Every command, in the order in which a newcomer needs them; help lists them in this order.
 *
 * @module
 */

import type { Command } from 'commander'
import { stopped } from '../base/call.ts'
import type { Io } from '../console/io.ts'
import { EXIT } from '../console/output.ts'
import { addAbout } from './about.ts'
import { addAudit } from './audit.ts'
import { addBench } from './bench.ts'
import { addCheck } from './check.ts'
import type { AddCommand, Ending } from './command.ts'
import { addConfig } from './config.ts'
import { addDemo } from './demo.ts'
import { addDoctor } from './doctor.ts'
import { addExplain } from './explain.ts'
import { addKeygen } from './keygen.ts'
import { addLoginKey } from './login_key.ts'
import { addManifests } from './manifests.ts'
import { addMigrate } from './migrate.ts'
import { addPolicies } from './policy.ts'
import { addRecover } from './recover.ts'
import { addRecoveryKey } from './recovery_key.ts'
import { addRules } from './rules.ts'
import { addScan } from './scan.ts'
import { addServe } from './serve.ts'
import { addStatus } from './status.ts'
import { addTop } from './top.ts'
import { addVerifyBundle } from './verify_bundle.ts'

const GROUPS: Readonly<Record<string, readonly AddCommand[]>> = {
  'Try it:': [addDemo],
  'Set it up:': [addConfig, addKeygen, addPolicies, addLoginKey, addRules, addManifests],
  'Run it, and check its health:': [
    addServe,
    addStatus,
    addTop,
    addDoctor,
    addExplain,
    addCheck,
    addBench,
    addAudit,
  ],
  'See what is encrypted, and have it rewritten:': [addScan, addMigrate],
  'For the day when all key services are gone:': [addRecoveryKey, addRecover],
  'About this program:': [addVerifyBundle, addAbout],
}

/**
 * @param done is called with the exit code
 * @param called the first word of the command line, where there is one
 */
export function addCommands(
  program: Command,
  io: Io,
  done: (code: number) => void,
  called?: string,
): void {
  const end: Ending = {
    done,
    async short(work) {
      const interrupted = stopped(io.stop).then(() => EXIT.interrupted)
      done(await Promise.race([work, interrupted]))
    },
  }
  // It starts faster without the others, and needs none of them.
  if (called === 'serve') {
    addServe(program, io, end)
    return
  }
  for (const [title, commands] of Object.entries(GROUPS)) {
    program.commandsGroup(title)
    for (const add of commands) add(program, io, end)
  }
}
