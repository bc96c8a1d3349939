/**
 * `trousseau recover verify`, the disaster drill: can everything that is encrypted be opened?
 *
 * @module
 */

import { fitted } from '../../console/fitted.ts'
import type { Io } from '../../console/io.ts'
import { EXIT, json, printable } from '../../console/output.ts'
import { counted, Progress } from '../../console/progress.ts'
import { isEncrypted, pagesOf } from '../etcd/found.ts'
import { outcomesOf } from '../etcd/outcome.ts'
import { openStorage, type StorageFlags } from '../etcd/storage.ts'
import { type KeyOptions, openKeys } from './keys.ts'
import { type Problem, Tally, whole } from './tally.ts'

export interface RecoverVerifyOptions extends StorageFlags, KeyOptions {
  readonly json: boolean
}

/** @throws ConfigError, or KmsError where the storage or a key cannot be read */
export async function recoverVerify(options: RecoverVerifyOptions, io: Io): Promise<number> {
  await using keys = await openKeys(options, io)
  const storage = await openStorage(options, io)
  try {
    const { source } = storage
    const progress = new Progress(io, source.count)
    const tally = new Tally()
    const problems: Problem[] = []
    const encrypted = pagesOf(source, options.prefix, isEncrypted, progress)
    const told = options.json ? (problem: Problem) => problems.push(problem) : lineTo(io, progress)
    for await (const outcome of outcomesOf(encrypted, keys.opener)) {
      const problem = tally.add(outcome)
      if (problem !== undefined) told(problem)
    }
    progress.clear()
    const revision = String(source.revision)
    const { asked: wrappedKeys } = keys.opener
    if (options.json) io.out(json({ revision, ...tally.json(), wrappedKeys, problems }))
    else {
      const where = `Revision ${revision} of ${printable(storage.name)}`
      io.out(`${tally.good ? '' : '\n'}${where}, ${counted(wrappedKeys, 'wrapped key')}\n\n`)
      io.out(fitted(tally.readable(io), io))
    }
    return tally.good ? EXIT.ok : EXIT.unhealthy
  } finally {
    await storage.close()
  }
}

function lineTo(io: Io, progress: Progress): (problem: Problem) => void {
  return ({ name, reason }) => {
    progress.clear()
    io.out(`${whole(name)}: ${whole(reason)}\n`)
  }
}
