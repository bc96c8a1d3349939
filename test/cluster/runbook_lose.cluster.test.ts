import * as assert from 'uvu/assert'
import { figure } from '../_lib/figure.ts'
import { startNodeOfTwo } from '../_lib/runbook/encrypted_node.ts'
import { enterPrivateMounts } from '../_lib/runbook/private_root.ts'
import { runPage } from '../_lib/runbook/run_page.ts'
import { wrappedBy } from '../_lib/runbook/wrapped_by.ts'
import { startOpenBao } from '../_lib/services/vault/openbao.ts'
import { suite } from '../_lib/uvu.ts'

await enterPrivateMounts(import.meta.url)

const test = suite('cluster/runbook_lose', () => ({}), 600_000)
const PLANTED = { password: 'written-with-both' }

test('lose-a-key-service.md: writes go on, what one alone wrapped is made whole, and what is lost for ever is let go', async () => {
  await using second = await startOpenBao({ tls: true })
  await using node = await startNodeOfTwo(second)
  const { api } = node
  const both = 'vault-second 1 and vault:transit/k8s-etcd 1'
  await api.createSecret('before', PLANTED)
  assert.equal(await wrappedBy(node), [both])
  const start = performance.now()

  await runPage(node, 'lose-a-key-service', {
    'the second key service is lost': () => second.stop(),
    'the second key service is back': async () => {
      // An API server that starts during the outage takes a new seed, of one alone.
      await node.restartApiServer()
      await api.createSecret('during', PLANTED)
      assert.equal(await wrappedBy(node), [both, 'vault:transit/k8s-etcd 1'])
      await second.start()
    },
    'the second key service is lost for ever': async () => {
      assert.equal(await wrappedBy(node), [both])
      await second.stop('SIGKILL')
    },
  })

  figure(`lose-a-key-service.md: ${Math.round((performance.now() - start) / 1000)} s`)
  assert.equal(await wrappedBy(node), ['vault:transit/k8s-etcd 1'])
  await node.restartApiServer()
  for (const name of ['before', 'during']) assert.equal(await api.readSecret(name), PLANTED)
  await api.createSecret('after', PLANTED)
})

test.run()
