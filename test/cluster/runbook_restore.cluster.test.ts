import type { Buffer } from 'node:buffer'
import { readFile, writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { figure } from '../_lib/figure.ts'
import { startControlPlane } from '../_lib/runbook/control_plane.ts'
import { RECOVERY_KEY, startEncryptedNode } from '../_lib/runbook/encrypted_node.ts'
import { enterPrivateMounts } from '../_lib/runbook/private_root.ts'
import { runPage, runSteps } from '../_lib/runbook/run_page.ts'
import { wrappedBy } from '../_lib/runbook/wrapped_by.ts'
import { suite } from '../_lib/uvu.ts'

await enterPrivateMounts(import.meta.url)

const test = suite('cluster/runbook_restore', () => ({}), 600_000)
const SECRETS = Array.from({ length: 30 }, (_, n) => `secret-${n}`)

test('restore-from-backup.md: with node and key service gone, a snapshot and a recovery key bring every Secret back', async () => {
  const { snapshot, recoveryKey } = await lostCluster()
  await using node = await startControlPlane()
  await writeFile(`${node.home}/etcd.db`, snapshot)
  await writeFile(`${node.home}/recovery-key`, recoveryKey, { mode: 0o600 })
  const start = performance.now()

  await runPage(node, 'restore-from-backup', {
    'install.md, steps 1 to 6': (shell) => runSteps(shell, 'install', 1, 6),
  })

  figure(`restore-from-backup.md: ${Math.round((performance.now() - start) / 1000)} s`)
  const { api } = node
  for (const name of SECRETS)
    assert.equal(await api.readSecret(name, 'shop'), { name, text: 'two\nlines' })
  const config = await api.must('GET', '/api/v1/namespaces/shop/configmaps/plain')
  assert.equal(config.data, { text: 'as it was' })
  assert.equal(await wrappedBy(node), ['vault:transit/k8s-etcd 1'])
})

/** A cluster that was; its key service ends with it. */
async function lostCluster(): Promise<{ snapshot: Buffer; recoveryKey: Buffer }> {
  await using node = await startEncryptedNode({ recipients: true })
  const { api } = node
  const metadata = { name: 'shop' }
  await api.must('POST', '/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata })
  for (const name of SECRETS) await api.createSecret(name, { name, text: 'two\nlines' }, 'shop')
  const plain = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'plain' },
    data: { text: 'as it was' },
  }
  await api.must('POST', '/api/v1/namespaces/shop/configmaps', plain)
  const file = `${node.home}/etcd.db`
  await node.snapshot(file)
  return { snapshot: await readFile(file), recoveryKey: await readFile(RECOVERY_KEY) }
}

test.run()
