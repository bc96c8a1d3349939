/** Opens the storage of an API server's objects: etcd itself, or a snapshot of it. @module */

import type { Buffer } from 'node:buffer'
import { stat } from 'node:fs/promises'
import { KmsError, systemReasonOf } from '../../base/errors.ts'
import { readSmallBytes } from '../../base/small_file.ts'
import type { Io } from '../../console/io.ts'
import { tellWait } from '../../console/notices.ts'
import { grouped } from '../../console/progress.ts'
import { connectEtcd } from './client.ts'
import { openRange } from './range.ts'
import { openSnapshot } from './snapshot.ts'
import type { ObjectSource } from './source.ts'

export interface StorageFlags {
  readonly endpoints?: readonly string[]
  readonly cacert?: string
  readonly cert?: string
  readonly key?: string
  readonly serverName?: string
  readonly snapshot?: string
  readonly prefix: string
}

interface Storage {
  readonly source: ObjectSource
  /** The name of the storage, for people. */
  readonly name: string
  /** For a file, whether it has a checksum that is right. */
  readonly verified: boolean | undefined
  close(): Promise<void>
}

/** Heading in the help. */
/** kube-apiserver's own. */
export const PREFIX = '/registry'
const CALL_MS = 30_000
const MEBIBYTE = 1024 * 1024
/** Reading a file of this size takes noticeably long. */
const LARGE_BYTES = 256 * MEBIBYTE
/** A page should be far shorter, but a single object may be as long. */
const MESSAGE_BYTES = 64 * MEBIBYTE

export function isUnnamed({ endpoints: listed, snapshot }: StorageFlags): boolean {
  return listed === undefined && snapshot === undefined
}

/** @throws KmsError */
export async function openStorage(flags: StorageFlags, io: Io): Promise<Storage> {
  const storage =
    flags.snapshot === undefined
      ? await openCluster(flags)
      : await openFile(flags.snapshot, flags.prefix, io)
  if (storage.source.count > 0) return storage
  await storage.close()
  throw new KmsError(
    `No key of ${storage.name} begins with ${flags.prefix}/: use --prefix with what kube-apiserver has as --etcd-prefix`,
    { code: 'request_invalid' },
  )
}

async function openFile(file: string, below: string, io: Io): Promise<Storage> {
  if (io.showsProgress) io.err(`Looking through ${file} …`)
  else await tellSize(file, io)
  try {
    const source = await openSnapshot(file, below)
    const close = async () => await source[Symbol.asyncDispose]()
    return { source, name: file, verified: source.verified, close }
  } finally {
    if (io.showsProgress) io.err('\r\u001b[K')
  }
}

/** Where no progress is shown, a large file would be read in silence for a while. */
async function tellSize(file: string, io: Io): Promise<void> {
  const { size } = await stat(file).catch(() => ({ size: 0 }))
  if (size < LARGE_BYTES) return
  tellWait(io, `Looks through ${file}, ${grouped(Math.round(size / MEBIBYTE))} MiB`)
}

async function openCluster(flags: StorageFlags): Promise<Storage> {
  const { endpoints: listed = [], cacert, cert, key, serverName } = flags
  const client =
    cert === undefined || key === undefined
      ? undefined
      : { cert: await pem(cert), key: await pem(key) }
  const ca = cacert === undefined ? undefined : await pem(cacert)
  const etcd = connectEtcd({
    endpoints: listed,
    tls: { ca, client, serverName },
    timeoutMs: CALL_MS,
    maxMessageBytes: MESSAGE_BYTES,
  })
  const close = async () => await etcd[Symbol.asyncDispose]()
  try {
    const source = await openRange(etcd, flags.prefix)
    return { source, name: listed.join(','), verified: undefined, close }
  } catch (error) {
    await close()
    throw error
  }
}

async function pem(file: string): Promise<Buffer> {
  try {
    return await readSmallBytes(file)
  } catch (cause) {
    throw new KmsError(`Cannot read ${file}: ${systemReasonOf(cause)}`, {
      code: 'request_invalid',
      cause,
    })
  }
}
