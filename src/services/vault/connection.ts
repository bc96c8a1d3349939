/**
 * The way to Vault or OpenBao with a login: the nodes of the cluster, their TLS, and the token that
 * all requests share. Whoever uses a key there has one.
 *
 * @module
 */

import type * as v from 'valibot'
import { withinLimit } from '../../base/call.ts'
import type { Clock } from '../../base/clock.ts'
import type { EventSink } from '../../base/events.ts'
import type { NodeFacts } from '../../base/facts.ts'
import type { Call } from '../../base/provider.ts'
import { HttpClient } from '../../remote/http/client.ts'
import { Transport } from '../../remote/http/transport.ts'
import type { FetchSvids } from '../../remote/jwt_svid.ts'
import { TokenSource } from '../../remote/token_source.ts'
import { VaultApi, type VaultReply, type VaultRequest } from './api.ts'
import { VaultCluster } from './cluster.ts'
import { addressesOf, type VaultConfig } from './config.ts'
import { claimedBy, createVaultLogin, loginNamespace } from './login/auth.ts'

type ConnectionConfig = Pick<
  VaultConfig,
  'name' | 'address' | 'addresses' | 'namespace' | 'tls' | 'proxy' | 'auth'
>

export interface ConnectionDeps {
  readonly clock: Clock
  readonly events: EventSink
  readonly requestTimeoutMs: number
  /** Required where the login uses JWT-SVIDs. */
  readonly fetchSvids?: FetchSvids
  /** Required where the login signs facts. */
  readonly facts?: NodeFacts | undefined
}

/** How long revoking the token may take where no other limit is given. */
const LEAVE_MS = 2_000

export class VaultConnection {
  readonly #transport: Transport
  readonly #cluster: VaultCluster
  readonly #api: VaultApi
  readonly #tokens: TokenSource
  /** Paths of the facts that the login signs. */
  readonly #claimed: readonly string[]
  readonly #stopFollowing: (() => void) | undefined

  constructor(
    config: ConnectionConfig,
    { clock, events, requestTimeoutMs, facts, fetchSvids }: ConnectionDeps,
  ) {
    const { namespace, tls, proxy, auth, name } = config
    const deps = { clock, events, random: Math.random, provider: name }
    this.#transport = new Transport({ provider: name, tls, proxy, clock, events })
    const clients = addressesOf(config).map((address) => new HttpClient(address, this.#transport))
    this.#cluster = new VaultCluster(clients, deps)
    this.#api = new VaultApi(this.#cluster, namespace)
    const login = createVaultLogin(auth, {
      api: new VaultApi(this.#cluster, loginNamespace(auth) ?? namespace),
      ...deps,
      facts,
      fetchSvids,
      certFile: tls.certFile,
      refresh: () => this.#transport.refresh(),
    })
    this.#tokens = new TokenSource(login, { ...deps, requestTimeoutMs })
    this.#claimed = claimedBy(auth).map(([, path]) => path)
    this.#stopFollowing = facts?.onChange(this.#claimed, () => {
      withinLimit(clock, requestTimeoutMs, (call) => this.#tokens.followOrEnd(call)).catch(
        // The next look at the key tries again.
        () => undefined,
      )
    })
  }

  /** Follows what the login signs, before anything is asked about the key. */
  async follow(call: Call): Promise<void> {
    if (this.#claimed.length > 0) await this.#tokens.followOrEnd(call)
  }

  checkNodes(): Promise<void> {
    return this.#cluster.checkNodes()
  }

  /** Asks with the shared token; where it is denied, logs in again and repeats the request once. */
  request<TSchema extends v.GenericSchema>(
    request: VaultRequest<TSchema>,
    call: Call,
  ): Promise<VaultReply<v.InferOutput<TSchema>>> {
    return this.withToken((token) => this.#api.request({ ...request, token }, call), call)
  }

  /** Asks once, with the token that is there: a refusal is an answer, and no reason to log in again. */
  requestOnce<TSchema extends v.GenericSchema>(
    request: VaultRequest<TSchema>,
    call: Call,
  ): Promise<VaultReply<v.InferOutput<TSchema>>> {
    return this.#api.request(request, call)
  }

  withToken<T>(work: (token: string | undefined) => Promise<T>, call: Call): Promise<T> {
    return this.#tokens.run(work, call)
  }

  async close(limitMs = LEAVE_MS): Promise<void> {
    this.#stopFollowing?.()
    await this.#tokens.end(limitMs)
    await this.#transport.close()
  }
}
