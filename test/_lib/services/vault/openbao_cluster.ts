/**
 * Real OpenBao nodes, or Vault's in their place, in one raft cluster on loopback, whose election, loss and
 * return can be watched and brought about.
 *
 * @module
 */

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout } from 'node:timers'
import * as v from 'valibot'
import { freePort } from '../../free_port.ts'
import { freeze } from '../../freeze.ts'
import { until } from '../../wait.ts'
import { KEY_SERVER, serverConfig } from './key_server.ts'
import {
  initReply,
  type OpenBao,
  Server,
  setupTransit,
  type Transit,
  type TransitOptions,
} from './openbao.ts'

interface ClusterOptions {
  readonly nodes?: number
  /** Standbys forward all requests, as Vault's do; by default they serve what needs no write. */
  readonly standbyReads?: boolean
}

export interface OpenBaoCluster extends AsyncDisposable {
  /** One for each node, running or not. */
  readonly addresses: readonly string[]
  readonly rootToken: string
  /** Waits for a node that says of itself that it is active. */
  active(): Promise<number>
  /** The nodes that answer as standbys now. */
  standbys(): Promise<readonly number[]>
  /** Sends a request with the root token, to the active node where none is named. */
  request(method: 'GET' | 'POST' | 'DELETE', path: string, body?: object): Promise<unknown>
  /** Returns when every node knows of it. */
  setupTransit(options: TransitOptions): Promise<Transit>
  /** Waits until every running node has what is written now; standbys lag by milliseconds. */
  settled(): Promise<void>
  rotate(transit: Transit): Promise<void>
  /** The active node steps down, and waits a while before it stands for election again. */
  stepDown(): Promise<void>
  stop(index: number, signal?: NodeJS.Signals): Promise<void>
  /** Starts a node at the same address and unseals it. */
  start(index: number): Promise<void>
  freeze(index: number): void
  thaw(index: number): void
  seal(index: number): Promise<void>
  unseal(index: number): Promise<void>
}

const ACTIVE = 200
const STANDBY = 429
const NOT_INITIALISED = 501
const SILENCE_MS = 1_000

const raftReply = v.object({
  data: v.object({ config: v.object({ servers: v.array(v.object({ voter: v.boolean() })) }) }),
})
const leaderReply = v.object({ raft_committed_index: v.number(), raft_applied_index: v.number() })
/** Elections take a few seconds, on a busy machine more. */
const ELECTION = { everyMs: 50 }

export async function startOpenBaoCluster({
  nodes: count = 3,
  standbyReads = true,
}: ClusterOptions = {}): Promise<OpenBaoCluster> {
  const folder = await mkdtemp(join(tmpdir(), 'tr-bao-'))
  const servers = await prepare(folder, count, standbyReads)
  const node = (index: number) => {
    const found = servers[index]
    if (found === undefined) throw new Error(`No node ${index}`)
    return found
  }
  const unseal = async (server: Server) => {
    await server.send('POST', 'sys/unseal', { key: server.unsealKey }, '')
    await until('the node takes part', async () => serves(await statusOf(server)), ELECTION)
  }
  const dispose = async () => {
    await Promise.all(servers.map((server) => server.stop('SIGKILL')))
    await rm(folder, { recursive: true, force: true })
  }
  const rootToken = await form(servers, unseal).catch(async (error: unknown) => {
    await dispose()
    throw error
  })
  const active = () =>
    until(
      'a node is active',
      async () => {
        const index = (await statuses(servers)).indexOf(ACTIVE)
        return index >= 0 && [index]
      },
      ELECTION,
    ).then(([index = 0]) => index)
  const request: OpenBao['request'] = async (method, path, body) =>
    node(await active()).send(method, path, body, rootToken)
  const settled = async () => {
    const { raft_committed_index } = await raftStand(node(await active()))
    await until('all nodes have caught up', async () => {
      const stands = await Promise.all(servers.map((one) => orSilence(raftStand(one))))
      return stands.every(
        (stand) => stand === undefined || stand.raft_applied_index >= raft_committed_index,
      )
    })
  }
  return {
    addresses: servers.map(({ address }) => address),
    rootToken,
    active,
    standbys: async () =>
      (await statuses(servers)).flatMap((status, at) => (status === STANDBY ? [at] : [])),
    request,
    setupTransit: async (options) => {
      const transit = await setupTransit(node(await active()), request, options)
      await settled()
      return transit
    },
    settled,
    rotate: async ({ mount, key }) => {
      await request('POST', `${mount}/keys/${key}/rotate`)
    },
    stepDown: async () => {
      await request('POST', 'sys/step-down')
    },
    stop: (index, signal) => node(index).stop(signal),
    start: async (index) => {
      await node(index).start()
      await unseal(node(index))
    },
    freeze: (index) => freeze(node(index).pid),
    thaw: (index) => process.kill(node(index).pid, 'SIGCONT'),
    seal: async (index) => {
      await node(index).send('POST', 'sys/seal', undefined, rootToken)
    },
    unseal: (index) => unseal(node(index)),
    [Symbol.asyncDispose]: dispose,
  }
}

