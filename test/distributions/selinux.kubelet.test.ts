/** The rules that `manifests tmpfiles --selinux-type` has root add, read by SELinux' own library. @module */

import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import * as assert from 'uvu/assert'
import { debianTool } from '../_lib/debian.ts'
import { runCommand } from '../_lib/plugin/process.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { MANIFEST_CONFIG } from '../_lib/tools/manifest_config.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('distributions/selinux', () => ({}))
const run = promisify(execFile)

test('the rules label the own folders with all that is in them, and no neighbour, whatever signs a path has', async () => {
  await using folder = await tempFolder()
  const config = { ...MANIFEST_CONFIG, socket: { path: '/run/kms.a+b/kms.sock' } }
  await writeFile(folder.at('config.json'), JSON.stringify(config))
  const flags = ['--config', folder.at('config.json'), '--selinux-type', 'container_t']
  const { code, out, err } = await runCommand(['manifests', 'tmpfiles', ...flags])
  assert.is(code, 0, err)
  const rules = [...out.matchAll(/semanage fcontext -a -t (\S+) '([^']+)'/g)].map(
    ([, type, pattern]) => `${pattern}\tsystem_u:object_r:${type}:s0\n`,
  )
  assert.is(rules.length, 3)
  // As semanage does, behind those of the policy.
  const everything = '/.*\tsystem_u:object_r:default_t:s0\n'
  await writeFile(folder.at('file_contexts'), [everything, ...rules].join(''))
  const matchpathcon = await debianTool('selinux-utils')
  const typeOf = async (path: string) => {
    const { stdout } = await run(matchpathcon, ['-n', '-f', folder.at('file_contexts'), path])
    return stdout.trim().split(':')[2]
  }

  for (const [path, type] of [
    ['/run/kms.a+b', 'container_file_t'],
    ['/run/kms.a+b/kms.sock', 'container_file_t'],
    ['/run/kms.a+b.d/s', 'default_t'],
    ['/run/kms-aab/kms.sock', 'default_t'],
    ['/var/lib/trousseau/state/file', 'container_file_t'],
    ['/var/lib/trousseau', 'default_t'],
    ['/etc/trousseau/credentials/secret-id', 'container_ro_file_t'],
    ['/etc/trousseaux', 'default_t'],
  ] as const) {
    assert.is(await typeOf(path), type, path)
  }
})

test.run()
