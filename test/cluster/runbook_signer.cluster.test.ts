import { readFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { kidOf } from '../_lib/cluster/service_accounts.ts'
import { figure } from '../_lib/figure.ts'
import { startEncryptedNode } from '../_lib/runbook/encrypted_node.ts'
import { enterPrivateMounts } from '../_lib/runbook/private_root.ts'
import { runPage } from '../_lib/runbook/run_page.ts'
import { rejection, suite } from '../_lib/uvu.ts'

await enterPrivateMounts(import.meta.url)

const test = suite('cluster/runbook_signer', () => ({}), 600_000)

async function kidIn(file: string): Promise<string> {
  return kidOf((await readFile(file, 'utf8')).trim())
}

test('sign-tokens.md: the key service signs, without sa.key on the node, and all the way back', async () => {
  await using node = await startEncryptedNode()
  const { api } = node
  await api.createSecret('one', { password: 'planted' })
  const start = performance.now()

  await runPage(node, 'sign-tokens', {
    'the key service signs': async () => {
      const kids = await Promise.all(
        ['before', 'of-signer'].map((name) => kidIn(`/var/backups/token-${name}`)),
      )
      const { keys } = await api.must('GET', '/openid/v1/jwks')
      assert.equal(new Set(keys.map(({ kid }: { kid: string }) => kid)), new Set(kids))
      assert.is.not(kids[0], kids[1])
      assert.match(String(await rejection(readFile('/etc/kubernetes/pki/sa.key'))), 'ENOENT')
      assert.equal(await api.readSecret('one'), { password: 'planted' })
    },
  })

  figure(`sign-tokens.md and back: ${Math.round((performance.now() - start) / 1000)} s`)
  assert.equal(await api.readSecret('one'), { password: 'planted' })
})

test.run()
