/**
 * A key of OpenBao that signs, plugins that each sign with it for an API server of their own, and
 * clients that want tokens and show them all the time.
 *
 * @module
 */

import { mkdir } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { createKeyFile } from '../../../src/services/local/key_file.ts'
import { type PluginProcess, startWellPlugin } from '../plugin/process.ts'
import { type OpenBao, startOpenBao, type Transit } from '../services/vault/openbao.ts'
import { type TempFolder, tempFolder } from '../temp_folder.ts'
import type { ApiServer } from './api_server.ts'
import { type Etcd, startEtcd } from './etcd.ts'
import { isTaken, kidOf, newToken } from './service_accounts.ts'

export const ACTIVATION_DELAY_MS = 4_000

export interface SignerScene extends AsyncDisposable {
  readonly folder: TempFolder
  readonly bao: OpenBao
  readonly transit: Transit
  readonly etcd: Etcd
}

export async function startScene(): Promise<SignerScene> {
  await using started = new AsyncDisposableStack()
  const folder = started.use(await tempFolder())
  const [bao, etcd] = await Promise.all([startOpenBao(), startEtcd(folder.path)])
  started.use(bao)
  started.use(etcd)
  const keySettings = { type: 'ecdsa-p256' }
  const options = { folder: folder.path, key: 'k8s-sa', keySettings, signs: true }
  const transit = await bao.setupTransit(options)
  const all = started.move()
  return { folder, bao, transit, etcd, [Symbol.asyncDispose]: () => all[Symbol.asyncDispose]() }
}

/** A plugin in a folder of its own; its KMS has a key file, so that an outage is one of the signer alone. */
export async function startSigner(
  { folder, transit }: SignerScene,
  name = 'one',
  signer: object = {},
  { takeOver = false, log = {} }: { readonly takeOver?: boolean; readonly log?: object } = {},
): Promise<PluginProcess> {
  const own = folder.at(`node-${name}`)
  await mkdir(own, { recursive: true, mode: 0o700 })
  await createKeyFile(folder.at('keys'), () => Date.now()).catch(() => undefined)
  const config = {
    providers: [{ name: 'here', type: 'local', keyFile: folder.at('keys') }],
    health: { interval: '250ms', staleAfter: '10s' },
    log,
    stateDir: `${own}/state`,
    signer: {
      socket: { path: `${own}/signer.sock` },
      key: { type: 'vault', allowInsecureHttp: true, ...transit.provider },
      refreshHint: '1s',
      activationDelay: `${ACTIVATION_DELAY_MS}ms`,
      ...signer,
    },
  }
  return await startWellPlugin({ folder: own, config, takeOver })
}

export const socketOf = ({ folder }: SignerScene, name = 'one') =>
  folder.at(`node-${name}/signer.sock`)
export const withSigner = (socket: string) => [`--service-account-signing-endpoint=${socket}`]

interface Clients {
  readonly counts: {
    asked: number
    failed: string[]
    /** The longest time that a token was waited for. */
    longestMs: number
  }
  stop(): Promise<void>
}

/** Clients that show every token they have to every API server that runs, and want new ones. */
export function startClients(
  servers: readonly ApiServer[],
  tokens: string[],
  down: Set<ApiServer>,
): Clients {
  const counts = { asked: 0, failed: [] as string[], longestMs: 0 }
  let over = false
  const check = async (server: ApiServer) => {
    const start = performance.now()
    const token = await newToken(server)
    counts.longestMs = Math.max(counts.longestMs, Math.round(performance.now() - start))
    tokens.push(token)
    for (const each of new Set([token, tokens[0] ?? token, tokens.at(-7) ?? token])) {
      counts.asked += 1
      if (!(await isTaken(server, each))) counts.failed.push(`not taken: ${kidOf(each)}`)
    }
  }
  const lane = async (server: ApiServer) => {
    while (!over) {
      if (down.has(server)) await pause(20)
      else {
        await check(server).catch((error: unknown) => {
          // One that was stopped meanwhile is not asked any more.
          if (!down.has(server)) counts.failed.push(String(error))
        })
      }
    }
  }
  const lanes = servers.map(lane)
  return {
    counts,
    async stop() {
      over = true
      await Promise.all(lanes)
    },
  }
}
