import { Buffer } from 'node:buffer'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { figure } from '../_lib/figure.ts'
import { startEncryptedNode } from '../_lib/runbook/encrypted_node.ts'
import { enterPrivateMounts } from '../_lib/runbook/private_root.ts'
import { runPage } from '../_lib/runbook/run_page.ts'
import { wrappedBy } from '../_lib/runbook/wrapped_by.ts'
import type { OpenBao } from '../_lib/services/vault/openbao.ts'
import { suite } from '../_lib/uvu.ts'

await enterPrivateMounts(import.meta.url)

const test = suite('cluster/runbook_retire', () => ({}), 600_000)
const PLANTED = { password: 'written-under-the-old-version' }

test('retire-a-key.md: what the old version wrapped is found and rewritten, and then the key service forgets it', async () => {
  await using node = await startEncryptedNode()
  const { api, bao } = node
  await api.createSecret('one', PLANTED)
  assert.equal(await wrappedBy(node), ['vault:transit/k8s-etcd 1'])
  const plaintext = Buffer.from('probe').toString('base64')
  const old = await transit(bao, 'encrypt', { plaintext })
  // As after rotate.md, but for one Secret that was left behind.
  await bao.request('POST', 'transit/keys/k8s-etcd/rotate')
  const start = performance.now()

  await runPage(node, 'retire-a-key', {
    'the nodes change to the new version': (shell) =>
      shell.run(`
        . /etc/trousseau/runbook.sh
        writes_version_2() { key_id | grep -q any-v2- && api_server_follows; }
        within 120 writes_version_2`),
    'some weeks pass': async () => {
      assert.equal(await wrappedBy(node), ['vault:transit/k8s-etcd 2'])
      assert.equal(await api.readSecret('one'), PLANTED)
    },
  })

  figure(`retire-a-key.md: ${Math.round((performance.now() - start) / 1000)} s`)
  await transit(bao, 'decrypt', { ciphertext: old.ciphertext }).then(
    () => assert.unreachable('the key service opens what version 1 wrapped'),
    (error: Error) => assert.match(error.message, /answered 400/),
  )
  assert.equal(await api.readSecret('one'), PLANTED)
  await api.createSecret('two', PLANTED)
})

async function transit(bao: OpenBao, verb: string, body: object) {
  const answer = await bao.request('POST', `transit/${verb}/k8s-etcd`, body)
  return v.parse(v.object({ data: v.object({ ciphertext: v.optional(v.string(), '') }) }), answer)
    .data
}

test.run()
