import * as assert from 'uvu/assert'
import { figure } from '../_lib/figure.ts'
import { offerSecond, startEncryptedNode } from '../_lib/runbook/encrypted_node.ts'
import { enterPrivateMounts } from '../_lib/runbook/private_root.ts'
import { runPage } from '../_lib/runbook/run_page.ts'
import { wrappedBy } from '../_lib/runbook/wrapped_by.ts'
import { startOpenBao } from '../_lib/services/vault/openbao.ts'
import { suite } from '../_lib/uvu.ts'

await enterPrivateMounts(import.meta.url)

const test = suite('cluster/runbook_second', () => ({}), 600_000)
const PLANTED = { password: 'written-with-one' }

test('add-a-second-key-service.md: both wrap everything, and the first one is not needed any more', async () => {
  await using second = await startOpenBao({ tls: true })
  await using node = await startEncryptedNode()
  const { api, bao } = node
  await offerSecond(second, `${node.home}/second-token`)
  await api.createSecret('one', PLANTED)
  const start = performance.now()

  await runPage(
    { ...node, environment: { ...node.environment, SECOND_ADDR: second.address } },
    'add-a-second-key-service',
  )

  figure(`add-a-second-key-service.md: ${Math.round((performance.now() - start) / 1000)} s`)
  assert.equal(await wrappedBy(node), ['vault-second 1 and vault:transit/k8s-etcd 1'])
  await bao.stop()
  await node.restartApiServer()
  assert.equal(await api.readSecret('one'), PLANTED)
})

test.run()
