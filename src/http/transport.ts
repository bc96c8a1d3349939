/**
 * Connections to one key service: TLS settings and how many are kept open. Made
 * when first needed, so that a CA file that comes late is no reason to exit.
 *
 * @module
 */

import { readFile } from 'node:fs/promises'
import { Agent, type Dispatcher } from 'undici'
import { KmsError } from '../kms/errors.ts'

export interface TransportOptions {
  /** PEM of the authorities that may vouch for the service; the runtime's own where absent. */
  readonly caFile?: string | undefined
  /** The name in the service's certificate, where it is not the host of the address. */
  readonly serverName?: string | undefined
}

const CONNECTIONS = 8
/** Vault closes idle connections after five minutes. */
const KEEP_ALIVE_MS = 60_000
const CONNECT_TIMEOUT_MS = 2_000

export class Transport {
  readonly #options: TransportOptions
  #agent: Promise<Agent> | undefined

  constructor(options: TransportOptions) {
    this.#options = options
  }

  /** @throws KmsError `unavailable` when the CA file cannot be read; the next call tries again */
  dispatcher(): Promise<Dispatcher> {
    this.#agent ??= this.#connect().catch((error: unknown) => {
      this.#agent = undefined
      throw error
    })
    return this.#agent
  }

  async close(): Promise<void> {
    const agent = await this.#agent?.catch(() => undefined)
    this.#agent = undefined
    await agent?.destroy()
  }

  async #connect(): Promise<Agent> {
    const { caFile, serverName } = this.#options
    return new Agent({
      connections: CONNECTIONS,
      pipelining: 1,
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: KEEP_ALIVE_MS,
      connect: {
        timeout: CONNECT_TIMEOUT_MS,
        minVersion: 'TLSv1.2',
        ...(caFile === undefined ? {} : { ca: await readCa(caFile) }),
        ...(serverName === undefined ? {} : { servername: serverName }),
      },
    })
  }
}

async function readCa(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    throw new KmsError(`Cannot read CA file "${path}": check tls.caFile and its permissions`, {
      code: 'unavailable',
      cause,
    })
  }
}
