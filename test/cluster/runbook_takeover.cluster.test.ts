import * as assert from 'uvu/assert'
import { readStoredV2 } from '../_lib/cluster/stored.ts'
import { figure } from '../_lib/figure.ts'
import { startOldNode } from '../_lib/runbook/old_node.ts'
import { enterPrivateMounts } from '../_lib/runbook/private_root.ts'
import { runPage } from '../_lib/runbook/run_page.ts'
import { wrappedBy } from '../_lib/runbook/wrapped_by.ts'
import { suite } from '../_lib/uvu.ts'

await enterPrivateMounts(import.meta.url)

const test = suite('cluster/runbook_takeover', () => ({}), 600_000)
const PLANTED = { password: 'written-by-the-old-plugin' }

test('take-over.md: what the old plugin stored opens, and then nothing of its form is left', async () => {
  const kms = { apiVersion: 'v2', name: 'old-name' }
  await using node = await startOldNode('/run/old-plugin/kms.sock', kms)
  const { api } = node
  await api.createSecret('one', PLANTED)
  const before = (await node.stored('/registry/secrets/')).get('/registry/secrets/default/one')
  assert.ok(before)
  assert.match(readStoredV2(before).wrappedSeed.toString(), /^vault:v1:/)
  const start = performance.now()

  await runPage(node, 'take-over')

  figure(`take-over.md: ${Math.round((performance.now() - start) / 1000)} s`)
  assert.equal(await wrappedBy(node), ['vault:transit/kms 1'])
  assert.equal(await api.readSecret('one'), PLANTED)
  for (const value of (await node.stored('/registry/secrets/')).values()) {
    assert.is(readStoredV2(value).provider, 'old-name')
  }
})

test.run()
