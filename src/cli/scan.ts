/**
 * `trousseau scan`: what every object of a cluster is encrypted with, read from etcd or from a file
 * of it. Nothing is decrypted, nothing is written.
 *
 * @module
 */

import type { Command } from 'commander'
import { type Census, takeCensus } from '../etcd/census.ts'
import { FINDINGS } from '../etcd/verdict.ts'
import { fitted } from './fitted.ts'
import { type Short, socketPath } from './flags.ts'
import type { Io } from './io.ts'
import { EXIT, json } from './output.ts'
import { Progress } from './progress.ts'
import { censusJson, readableCensus } from './scan_report.ts'
import {
  addStorageOptions,
  checkStorageFlags,
  openStorage,
  type StorageFlags,
} from './storage_options.ts'
import { type WantedFlags, wantedOf } from './wanted.ts'

interface ScanFlags extends StorageFlags, WantedFlags {
  readonly resources?: readonly string[]
  readonly json: boolean
}

export function addScan(program: Command, io: Io, short: Short): void {
  const command = program
    .command('scan')
    .description(
      'count what the objects in etcd, or in a snapshot of it, are encrypted with; nothing is decrypted or written',
    )
  addStorageOptions(command)
    .option(
      '--config <file>',
      "the plugin's config: objects ought to be under the key ids of its sockets",
    )
    .option('--socket <path>', 'or the socket of any plugin', socketPath)
    .option('--key-id <id>', 'or the key id itself')
    .option(
      '--resources <list>',
      'must be encrypted too, beside secrets; comma between, or *',
      names,
    )
    .option('--json', 'print JSON', false)
    .action((flags: ScanFlags) => {
      checkStorageFlags(flags, command)
      const said = [flags.keyId, flags.socket, flags.config].filter((each) => each !== undefined)
      if (said.length > 1)
        command.error('Of the options --config, --socket and --key-id one is enough')
      return short(scan(flags, io))
    })
}

/** @throws ConfigError, or KmsError where something cannot be read or asked */
async function scan(flags: ScanFlags, io: Io): Promise<number> {
  const wanted = await wantedOf(flags)
  const storage = await openStorage(flags, io)
  const { source, name, verified } = storage
  const progress = new Progress(io, source.count, 'objects')
  let counted = 0
  try {
    const { prefix, resources } = flags
    const census = await takeCensus(source, {
      prefix,
      wanted,
      resources,
      onProgress(objects) {
        progress.step(objects - counted)
        counted = objects
      },
    })
    progress.clear()
    const read = { census, name, verified, wanted }
    io.out(flags.json ? json(censusJson(read)) : fitted(readableCensus(read, io), io))
    return hasFindings(census) ? EXIT.unhealthy : EXIT.ok
  } finally {
    progress.clear()
    await storage.close()
  }
}

function hasFindings({ totals }: Census): boolean {
  return FINDINGS.some((verdict) => totals[verdict] > 0)
}

function names(text: string): string[] {
  return text.split(',').map((each) => each.trim())
}
