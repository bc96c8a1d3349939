/** The options of `trousseau doctor`. @module */

import type { Command } from 'commander'
import type { Io } from '../console/io.ts'
import { type DoctorFlags, doctor, KUBEADM_MANIFEST } from '../tools/doctor/run.ts'
import type { Ending } from './command.ts'

export function addDoctor(program: Command, io: Io, { short }: Ending): void {
  program
    .command('doctor')
    .description('check everything that an API server depends on; nothing is changed')
    .requiredOption('--config <file>', "the plugin's config")
    .option('--encryption-config <file>', "the API server's EncryptionConfiguration")
    .option(
      '--api-server-manifest <file>',
      `its static pod (default: ${KUBEADM_MANIFEST}, where there is one)`,
    )
    .option('--plugin-manifest <file>', "the plugin's own static pod")
    .option('--kubeconfig <file>', 'to ask the API server too')
    .option('--context <name>', 'of the kubeconfig')
    .option('--offline', 'connect to nothing: neither socket, key services nor API server', false)
    .option('--json', 'print JSON', false)
    .action((flags: DoctorFlags) => short(doctor(flags, io)))
}
