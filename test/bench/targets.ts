/**
 * What is measured: the empty service, the real OpenBao, the built bundle in front of OpenBao and
 * with a local key, and any other plugin in front of the same OpenBao.
 *
 * @module
 */

import { createKeyFile } from '../../src/services/local/key_file.ts'
import type { Transit } from '../_lib/services/vault/openbao.ts'
import type { Endpoint } from './job.ts'
import {
  OPERATIONS,
  type Operation,
  type Prepares,
  socketPrepares,
  transitPrepares,
  vaultPrepares,
} from './operations.ts'
import type { ServerProcess } from './processes.ts'
import { type Setup, vaultProvider } from './setup.ts'

/** Those named lean use tokens without Vault's `default` policy. */
export type TargetName = 'floor' | 'raw' | 'vault' | 'local' | 'peer' | 'raw-lean' | 'vault-lean'

export interface Target {
  readonly name: TargetName
  readonly endpoint: Endpoint
  /** What it is measured at. */
  readonly operations: readonly Operation[]
  readonly prepares: Prepares
  /** The server's own process. */
  readonly pid: number
  /** The key service behind it. */
  readonly behindPid: number | undefined
  /** From the start of the process to the first good Status. */
  readonly readyMs: number | undefined
}

/** They are measured at the highest concurrency alone. */
export const LEAN_TARGETS: ReadonlySet<TargetName> = new Set(['raw-lean', 'vault-lean'])
const LEAN: readonly Operation[] = ['Encrypt', 'Decrypt']
const RAW: readonly Operation[] = ['Encrypt', 'Decrypt', 'Cold v1']
const OF_ANY_PLUGIN: readonly Operation[] = ['Status', 'Encrypt', 'Decrypt']

/** @param peer the command that starts another plugin, if one is to be measured too */
export async function startTargets(
  setup: Setup,
  peer: string | undefined,
): Promise<readonly Target[]> {
  const { folder, bao, transit } = setup
  const lean = await bao.setupTransit({
    folder: folder.path,
    mount: 'lean',
    key: 'lean',
  })
  return [
    await floorTarget(setup),
    await rawTarget(setup, { name: 'raw', transit, operations: RAW }),
    await vaultTarget(setup, { name: 'vault', transit, operations: OPERATIONS }),
    await localTarget(setup),
    ...(peer === undefined ? [] : [await peerTarget(setup, peer)]),
    await rawTarget(setup, { name: 'raw-lean', transit: lean, operations: LEAN }),
    await vaultTarget(setup, { name: 'vault-lean', transit: lean, operations: LEAN }),
  ]
}

interface VaultOptions {
  readonly name: TargetName
  readonly transit: Transit
  readonly operations: readonly Operation[]
}

async function floorTarget({ folder, processes }: Setup): Promise<Target> {
  const server = await processes.floor({ folder: folder.at('floor') })
  return ofSocket(server, {
    name: 'floor',
    operations: ['Status', 'Encrypt', 'Decrypt', 'Repeat'],
    prepares: socketPrepares(server.socketPath),
    behindPid: undefined,
  })
}

async function rawTarget(
  { bao }: Setup,
  { name, transit, operations }: VaultOptions,
): Promise<Target> {
  return {
    name,
    endpoint: { kind: 'http', address: bao.address, token: await transit.login() },
    operations,
    prepares: transitPrepares(bao, transit),
    pid: bao.pid,
    behindPid: undefined,
    readyMs: undefined,
  }
}

async function vaultTarget(
  { folder, bao, processes }: Setup,
  { name, transit, operations }: VaultOptions,
): Promise<Target> {
  const server = await processes.plugin({
    folder: folder.at(name),
    provider: vaultProvider(transit),
  })
  const prepares = vaultPrepares(server.socketPath, bao, transit)
  return ofSocket(server, { name, operations, prepares, behindPid: bao.pid })
}

async function localTarget({ folder, processes }: Setup): Promise<Target> {
  const keyFile = folder.at('keys')
  await createKeyFile(keyFile, () => Date.now())
  const server = await processes.plugin({
    folder: folder.at('local'),
    provider: { type: 'local', keyFile },
  })
  return ofSocket(server, {
    name: 'local',
    operations: OF_ANY_PLUGIN,
    prepares: socketPrepares(server.socketPath),
    behindPid: undefined,
  })
}

async function peerTarget(setup: Setup, command: string): Promise<Target> {
  const { folder, bao, processes, transit } = setup
  const { mount, key, roleIdFile, secretIdFile } = transit
  const server = await processes.other(command, {
    folder: folder.at('peer'),
    environment: {
      PEER_VAULT_ADDRESS: bao.address,
      PEER_MOUNT: mount,
      PEER_KEY: key,
      PEER_ROLE_ID_FILE: roleIdFile,
      PEER_SECRET_ID_FILE: secretIdFile,
    },
  })
  return ofSocket(server, {
    name: 'peer',
    operations: OF_ANY_PLUGIN,
    prepares: socketPrepares(server.socketPath),
    behindPid: bao.pid,
  })
}

function ofSocket(
  { socketPath, pid, readyMs }: ServerProcess,
  rest: Pick<Target, 'name' | 'operations' | 'prepares' | 'behindPid'>,
): Target {
  return { ...rest, endpoint: { kind: 'socket', path: socketPath }, pid, readyMs }
}
