/**
 * The faults that can happen to a node and its key service, in a random order that a seed
 * reproduces.
 *
 * @module
 */

import { createKeyFile } from '../../src/services/local/key_file.ts'
import { encryptionOf } from '../_lib/cluster/api_server.ts'
import type { Cluster, ClusterNode } from '../_lib/cluster/cluster.ts'
import { changeConfig } from '../_lib/plugin/config_change.ts'
import type { SeededRandom } from '../_lib/seeded_random.ts'

export interface Fault {
  readonly name: string
  /** Two of one place are never at the same time. */
  readonly place: 'key service' | 'plugin' | 'API server' | 'config' | 'EncryptionConfiguration'
  readonly begin: () => unknown
  /** Brings back what was taken away, and does not wait until it is well. */
  readonly end: () => unknown
}

/** Where something happens and nothing is away. */
const passes = () => undefined

/** The plugin must have been started with the config that `usedConfig` gives. */
export class Faults {
  readonly #cluster: Cluster
  readonly #node: ClusterNode
  #localWrites = false
  #timeout = 3

  constructor(cluster: Cluster, node: ClusterNode) {
    this.#cluster = cluster
    this.#node = node
  }

  /** Two providers, one of which changes between writing and reading alone. */
  usedConfig(): Readonly<Record<string, unknown>> {
    const local = { name: 'local', type: 'local', keyFile: this.#keyFile }
    return this.#node.config({
      providers: [this.#cluster.provider, { ...local, decryptOnly: !this.#localWrites }],
      protection: { mode: 'any', holdTime: '4s', returnTime: '5s' },
    })
  }

  async start(): Promise<void> {
    await createKeyFile(this.#keyFile, () => Date.now())
    await this.#node.startPlugin(this.usedConfig())
  }

  all(): readonly Fault[] {
    const { bao, transit } = this.#cluster
    const node = this.#node
    const { process } = node.server
    const pluginBack = () => node.startPlugin(this.usedConfig())
    const killed = (signal: NodeJS.Signals) => ({
      name: `ended with ${signal}`,
      place: 'API server' as const,
      begin: () => process.stop(signal),
      end: () => process.launch(),
    })
    return [
      { name: 'stopped', place: 'key service', begin: () => bao.stop(), end: () => bao.start() },
      { name: 'frozen', place: 'key service', begin: bao.freeze, end: bao.thaw },
      { name: 'sealed', place: 'key service', begin: bao.seal, end: bao.unseal },
      { name: 'tokens revoked', place: 'key service', begin: transit.revokeTokens, end: passes },
      { name: 'rotated', place: 'key service', begin: () => bao.rotate(transit), end: passes },
      {
        name: 'killed',
        place: 'plugin',
        begin: () => node.plugin.stop('SIGKILL'),
        end: pluginBack,
      },
      {
        name: 'ended',
        place: 'plugin',
        begin: () => node.plugin.stop(),
        end: pluginBack,
      },
      killed('SIGKILL'),
      killed('SIGTERM'),
      { name: 'changed', place: 'config', begin: () => this.#changeConfig(), end: passes },
      {
        name: 'changed',
        place: 'EncryptionConfiguration',
        begin: () => this.#changeEncryption(),
        end: passes,
      },
    ]
  }

  get #keyFile(): string {
    return this.#cluster.folder.at('local-keys')
  }

  async #changeConfig(): Promise<void> {
    this.#localWrites = !this.#localWrites
    await changeConfig(this.#node.plugin, this.usedConfig())
  }

  /** Another content is another set of providers to an API server: new seeds, and an empty cache. */
  async #changeEncryption(): Promise<void> {
    this.#timeout = this.#timeout === 3 ? 4 : 3
    const text = JSON.stringify(encryptionOf(this.#node.socketPath))
    await this.#node.server.configure(
      text.replace(/"timeout":"\ds"/, `"timeout":"${this.#timeout}s"`),
    )
  }
}

/** Deals one or two faults of different places at a time, and each once before any comes again. */
export class FaultDeck {
  readonly #faults: readonly Fault[]
  readonly #random: SeededRandom
  #left: Fault[] = []

  constructor(faults: readonly Fault[], random: SeededRandom) {
    this.#faults = faults
    this.#random = random
  }

  deal(): readonly Fault[] {
    const first = this.#take()
    const two = this.#random.below(2) === 0
    const next = this.#left.at(-1)
    if (!two || next === undefined || next.place === first.place) return [first]
    return [first, this.#take()]
  }

  #take(): Fault {
    if (this.#left.length === 0) this.#left = this.#shuffled()
    const taken = this.#left.pop()
    if (taken === undefined) throw new Error('No faults')
    return taken
  }

  #shuffled(): Fault[] {
    const rest = [...this.#faults]
    return this.#faults.flatMap(() => rest.splice(this.#random.below(rest.length), 1))
  }
}
