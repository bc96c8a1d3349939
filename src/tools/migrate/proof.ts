/**
 * Whether a rewrite left nothing behind, by what is stored in etcd, and what that means for the old
 * keys.
 *
 * @module
 */

import type { Io } from '../../console/io.ts'
import { printable } from '../../console/output.ts'
import { counted, grouped, Progress } from '../../console/progress.ts'
import { type Census, takeCensus } from '../etcd/census.ts'
import { openStorage, type StorageFlags } from '../etcd/storage.ts'
import { FINDINGS, type Wanted } from '../etcd/verdict.ts'
import { type Resource, resourceName } from '../kube/discovery.ts'
import { storedAs } from '../kube/resource_names.ts'

export interface Proof {
  /** True where everything is as wanted. */
  readonly clean: boolean
  readonly objects: number
  /** What is left, by key id; objects of KMS v1 have none. */
  readonly left: readonly {
    readonly resource: string
    readonly verdict: string
    readonly keyId: string | undefined
    readonly objects: number
  }[]
  /** Whether it was known which key id is wanted. */
  readonly judged: boolean
}

/** Undefined where no etcd was named, since only what is stored is a proof. */
export async function proveMigrated(
  flags: StorageFlags,
  resources: readonly Resource[],
  wanted: Wanted | undefined,
  io: Io,
): Promise<Proof | undefined> {
  if (flags.endpoints === undefined) return undefined
  const storage = await openStorage(flags, io)
  const progress = new Progress(io, storage.source.count, 'objects')
  let counted = 0
  try {
    const census = await takeCensus(storage.source, {
      prefix: flags.prefix,
      wanted,
      resources: resources.map(resourceName).flatMap(storedAs),
      onProgress(objects) {
        progress.step(objects - counted)
        counted = objects
      },
    })
    return proofOf(census, wanted !== undefined)
  } finally {
    progress.clear()
    await storage.close()
  }
}

function proofOf({ rows, objects }: Census, judged: boolean): Proof {
  const findings: readonly string[] = FINDINGS
  const left = rows
    .filter(({ verdict }) => findings.includes(verdict))
    .map(({ resource, verdict, keyId, objects: count }) => ({
      resource,
      verdict,
      keyId,
      objects: count,
    }))
  return { clean: left.length === 0, objects, left, judged }
}

export function readableProof(proof: Proof | undefined, begun: string): string {
  if (proof === undefined) {
    return (
      'Whether anything still needs an old key cannot be told without etcd: run this with --endpoints,\n' +
      'or "trousseau scan", before you retire a key.\n'
    )
  }
  const backups = `Snapshots and backups from before ${begun} still need the old keys: keep a key as long as a backup that\nneeds it. "trousseau scan --snapshot FILE" says what one needs.\n`
  if (!proof.clean) {
    const lines = proof.left.map(
      ({ resource, verdict, keyId, objects }) =>
        `  ${grouped(objects)} ${printable(resource)} ${verdict}${keyId === undefined ? '' : `, key id ${printable(keyId)}`}`,
    )
    return `NOT everything is as wanted: retire no key yet.\n${lines.join('\n')}\n\n${backups}`
  }
  if (!proof.judged) {
    return `Which key id is wanted was not said (--socket, --config or --key-id): retire no key yet.\n\n${backups}`
  }
  return (
    `Of ${counted(proof.objects, 'object')} in etcd none needs an old key. An old key version may be retired once every API server writes\n` +
    `with the new key id ("trousseau status" and the metrics of each).\n\n${backups}`
  )
}
