/** A client of several API servers, as one behind a load balancer that looks after them. @module */

import { setTimeout as pause } from 'node:timers/promises'
import { KubeApi } from '../cluster/kube_api.ts'
import type { Machine } from './machine.ts'

/** The request was never sent, so another one may have it. */
const NEVER_SENT = ['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'UND_ERR_CONNECT_TIMEOUT']
const CA = '/etc/kubernetes/pki/ca.crt'
const LOOK_EVERY_MS = 1_000
/** A node without power answers nothing at all. */
const LOOK_LIMIT_MS = 2_000
/** Whoever waits for longer is answered by an API server that has just started on a node that came back. */
const CONNECT_LIMIT_MS = 4_000

interface Server {
  readonly api: KubeApi
  /** As its /readyz said at the last look, unless it gave no answer to somebody since. */
  ready: boolean
}

export class BalancedApi extends KubeApi {
  /** So many requests found nobody at first, and were given to another one. */
  passedOn = 0
  readonly #servers: readonly Server[]
  readonly #stopping = new AbortController()
  readonly #looking: Promise<unknown>
  #turn = 0

  private constructor(token: string, caFile: string, addresses: readonly [string, ...string[]]) {
    super(addresses[0], token, caFile)
    this.#servers = addresses.map((each) => ({
      api: new KubeApi(each, token, caFile, { connectMs: CONNECT_LIMIT_MS }),
      ready: true,
    }))
    this.#looking = Promise.all(this.#servers.map((each) => this.#look(each)))
  }

  /** @param machines nodes of one cluster, whose first one makes an account for it */
  static async of(machines: readonly [Machine, ...Machine[]]): Promise<BalancedApi> {
    const [first, ...others] = machines
    const kubectl = (...args: string[]) => first.run('kubectl', ...args)
    await kubectl('create', 'serviceaccount', 'load')
    const whom = ['--clusterrole=cluster-admin', '--serviceaccount=default:load']
    await kubectl('create', 'clusterrolebinding', 'load', ...whom)
    const token = (await kubectl('create', 'token', 'load', '--duration=4h')).trim()
    const address = (machine: Machine) => `https://${machine.address}:6443`
    return new BalancedApi(token, first.at(CA), [address(first), ...others.map(address)])
  }

  override async send(...args: Parameters<KubeApi['send']>): ReturnType<KubeApi['send']> {
    for (let others = this.#servers.length - 1; ; others -= 1) {
      const server = this.#next()
      try {
        return await server.api.send(...args)
      } catch (error) {
        // Its node may be back before the next look, and the API server on it not yet ready.
        server.ready = false
        if (others === 0 || !neverSent(error)) throw error
        this.passedOn += 1
      }
    }
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort()
    await this.#looking
    for (const { api } of this.#servers) await api[Symbol.asyncDispose]()
  }

  /** One that starts answers before it knows its own rules, and would refuse what is allowed. */
  async #look(server: Server): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      server.ready = await server.api.health('/readyz', LOOK_LIMIT_MS).then(
        ({ ok }) => ok,
        () => false,
      )
      await pause(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined)
    }
  }

  #next(): Server {
    const ready = this.#servers.filter((each) => each.ready)
    this.#turn += 1
    const server = ready[this.#turn % ready.length]
    if (server === undefined) throw new Error('no API server is ready')
    return server
  }
}

function neverSent(error: unknown): boolean {
  return error instanceof Error && 'code' in error && NEVER_SENT.includes(String(error.code))
}
