/** The options that say where an API server's objects are stored. @module */

import { type Command, InvalidArgumentError, Option } from 'commander'
import { isUnnamed, PREFIX, type StorageFlags } from '../tools/etcd/storage.ts'
import { commaList } from './lists.ts'

const STORAGE = 'Where the objects are:'

export function addStorageOptions(command: Command): Command {
  return addEtcdOptions(command).addOption(
    new Option('--snapshot <file>', 'instead: what "etcdctl snapshot save" wrote').helpGroup(
      STORAGE,
    ),
  )
}

/** For commands that need a running etcd. */
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

/** Ends the command where options contradict each other. */
export function checkStorageFlags(flags: StorageFlags, command: Command): void {
  if (isUnnamed(flags)) command.error('Option --endpoints or --snapshot is needed, and not both')
  checkStorage(flags, command)
}

/** Like {@link checkStorageFlags}, for commands that need neither etcd nor a file. */
export function checkStorage(flags: StorageFlags, command: Command): void {
  if (flags.endpoints !== undefined && flags.snapshot !== undefined) {
    command.error('Option --endpoints or --snapshot is needed, and not both')
  }
  checkEtcdFlags(flags, command)
}

/** Checks the options of etcd alone, for commands that may do without it. */
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

function endpoints(text: string): string[] {
  return commaList(text).map((each) => {
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
