/**
 * Three real OpenBao nodes behind one address, whose balancer sends new connections to
 * healthy nodes only, and the same nodes by their three addresses: how many requests
 * fail, and how long it takes until all is well, when the node of the kept connections
 * is sealed, freezes, or its name moves.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { withinLimit } from '../../../src/base/call.ts'
import { systemClock } from '../../../src/base/clock.ts'
import { vaultConfig } from '../../../src/services/vault/config.ts'
import { createVaultProvider } from '../../../src/services/vault/provider.ts'
import { RecordedEvents } from '../../_lib/events.ts'
import { figure } from '../../_lib/figure.ts'
import { type Balancer, startBalancer } from '../../_lib/remote/balancer.ts'
import {
  type OpenBaoCluster,
  startOpenBaoCluster,
} from '../../_lib/services/vault/openbao_cluster.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { suite } from '../../_lib/uvu.ts'
import { until } from '../../_lib/wait.ts'

const LIMIT_MS = 2_500
/** More than there are kept connections, so that each would be met. */
const REQUESTS = 12
const KEPT = 8
const ITEM = { plaintext: Buffer.from('plaintext'), associatedData: Buffer.alloc(32) }

const test = suite('services/vault/balancer', () => ({}))

function providerAt(addresses: readonly string[], fields: object) {
  const config = v.parse(vaultConfig, {
    name: 'v',
    type: 'vault',
    allowInsecureHttp: true,
    ...fields,
    address: undefined,
    addresses,
  })
  const deps = { clock: systemClock, events: new RecordedEvents(), requestTimeoutMs: LIMIT_MS }
  const provider = createVaultProvider(config, deps)
  const wrap = () =>
    withinLimit(systemClock, LIMIT_MS, (call) => provider.wrap('1', [ITEM], call)).then(
      ([outcome]) => outcome?.ok === true,
      () => false,
    )
  return {
    wrap,
    async fillPool(): Promise<void> {
      await until('the login is done', wrap)
      await Promise.all(Array.from({ length: KEPT }, wrap))
    },
    /** Requests one after the other, as an API server's. */
    async measured(what: string): Promise<number> {
      const start = performance.now()
      let failed = 0
      let wellAfter = 0
      for (let turn = 0; turn < REQUESTS; turn += 1) {
        if (await wrap()) wellAfter ||= performance.now() - start
        else failed += 1
      }
      const well = wellAfter === 0 ? 'not well' : `well after ${Math.round(wellAfter)} ms`
      figure(`${what}: ${failed} failed of ${REQUESTS} requests, ${well}`)
      return failed
    },
    [Symbol.asyncDispose]: () => provider.close(),
  }
}

/** A standby learns of a new leader later than that one leads: until then nobody could be served there. */
async function servesAlone(address: string, fields: object): Promise<void> {
  await using provider = providerAt([address], fields)
  await until(`${address} serves`, provider.wrap)
}

/** What befalls the active node, to which all kept connections lead; and what is done after it. */
interface Blow {
  readonly what: string
  readonly strike: (cluster: OpenBaoCluster, active: number, balancer: Balancer) => unknown
  readonly mend: (cluster: OpenBaoCluster, active: number) => unknown
}

const BLOWS: readonly Blow[] = [
  {
    what: 'its name moves',
    strike: (_cluster, _active, balancer) => balancer.swallow(),
    mend: () => undefined,
  },
  {
    what: 'it is sealed',
    strike: (cluster, active) => cluster.seal(active),
    mend: (cluster, active) => cluster.unseal(active),
  },
  {
    what: 'it freezes',
    strike: (cluster, active) => cluster.freeze(active),
    mend: (cluster, active) => cluster.thaw(active),
  },
]

test('no request fails behind one address or three when the node of the kept connections is sealed, freezes or moves', async () => {
  await using folder = await tempFolder()
  await using cluster = await startOpenBaoCluster()
  const { provider: fields } = await cluster.setupTransit({ folder: folder.path })
  const failures: Record<string, number> = {}
  for (const { what, strike, mend } of BLOWS) {
    const active = await cluster.active()
    await using balancer = await startBalancer(cluster.addresses[active] ?? '')
    const others = cluster.addresses.filter((_, at) => at !== active)
    await using one = providerAt([balancer.address], fields)
    await using three = providerAt([balancer.address, ...others], fields)
    await one.fillPool()
    await three.fillPool()

    await strike(cluster, active, balancer)
    const [healthy = ''] = others
    balancer.target = healthy
    await Promise.all(others.map((address) => servesAlone(address, fields)))

    failures[`${what}, one address`] = await one.measured(`${what}, one address`)
    failures[`${what}, three addresses`] = await three.measured(`${what}, three addresses`)
    await mend(cluster, active)
    await cluster.settled()
  }
  assert.equal(
    Object.entries(failures).filter(([, failed]) => failed > 0),
    [],
  )
})

test.run()
