/** The options with which a command is told where an API server's objects are, and opening that. @module */

import type { Buffer } from 'node:buffer'
import { stat } from 'node:fs/promises'
import { type Command, InvalidArgumentError, Option } from 'commander'
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

export interface Storage {
  readonly source: ObjectSource
  /** What is read, for people. */
  readonly name: string
  /** Of a file whether it has a checksum, and the right one. */
  readonly verified: boolean | undefined
  close(): Promise<void>
}

/** Heading in the help. */
const STORAGE = 'Where the objects are:'
/** kube-apiserver's own. */
export const PREFIX = '/registry'
const CALL_MS = 30_000
const MEBIBYTE = 1024 * 1024
/** Read in more than a moment. */
const LARGE_BYTES = 256 * MEBIBYTE
/** A page is meant to be far shorter; a single object may be as long. */
const MESSAGE_BYTES = 64 * MEBIBYTE

export function addStorageOptions(command: Command): Command {
  return addEtcdOptions(command).addOption(
    new Option('--snapshot <file>', 'instead: what "etcdctl snapshot save" wrote').helpGroup(
      STORAGE,
    ),
  )
}

/** Where only a running etcd will do. */
export function addEtcdOptions(command: Command): Command {
  return command
    .optionsGroup(STORAGE)
    .option(
      '--endpoints <list>',
      "etcd's members: https://HOST:PORT, or http://; comma between",
      endpoints,
    )
    .option('--cacert <file>', "authorities of etcd's certificates (default: Mozilla's)")
    .option('--cert <file>', 'client certificate for etcd')
    .option('--key <file>', 'its key')
    .option('--server-name <name>', "name in etcd's certificates, where it is not the host")
    .option('--prefix <path>', "kube-apiserver's --etcd-prefix", prefix, PREFIX)
    .optionsGroup('Options:')
}

/** Ends the command where the options contradict each other. */
export function checkStorageFlags(flags: StorageFlags, command: Command): void {
  if (isUnnamed(flags)) command.error('Option --endpoints or --snapshot is needed, and not both')
  checkStorage(flags, command)
}

/** The same where neither etcd nor a file need be named. */
export function checkStorage(flags: StorageFlags, command: Command): void {
  if (flags.endpoints !== undefined && flags.snapshot !== undefined) {
    command.error('Option --endpoints or --snapshot is needed, and not both')
  }
  checkEtcdFlags(flags, command)
}

export function isUnnamed({ endpoints: listed, snapshot }: StorageFlags): boolean {
  return listed === undefined && snapshot === undefined
}

/** The same where etcd may be left out. */
export function checkEtcdFlags(flags: StorageFlags, command: Command): void {
  const { endpoints: listed, cacert, cert, key, serverName } = flags
  if ((cert === undefined) !== (key === undefined)) {
    command.error('Options --cert and --key belong together')
  }
  const secured = [cacert, cert, serverName].some((each) => each !== undefined)
  const plain = listed === undefined || listed.some((each) => each.startsWith('http:'))
  if (secured && plain) {
    command.error(
      'Options --cacert, --cert, --key and --server-name need --endpoints with https://',
    )
  }
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

/** Where nobody sees progress: a large file is silent for a while. */
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

function endpoints(text: string): string[] {
  return text.split(',').map((each) => {
    const url = URL.parse(each)
    const known = url?.protocol === 'https:' || url?.protocol === 'http:'
    const bare = known && url.href === `${url.protocol}//${url.host}/` && url.host !== ''
    if (bare) return `${url.protocol}//${url.host}`
    throw new InvalidArgumentError('Wanted https://HOST:PORT, or http:// where etcd has no TLS')
  })
}

function prefix(text: string): string {
  const bare = text.replace(/\/+$/, '')
  if (bare.startsWith('/')) return bare
  throw new InvalidArgumentError('Wanted a path such as "/registry"')
}
