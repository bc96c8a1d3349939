/**
 * `trousseau scan` says what every object of a cluster is encrypted with, read from etcd or from a
 * file of it. It decrypts and writes nothing.
 *
 * @module
 */

import { fitted } from '../../console/fitted.ts'
import type { Io } from '../../console/io.ts'
import { EXIT, json } from '../../console/output.ts'
import { Progress } from '../../console/progress.ts'
import { type Census, namesCover, takeCensus } from '../etcd/census.ts'
import { type EtcdPlace, findEtcd } from '../etcd/find.ts'
import { isUnnamed, openStorage, PREFIX, type StorageFlags } from '../etcd/storage.ts'
import { isBuiltIn, storedAs } from '../kube/resource_names.ts'
import { isWell } from './advice.ts'
import { type Absent, censusJson, readableCensus } from './report.ts'
import { type WantedFlags, wantedOf } from './wanted.ts'

export interface ScanFlags extends StorageFlags, WantedFlags {
  readonly resources?: readonly string[]
  readonly json: boolean
}

/**
 * @param root the folder that the node's paths are below, where no etcd is named
 * @throws ConfigError, or KmsError where something cannot be read or does not answer
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

/** The option takes precedence. */
function prefixOf({ prefix }: ScanFlags, found: EtcdPlace): string {
  return prefix === PREFIX ? (found.prefix ?? prefix) : prefix
}

/** The resources that were asked about and have no object. */
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
