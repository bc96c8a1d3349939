/**
 * `trousseau scan`: what every object of a cluster is encrypted with, read from etcd or from a file
 * of it. Nothing is decrypted, nothing is written.
 *
 * @module
 */

import type { Command } from 'commander'
import { resourceNames, type Short, socketPath } from '../../cli/flags.ts'
import { fitted } from '../../console/fitted.ts'
import type { Io } from '../../console/io.ts'
import { EXIT, json } from '../../console/output.ts'
import { Progress } from '../../console/progress.ts'
import { type Census, namesCover, takeCensus } from '../etcd/census.ts'
import { type EtcdPlace, findEtcd } from '../etcd/find.ts'
import {
  addStorageOptions,
  checkStorage,
  isUnnamed,
  openStorage,
  PREFIX,
  type StorageFlags,
} from '../etcd/storage.ts'
import { isBuiltIn, storedAs } from '../kube/resource_names.ts'
import { isWell } from './advice.ts'
import { type Absent, censusJson, readableCensus } from './report.ts'
import { type WantedFlags, wantedOf } from './wanted.ts'

export interface ScanFlags extends StorageFlags, WantedFlags {
  readonly resources?: readonly string[]
  readonly json: boolean
}

export function addScan(program: Command, io: Io, short: Short): void {
  const command = program
    .command('scan')
    .description(
      'say whether the cluster is encrypted, and with what: counts the objects in etcd, which is found by itself on a control-plane node, or in a snapshot; nothing is decrypted or written',
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
      resourceNames,
    )
    .option('--json', 'print JSON', false)
    .action((flags: ScanFlags) => {
      checkStorage(flags, command)
      const said = [flags.keyId, flags.socket, flags.config].filter((each) => each !== undefined)
      if (said.length > 1)
        command.error('Of the options --config, --socket and --key-id one is enough')
      return short(scan(flags, io))
    })
}

/**
 * @param root what the paths of the node are below, where etcd is not named
 * @throws ConfigError, or KmsError where something cannot be read or asked
 */
export async function scan(named: ScanFlags, io: Io, root = ''): Promise<number> {
  const wanted = await wantedOf(named)
  const found = isUnnamed(named) ? await findEtcd(root) : undefined
  const flags = found === undefined ? named : { ...named, ...found, prefix: prefixOf(named, found) }
  const storage = await openStorage(flags, io)
  const { source, verified } = storage
  const name = found === undefined ? storage.name : `${storage.name}, as in ${found.from}`
  const progress = new Progress(io, source.count, 'objects')
  let counted = 0
  try {
    const { prefix, resources = [] } = flags
    const census = await takeCensus(source, {
      prefix,
      wanted,
      resources: resources.flatMap(storedAs),
      onProgress(objects) {
        progress.step(objects - counted)
        counted = objects
      },
    })
    progress.clear()
    const read = { census, name, verified, wanted, absent: absentOf(resources, census) }
    io.out(flags.json ? json(censusJson(read)) : fitted(readableCensus(read, io), io))
    return isWell(read) ? EXIT.ok : EXIT.unhealthy
  } finally {
    progress.clear()
    await storage.close()
  }
}

/** The option comes first. */
function prefixOf({ prefix }: ScanFlags, found: EtcdPlace): string {
  return prefix === PREFIX ? (found.prefix ?? prefix) : prefix
}

/** Of the resources that were asked about those without an object. */
function absentOf(resources: readonly string[], { rows, defined }: Census): Absent {
  const names = resources.filter((name) => {
    const asked = new Set(storedAs(name))
    return !rows.some(({ resource }) => namesCover(asked, resource))
  })
  const unknown = names.filter((name) => {
    const isDefined = [...defined].some((each) => namesCover(new Set([name]), each))
    return !isDefined && !storedAs(name).some(isBuiltIn)
  })
  return { names, unknown }
}
