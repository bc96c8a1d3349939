/**
 * A whole cluster on loopback: an OpenBao, an etcd, and nodes that each have an API server and a
 * plugin of their own. Its times are short, so that no test takes minutes.
 *
 * @module
 */

import { mkdir } from 'node:fs/promises'
import { adminPage } from '../plugin/admin_page.ts'
import { type PluginProcess, startPluginProcess } from '../plugin/process.ts'
import { type OpenBao, startOpenBao, type Transit } from '../services/vault/openbao.ts'
import { type TempFolder, tempFolder } from '../temp_folder.ts'
import { until } from '../wait.ts'
import {
  type ApiServer,
  type ApiServerOptions,
  encryptionOf,
  startApiServer,
} from './api_server.ts'
import { type Etcd, startEtcd } from './etcd.ts'
import { metricSum } from './metrics.ts'

type Config = Readonly<Record<string, unknown>>

export interface Cluster extends AsyncDisposable {
  readonly folder: TempFolder
  readonly bao: OpenBao
  readonly transit: Transit
  readonly etcd: Etcd
  /** The provider in a plugin's config that uses the OpenBao. */
  readonly provider: Config
  /** Another node; all of them end with the cluster. */
  addNode(options?: NodeOptions): Promise<ClusterNode>
}

interface NodeOptions extends Partial<Pick<ApiServerOptions, 'flags' | 'reloads' | 'version'>> {
  readonly name?: string
  /** The EncryptionConfiguration, where it is not the usual one. */
  readonly encryption?: (socketPath: string) => object
  /** Where it is not the cluster's. */
  readonly etcd?: Etcd
  /** Merged into the plugin's usual config. */
  readonly config?: Config
  /** What starts at once: both, waiting until they are ready, or the one that is named. */
  readonly starts?: 'both' | 'plugin' | 'api server'
}

export class ClusterNode implements AsyncDisposable {
  readonly folder: string
  readonly socketPath: string
  readonly #cluster: Cluster
  readonly #options: NodeOptions
  #server: ApiServer | undefined
  #plugin: PluginProcess | undefined

  constructor(cluster: Cluster, options: NodeOptions) {
    this.#cluster = cluster
    this.#options = options
    this.folder = cluster.folder.at(`node-${options.name ?? 'one'}`)
    this.socketPath = `${this.folder}/kms.sock`
  }

  get server(): ApiServer {
    if (this.#server === undefined) throw new Error('The API server was not started')
    return this.#server
  }

  /** The plugin that runs, or that ran last. */
  get plugin(): PluginProcess {
    if (this.#plugin === undefined) throw new Error('The plugin was not started')
    return this.#plugin
  }

  /** The config that `startPlugin` without an argument writes. */
  config(extra: Config = {}): Config {
    return {
      providers: [this.#cluster.provider],
      rotation: { activationDelay: '1s' },
      health: { interval: '500ms' },
      admin: { listen: `unix://${this.folder}/admin.sock` },
      stateDir: `${this.folder}/state`,
      ...this.#options.config,
      ...extra,
    }
  }

  /** Starts a plugin in place of the last one, which is ended if it still runs. */
  async startPlugin(extra: Config = {}): Promise<PluginProcess> {
    await this.#plugin?.[Symbol.asyncDispose]()
    await mkdir(this.folder, { recursive: true, mode: 0o700 })
    this.#plugin = await startPluginProcess({ folder: this.folder, config: this.config(extra) })
    return this.#plugin
  }

  /**
   * Starts the API server for the first time. Resolves when it is ready, or at once with
   * `launchOnly`.
   */
  async startServer({ launchOnly = false } = {}): Promise<ApiServer> {
    const { name = 'one', etcd, encryption, flags, reloads, version } = this.#options
    this.#server = await startApiServer(
      {
        folder: this.#cluster.folder.path,
        etcd: etcd ?? this.#cluster.etcd,
        name,
        encryption: (encryption ?? encryptionOf)(this.socketPath),
        ...(flags === undefined ? {} : { flags }),
        ...(reloads === undefined ? {} : { reloads }),
        ...(version === undefined ? {} : { version }),
      },
      { launchOnly },
    )
    return this.#server
  }

  /**
   * Ends the API server and starts it again. Resolves when it is ready, to the milliseconds that
   * this took.
   */
  async restartServer(signal: NodeJS.Signals = 'SIGTERM'): Promise<number> {
    await this.server.process.stop(signal)
    const start = performance.now()
    await this.server.start()
    return performance.now() - start
  }

  /** The page of the plugin's admin server at that path. */
  adminPage(path: string): Promise<string> {
    return adminPage(`${this.folder}/admin.sock`, path)
  }

  /** A number out of the plugin's metrics. */
  async pluginMetric(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    return metricSum(await this.adminPage('/metrics'), name, labels)
  }

  /** Resolves to the key id that Status answers as soon as the plugin is well. */
  async healthyPlugin(): Promise<string> {
    return await until(
      'Status is ok',
      async () => {
        const status = await this.plugin.client.v2.status().catch(() => undefined)
        return status?.healthz === 'ok' ? status.keyId : undefined
      },
      { limitMs: 30_000, everyMs: 50 },
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server?.[Symbol.asyncDispose]()
    await this.#plugin?.[Symbol.asyncDispose]()
  }
}

export async function startCluster(): Promise<Cluster> {
  await using started = new AsyncDisposableStack()
  const folder = started.use(await tempFolder())
  const bao = started.use(await startOpenBao())
  const transit = await bao.setupTransit({ folder: folder.path })
  const etcd = started.use(await startEtcd(folder.path))
  const all = started.move()
  const cluster: Cluster = {
    folder,
    bao,
    transit,
    etcd,
    provider: { name: 'bao', type: 'vault', allowInsecureHttp: true, ...transit.provider },
    async addNode(options = {}) {
      const node = all.use(new ClusterNode(cluster, options))
      const { starts = 'both' } = options
      if (starts !== 'api server') {
        await node.startPlugin()
        if (starts === 'both') await node.healthyPlugin()
      }
      if (starts !== 'plugin') await node.startServer({ launchOnly: starts === 'api server' })
      return node
    },
    [Symbol.asyncDispose]: () => all[Symbol.asyncDispose](),
  }
  return cluster
}
