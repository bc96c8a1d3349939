import * as assert from 'uvu/assert'
import { figure } from '../_lib/figure.ts'
import { startEncryptedNode } from '../_lib/runbook/encrypted_node.ts'
import { enterPrivateMounts } from '../_lib/runbook/private_root.ts'
import { runPage } from '../_lib/runbook/run_page.ts'
import { wrappedBy } from '../_lib/runbook/wrapped_by.ts'
import { suite } from '../_lib/uvu.ts'

await enterPrivateMounts(import.meta.url)

const test = suite('cluster/runbook_rotate', () => ({}), 600_000)
const SECRETS = Array.from({ length: 40 }, (_, n) => `secret-${n}`)

test('rotate.md: after it nothing in etcd is wrapped by the old version, and everything reads as before', async () => {
  await using node = await startEncryptedNode()
  const { api } = node
  for (const name of SECRETS) await api.createSecret(name, { name })
  assert.equal(await wrappedBy(node), ['vault:transit/k8s-etcd 1'])
  const start = performance.now()

  await runPage(node, 'rotate')

  figure(`rotate.md: ${Math.round((performance.now() - start) / 1000)} s`)
  assert.equal(await wrappedBy(node), ['vault:transit/k8s-etcd 2'])
  for (const name of SECRETS) assert.equal(await api.readSecret(name), { name })
})

test.run()
