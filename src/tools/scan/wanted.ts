/** What objects should be encrypted with, according to a person or to a running plugin. @module */

import { KmsError } from '../../base/errors.ts'
import { endpointsOf } from '../../config/endpoints.ts'
import { loadConfig } from '../../config/load.ts'
import { printable } from '../../console/output.ts'
import { connectKms, RpcError } from '../../grpc/client.ts'
import { reach } from '../../grpc/reach.ts'
import type { Wanted } from '../etcd/verdict.ts'

export interface WantedFlags {
  readonly keyId?: string
  readonly socket?: string
  readonly config?: string
}

const STATUS_MS = 3_000

/**
 * @returns undefined where nothing was named
 * @throws ConfigError, or KmsError where the plugin does not answer
 */
export async function wantedOf({
  keyId,
  socket,
  config,
}: WantedFlags): Promise<Wanted | undefined> {
  if (keyId !== undefined) return { keyIds: new Set([keyId]) }
  if (socket !== undefined) return { keyIds: new Set([await keyIdOf(socket)]) }
  if (config === undefined) return undefined
  const endpoints = endpointsOf(await loadConfig(config))
  const keyIds = new Set<string>()
  for (const each of endpoints) keyIds.add(await keyIdOf(each.socket.path))
  const writing = endpoints.map(({ providers }) => providers.filter(writes).length)
  return { keyIds, providers: Math.min(...writing) }
}

function writes({
  decryptOnly,
  activeFrom = 0,
}: {
  readonly decryptOnly?: boolean | undefined
  readonly activeFrom?: number | undefined
}): boolean {
  return decryptOnly !== true && activeFrom <= Date.now()
}

async function keyIdOf(socketPath: string): Promise<string> {
  await reach(socketPath, STATUS_MS)
  const client = connectKms(socketPath, { timeoutMs: STATUS_MS })
  try {
    const { keyId } = await client.v2.status()
    if (keyId !== '') return keyId
    throw new KmsError(`Status of ${socketPath} has no key id`, { code: 'protocol' })
  } catch (error) {
    if (!(error instanceof RpcError)) throw error
    throw new KmsError(
      `Cannot ask ${socketPath} for its key id: ${error.status}: ${printable(error.message)}. --key-id names it instead`,
      { code: 'unavailable', cause: error },
    )
  } finally {
    client.close()
  }
}
