import * as assert from 'uvu/assert'
import { figure } from '../_lib/figure.ts'
import { startControlPlane } from '../_lib/runbook/control_plane.ts'
import { enterPrivateMounts } from '../_lib/runbook/private_root.ts'
import { runPage } from '../_lib/runbook/run_page.ts'
import { suite } from '../_lib/uvu.ts'

await enterPrivateMounts(import.meta.url)

const test = suite('cluster/runbook_install', () => ({}), 600_000)
const PLANTED = { password: 'planted-9f24b1d7-plaintext' }

test('install.md: Secrets that were in the clear are encrypted, new and old, and all the way back', async () => {
  await using node = await startControlPlane()
  const { api } = node
  await api.createSecret('one', PLANTED)
  assert.ok(
    (await node.stored('/registry/secrets/'))
      .get('/registry/secrets/default/one')
      ?.includes(PLANTED.password),
  )
  const start = performance.now()

  await runPage(node, 'install', {
    'it is installed': async () => {
      for (const [key, value] of await node.stored('/registry/secrets/')) {
        assert.is(value.toString('latin1', 0, 25), 'k8s:enc:kms:v2:trousseau:', key)
      }
      assert.equal(await api.readSecret('one'), PLANTED)
    },
  })

  assert.equal(await api.readSecret('one'), PLANTED)
  assert.ok(
    (await node.stored('/registry/secrets/'))
      .get('/registry/secrets/default/one')
      ?.includes(PLANTED.password),
  )
  figure(`install.md and back: ${Math.round((performance.now() - start) / 1000)} s`)
})

test.run()
