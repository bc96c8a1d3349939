/**
 * The first hour of a new user: from nothing to encrypted Secrets, following the pages alone.
 *
 * @module
 */

import { mkdir, readFile, writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { parse, stringify } from 'yaml'
import { figure } from '../_lib/figure.ts'
import { CONFIG, type ControlPlane, startControlPlane } from '../_lib/runbook/control_plane.ts'
import { readPage } from '../_lib/runbook/page.ts'
import { enterPrivateMounts } from '../_lib/runbook/private_root.ts'
import { runPage } from '../_lib/runbook/run_page.ts'
import type { OperatorShell } from '../_lib/runbook/shell.ts'
import { suite } from '../_lib/uvu.ts'

await enterPrivateMounts(import.meta.url)

const test = suite('cluster/runbook_install', () => ({}), 600_000)
const loginAnswer = v.object({ auth: v.object({ policies: v.array(v.string()) }) })
const PLANTED = { password: 'planted-9f24b1d7-plaintext' }

test('install.md: with the own JWT of the node Secrets that were in the clear are encrypted, new and old, and all the way back', async () => {
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
    'it is installed': async (shell) => {
      await kubernetesLogin(node, shell)
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

/** What docs/logins/kubernetes.md says, with this API server as the one that reviews. */
async function kubernetesLogin({ bao }: ControlPlane, shell: OperatorShell): Promise<void> {
  const config = parse(await readFile(CONFIG, 'utf8'))
  const auth = { method: 'kubernetes', role: 'trousseau' }
  const providers = [{ ...config.providers[0], key: 'of-pods', auth }]
  await mkdir('/var/lib/elsewhere')
  await writeFile('/var/lib/elsewhere/trousseau.yaml', stringify({ ...config, providers }))
  await shell.run(
    'mkdir bin; ln -s "$(command -v bao)" bin/vault; PATH=$PWD/bin:$PATH; cd /var/lib/elsewhere',
  )
  const steps = await readPage('../logins/kubernetes')
  assert.is(steps.length, 4)
  for (const { text } of steps)
    await shell.run(text.replace('trousseau-k8s-etcd', 'trousseau-of-pods'))
  const token = await shell.run('kubectl -n kube-system create token trousseau --audience vault')
  const login = { role: 'trousseau', jwt: token.trim() }
  const made = await bao.request('POST', 'auth/kubernetes/login', login)
  assert.equal(v.parse(loginAnswer, made).auth.policies, ['trousseau-of-pods'])
}

test.run()
