import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import * as assert from 'uvu/assert'
import { figure } from '../_lib/figure.ts'
import { CA, CONFIG, startTrousseau } from '../_lib/runbook/control_plane.ts'
import { startOldNode, TOKEN_FILE } from '../_lib/runbook/old_node.ts'
import { enterPrivateMounts } from '../_lib/runbook/private_root.ts'
import { runPage } from '../_lib/runbook/run_page.ts'
import { wrappedBy } from '../_lib/runbook/wrapped_by.ts'
import { suite } from '../_lib/uvu.ts'

await enterPrivateMounts(import.meta.url)

const test = suite('cluster/runbook_v1', () => ({}), 600_000)
const run = promisify(execFile)
const PLANTED = { password: 'written-under-v1' }
const SOCKET = '/run/vaultkms/vaultkms.socket'

test('migrate-from-v1.md: objects in the form of Trousseau 1.x and of v1beta1 all end as v2, without the gate', async () => {
  const gate = ['--feature-gates=KMSv1=true']
  await using node = await startOldNode(SOCKET, { name: 'vaultprovider' }, gate)
  const { api, bao } = node
  await api.createSecret('old', PLANTED)
  // The take-over, up to its step 6.
  await run('systemctl', ['stop', 'old-plugin'])
  const auth = {
    method: 'approle',
    roleIdFile: '/etc/trousseau/role-id',
    secretIdFile: '/etc/trousseau/secret-id',
  }
  const key = { address: bao.address, mount: 'transit', key: 'kms', tls: { caFile: CA } }
  await startTrousseau({
    socket: { path: SOCKET },
    providers: [{ name: 'vault', type: 'vault', ...key, reads: ['trousseau-1'], auth }],
  })
  const setup = ['vault', 'setup', '--config', CONFIG, '--token-file', TOKEN_FILE, '--apply']
  await run('trousseau', setup)
  await node.restartApiServer()
  await api.createSecret('young', PLANTED)
  const text = [...(await node.stored('/registry/secrets/')).values()].map(String).join()
  assert.match(text, /k8s:enc:kms:v1:vaultprovider:/)
  assert.match(text, /vault:v1:/)
  assert.not.match(text, 'k8s:enc:kms:v2')
  const start = performance.now()

  await runPage(node, 'migrate-from-v1')

  figure(`migrate-from-v1.md: ${Math.round((performance.now() - start) / 1000)} s`)
  assert.equal(await wrappedBy(node), ['vault:transit/kms 1'])
  for (const name of ['old', 'young']) assert.equal(await api.readSecret(name), PLANTED)
})

test.run()
