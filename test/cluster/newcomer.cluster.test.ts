/**
 * What somebody does who has just cloned this repository: README.md and the page that it sends to,
 * and nothing else, up to a Secret that etcd has encrypted, and back.
 *
 * @module
 */

import type { Buffer } from 'node:buffer'
import { execFile } from 'node:child_process'
import { cp, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import * as assert from 'uvu/assert'
import { figure } from '../_lib/figure.ts'
import { freePort } from '../_lib/free_port.ts'
import { startControlPlane } from '../_lib/runbook/control_plane.ts'
import { enterPrivateMounts } from '../_lib/runbook/private_root.ts'
import { runPages } from '../_lib/runbook/run_page.ts'
import { suite } from '../_lib/uvu.ts'

await enterPrivateMounts(import.meta.url)

const test = suite('cluster/newcomer', () => ({}), 600_000)
const run = promisify(execFile)
const ROOT = fileURLToPath(new URL('../../', import.meta.url))
/** Of this folder, what a clone has not; the test needs no git, and follows what is changed here. */
const NOT_CLONED = new Set(['node_modules', 'dist', '.git'])
const SECRETS = '/registry/secrets/'
const FIRST = `${SECRETS}default/first`
const OLDER = `${SECRETS}default/older`
const ENCRYPTED = 'k8s:enc:kms:v2:trousseau:'
const PLANTED = { password: 'planted-9f24b1d7-plaintext' }

test('README.md and docs/quickstart.md: from a clone to a Secret that is encrypted in etcd and readable through the API, and back', async () => {
  await using node = await startControlPlane()
  const clone = join(node.home, 'clone')
  await cp(ROOT, clone, { recursive: true, filter: (path) => !NOT_CLONED.has(basename(path)) })
  // README.md makes it.
  await rm('/usr/local/bin/trousseau')
  await node.api.createSecret('older', PLANTED)
  const start = performance.now()

  const environment = {
    ...(await npmOfThisMachine()),
    ETCDCTL_ENDPOINTS: node.environment['ETCDCTL_ENDPOINTS'] ?? '',
    BAO_ADDR: `http://127.0.0.1:${await freePort()}`,
    HOME: node.home,
  }
  await runPages(
    { environment, home: clone, output: node.output },
    ['../../README', '../quickstart'],
    {
      'the first Secret is encrypted': async () => {
        const stored = await node.stored(SECRETS)
        assert.is(startOf(stored.get(FIRST)), ENCRYPTED)
        assert.not.ok(stored.get(FIRST)?.includes('open-sesame'))
        assert.ok(stored.get(OLDER)?.includes(PLANTED.password))
        assert.equal(await node.api.readSecret('first'), { word: 'open-sesame' })
      },
      'everything is encrypted': async () => {
        const stored = await node.stored(SECRETS)
        assert.ok(stored.has(FIRST) && stored.has(OLDER))
        for (const [key, value] of stored) assert.is(startOf(value), ENCRYPTED, key)
        assert.equal(await node.api.readSecret('older'), PLANTED)
      },
    },
  )

  const stored = await node.stored(SECRETS)
  assert.ok(stored.get(FIRST)?.includes('open-sesame'))
  assert.ok(stored.get(OLDER)?.includes(PLANTED.password))
  figure(`README.md and quickstart.md: ${Math.round((performance.now() - start) / 1000)} s`)
})

function startOf(value: Buffer | undefined): string | undefined {
  return value?.toString('latin1', 0, ENCRYPTED.length)
}

/** What the newcomer's home is not here: how this machine reaches the registry, and what it has of it. */
async function npmOfThisMachine(): Promise<Record<string, string>> {
  const path = (process.env['PATH'] ?? '').split(':')
  const get = async (key: string) => (await run('npm', ['config', 'get', key])).stdout.trim()
  return {
    // Without this project's own Node, which the newcomer has not installed yet.
    PATH: path.filter((folder) => !folder.startsWith(ROOT)).join(':'),
    npm_config_cache: await get('cache'),
    npm_config_userconfig: await get('userconfig'),
  }
}

test.run()
