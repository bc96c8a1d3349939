/**
 * The bundle at three real OpenBao nodes: the active one steps down, is killed, frozen and sealed
 * while requests go on.
 *
 * @module
 */

import { randomBytes } from 'node:crypto'
import * as assert from 'uvu/assert'
import { type PluginProcess, startPluginProcess } from '../_lib/plugin/process.ts'
import { startOpenBaoCluster } from '../_lib/services/vault/openbao_cluster.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const test = suite('e2e/vault_cluster', () => ({}))

async function roundTrip({ client }: PluginProcess): Promise<void> {
  const plaintext = randomBytes(32)
  const made = await client.v2.encrypt({ plaintext, uid: 'cluster' })
  const opened = await client.v2.decrypt({ ...made, uid: 'cluster' })
  assert.equal([...opened.plaintext], [...plaintext])
}

test('requests go on, and Status keeps its key id, when the active node steps down, freezes, is sealed and dies', async () => {
  await using folder = await tempFolder()
  await using cluster = await startOpenBaoCluster()
  const transit = await cluster.setupTransit({ folder: folder.path })
  const { address: _, ...provider } = transit.provider
  await using plugin = await startPluginProcess({
    folder: folder.path,
    config: {
      health: { interval: '1s', staleAfter: '10s' },
      providers: [
        {
          name: 'bao',
          type: 'vault',
          allowInsecureHttp: true,
          ...provider,
          addresses: cluster.addresses,
        },
      ],
    },
  })
  const works = () =>
    roundTrip(plugin).then(
      () => true,
      () => false,
    )
  await until('it is healthy', works)
  const { keyId } = await plugin.client.v2.status()
  const check = async (what: string) => {
    assert.is((await plugin.client.v2.status()).keyId, keyId, what)
    await until(`requests go on after: ${what}`, works)
    await cluster.active()
    await until(`requests go on under a new office after: ${what}`, works)
    assert.is((await plugin.client.v2.status()).keyId, keyId, what)
  }

  await cluster.stepDown()
  await check('step down')

  const frozen = await cluster.active()
  cluster.freeze(frozen)
  await until('requests go on while it is frozen', works)
  cluster.thaw(frozen)
  await check('freeze')

  const sealed = await cluster.active()
  await cluster.seal(sealed)
  await check('seal')
  await cluster.unseal(sealed)

  const dead = await cluster.active()
  await cluster.stop(dead, 'SIGKILL')
  await check('death')
  await plugin.told('vault_node')
  assert.is(plugin.events('health').filter(({ state }) => state === 'failed').length, 0)
})

test.run()