/** Files and ports of all nodes; each knows all others, so that any may be the first that is found. */
async function prepare(folder: string, count: number, standbyReads: boolean): Promise<Server[]> {
  const ports = await Promise.all(Array.from({ length: count * 2 }, freePort))
  const apiPorts = ports.slice(0, count)
  const servers: Server[] = []
  for (const [at, port] of apiPorts.entries()) {
    const home = join(folder, `node-${at}`)
    await mkdir(join(home, 'data'), { recursive: true })
    const retry_join = apiPorts
      .filter((other) => other !== port)
      .map((other) => ({ leader_api_addr: `http://127.0.0.1:${other}` }))
    const raft = {
      path: join(home, 'data'),
      node_id: `node-${at}`,
      performance_multiplier: 1,
      // Votes are given when these look; by default every ten seconds.
      autopilot_update_interval: '200ms',
      autopilot_reconcile_interval: '500ms',
      // The first node makes the cluster.
      ...(at === 0 ? {} : { retry_join }),
    }
    const clusterAddress = `127.0.0.1:${ports[count + at]}`
    const tcp = {
      address: `127.0.0.1:${port}`,
      cluster_address: clusterAddress,
      tls_disable: true,
    }
    const config = {
      storage: { raft },
      listener: { tcp },
      api_addr: `http://127.0.0.1:${port}`,
      cluster_addr: `https://${clusterAddress}`,
      ...(KEY_SERVER.vault === undefined ? { disable_standby_reads: !standbyReads } : {}),
      log_level: 'warn',
      ...(await serverConfig()),
    }
    await writeFile(join(home, 'config.json'), JSON.stringify(config))
    servers.push(new Server(home, port, false))
  }
  return servers
}

/** @returns the root token */
async function form(
  servers: readonly Server[],
  unseal: (server: Server) => Promise<void>,
): Promise<string> {
  const [first, ...others] = servers
  if (first === undefined) throw new Error('No nodes')
  await Promise.all(servers.map((server) => server.start()))
  const shares = { secret_shares: 1, secret_threshold: 1 }
  const init = v.parse(initReply, await first.send('POST', 'sys/init', shares, ''))
  for (const server of servers) server.unsealKey = init.keys[0]
  await unseal(first)
  const leads = async () => (await statusOf(first)) === ACTIVE
  await until('the first node is active', leads, ELECTION)
  // A node that joins has no vote until autopilot trusts it; without votes there is no failover.
  const autopilot = 'sys/storage/raft/autopilot/configuration'
  await first.send('POST', autopilot, { server_stabilization_time: '1s' }, init.root_token)
  await Promise.all(
    others.map(async (server) => {
      const found = async () => (await statusOf(server)) !== NOT_INITIALISED
      await until('the node found the cluster', found, ELECTION)
      await unseal(server)
    }),
  )
  await untilVoters(first, init.root_token, servers.length)
  return init.root_token
}

async function untilVoters(active: Server, token: string, count: number): Promise<void> {
  await until(
    'every node has a vote',
    async () => {
      const reply = await active.send('GET', 'sys/storage/raft/configuration', undefined, token)
      const { servers } = v.parse(raftReply, reply).data.config
      return servers.length === count && servers.every(({ voter }) => voter)
    },
    ELECTION,
  )
}

async function raftStand(server: Server): Promise<v.InferOutput<typeof leaderReply>> {
  return v.parse(leaderReply, await server.send('GET', 'sys/leader', undefined, ''))
}

function statuses(servers: readonly Server[]): Promise<(number | undefined)[]> {
  return Promise.all(servers.map(statusOf))
}

/** Undefined for a node that answers nothing; a frozen one takes the request and stays silent. */
function statusOf(server: Server): Promise<number | undefined> {
  return orSilence(server.status())
}

function orSilence<T>(answer: Promise<T>): Promise<T | undefined> {
  const silence = new Promise<undefined>((resolve) => {
    setTimeout(() => resolve(undefined), SILENCE_MS).unref()
  })
  return Promise.race([answer.catch(() => undefined), silence])
}

function serves(status: number | undefined): boolean {
  return status === ACTIVE || status === STANDBY
}
