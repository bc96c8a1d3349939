/** Vault and OpenBao under a path, behind a gateway; against the real server. @module */

import { Buffer } from 'node:buffer'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { withinLimit } from '../../../src/base/call.ts'
import { systemClock } from '../../../src/base/clock.ts'
import { type KmsError, toKmsError } from '../../../src/base/errors.ts'
import { vaultConfig } from '../../../src/services/vault/config.ts'
import { createVaultProvider } from '../../../src/services/vault/provider.ts'
import { RecordedEvents } from '../../_lib/events.ts'
import { startOpenBao } from '../../_lib/services/vault/openbao.ts'
import {
  type OpenBaoCluster,
  startOpenBaoCluster,
} from '../../_lib/services/vault/openbao_cluster.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { suite } from '../../_lib/uvu.ts'
import { type Gateway, startGateway } from './gateway.ts'

const LIMIT_MS = 2_500
const ITEM = { plaintext: Buffer.from('plaintext'), associatedData: Buffer.alloc(32) }
const test = suite('services/vault/path', () => ({}))

function providerOf(change: object) {
  const events = new RecordedEvents()
  const config = v.parse(vaultConfig, {
    name: 'v',
    type: 'vault',
    allowInsecureHttp: true,
    ...change,
  })
  const provider = createVaultProvider(config, {
    clock: systemClock,
    events,
    requestTimeoutMs: LIMIT_MS,
  })
  return {
    provider,
    events,
    async wrap(): Promise<'ok' | KmsError> {
      const work = withinLimit(systemClock, LIMIT_MS, async (call) => {
        await provider.keyState(call)
        const [outcome] = await provider.wrap('1', [ITEM], call)
        if (outcome?.ok === false) throw outcome.error
      })
      return await work.then(() => 'ok' as const, toKmsError)
    },
    [Symbol.asyncDispose]: () => provider.close(),
  }
}

for (const slash of ['', '/']) {
  test(`a key service under a path serves login, key and batches below it, with "${slash}" at its end`, async () => {
    await using folder = await tempFolder()
    await using bao = await startOpenBao()
    const transit = await bao.setupTransit({ folder: folder.path })
    await using gate = await startGateway({ path: '/eu/vault', target: bao.address })
    await using one = providerOf({ ...transit.provider, address: `${gate.address}${slash}` })

    assert.is(await one.wrap(), 'ok')

    assert.ok(gate.paths.some((path) => path.startsWith('/eu/vault/v1/auth/approle/login')))
    assert.ok(gate.paths.every((path) => path.startsWith('/eu/vault/v1/')))
    assert.match(one.provider.describe().key, gate.address)
  })
}

test('a path that the gateway does not know is unavailable, with words that name the path', async () => {
  await using folder = await tempFolder()
  await using bao = await startOpenBao()
  const transit = await bao.setupTransit({ folder: folder.path })
  await using gate = await startGateway({ path: '/vault', target: bao.address })
  await using one = providerOf({ ...transit.provider, address: `${gate.origin}/valut` })

  const error = await one.wrap()

  assert.is((error as KmsError).code, 'unavailable')
  assert.match((error as KmsError).message, `${gate.origin}/valut`)
  assert.match((error as KmsError).message, /a wrong path in the address/)
})

/** A gateway for each node, all under one path; standbys behind them forward nothing. */
async function gatewaysOf(cluster: OpenBaoCluster, withPath: boolean) {
  const gates: Gateway[] = []
  const rewrite = (location: string) => {
    const { origin, pathname, search } = new URL(location)
    const gate = gates[cluster.addresses.indexOf(origin)]
    if (gate === undefined) throw new Error('Redirect to no node')
    return `${withPath ? gate.address : gate.origin}${pathname}${search}`
  }
  const headers = { 'x-vault-no-request-forwarding': 'true' }
  for (const target of cluster.addresses) {
    gates.push(await startGateway({ path: '/vault', target, headers, rewrite }))
  }
  return {
    addresses: gates.map(({ address }) => address),
    async [Symbol.asyncDispose]() {
      for (const gate of gates) await gate[Symbol.asyncDispose]()
    },
  }
}

for (const withPath of [true, false]) {
  test(`a standby's redirect to its own address ${withPath ? 'with' : 'without'} the path is followed to the node, and health looks go below the path`, async () => {
    await using folder = await tempFolder()
    await using cluster = await startOpenBaoCluster({ standbyReads: false })
    const transit = await cluster.setupTransit({ folder: folder.path })
    await using gates = await gatewaysOf(cluster, withPath)
    const active = await cluster.active()
    const standbyFirst = [...gates.addresses.keys()].sort((a) => (a === active ? 1 : -1))
    const { address: _, ...fields } = transit.provider
    const addresses = standbyFirst.map((at) => gates.addresses[at])
    await using one = providerOf({ ...fields, addresses })

    assert.is(await one.wrap(), 'ok')

    const roles = new Map(
      one.events.noticesOf('vault_node').map(({ fields: told }) => [told?.address, told?.role]),
    )
    assert.is(roles.get(gates.addresses[active]), 'active')
    assert.is([...roles.values()].filter((role) => role === 'active').length, 1)
  })
}

test.run()
