/**
 * Three key services that are configured together: two real OpenBao servers and a local key file,
 * each with ways to stop it and to bring it back.
 *
 * @module
 */

import { rename } from 'node:fs/promises'
import { createKeyFile } from '../../../src/services/local/key_file.ts'
import { type TempFolder, tempFolder } from '../temp_folder.ts'
import { type OpenBao, startOpenBao, type Transit } from './vault/openbao.ts'

/**
 * `killed`: at once, as by a power failure; `stopped`: as by an operator; `frozen`: it accepts
 * connections and answers nothing.
 */
export type Outage = 'killed' | 'stopped' | 'frozen'
export type ServiceName = 'a' | 'b' | 'local'

interface KeyService {
  /** In a config's `providers`. */
  readonly provider: Readonly<Record<string, unknown>> & { readonly id: string }
  stop(how: Outage): Promise<void>
  /** Ends the outage, of whatever kind it is. */
  start(): Promise<void>
}

export interface BaoService extends KeyService {
  readonly bao: OpenBao
  readonly transit: Transit
}

export interface KeyServices
  extends AsyncDisposable,
    Readonly<Record<'a' | 'b', BaoService> & Record<'local', KeyService>> {
  readonly folder: TempFolder
}

export async function startKeyServices(): Promise<KeyServices> {
  const folder = await tempFolder()
  const [a, b, local] = await Promise.all([
    baoService('a', folder),
    baoService('b', folder),
    localService(folder.at('keys')),
  ])
  return {
    folder,
    a,
    b,
    local,
    async [Symbol.asyncDispose]() {
      await Promise.all([a.bao[Symbol.asyncDispose](), b.bao[Symbol.asyncDispose]()])
      await folder[Symbol.asyncDispose]()
    },
  }
}

async function baoService(name: 'a' | 'b', folder: TempFolder): Promise<BaoService> {
  const bao = await startOpenBao()
  // Different names of the key keep their credential files apart.
  const transit = await bao.setupTransit({ folder: folder.path, key: `key-${name}` })
  let frozen = false
  return {
    bao,
    transit,
    provider: {
      name,
      id: `bao:${name}`,
      type: 'vault',
      allowInsecureHttp: true,
      ...transit.provider,
    },
    async stop(how) {
      frozen = how === 'frozen'
      if (frozen) bao.freeze()
      else await bao.stop(how === 'killed' ? 'SIGKILL' : 'SIGTERM')
    },
    async start() {
      if (frozen) bao.thaw()
      else await bao.start()
    },
  }
}

async function localService(keyFile: string): Promise<KeyService> {
  const { id } = await createKeyFile(keyFile, () => Date.now())
  const aside = `${keyFile}.away`
  return {
    provider: { name: 'local', id: `local:${id}`, type: 'local', keyFile },
    stop: () => rename(keyFile, aside),
    start: () => rename(aside, keyFile),
  }
}
