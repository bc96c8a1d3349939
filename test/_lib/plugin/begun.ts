/** Which modules of the bundle were begun: the runtime's own count of what ran in it says so. @module */

import { mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { createKeyFile } from '../../../src/services/local/key_file.ts'
import type { TempFolder } from '../temp_folder.ts'
import { BUNDLE, NODE, NODE_FLAGS, startWellPlugin } from './process.ts'

const coverage = v.object({
  result: v.array(
    v.object({
      url: v.string(),
      functions: v.array(
        v.object({ functionName: v.string(), ranges: v.array(v.object({ count: v.number() })) }),
      ),
    }),
  ),
})

/** Names of the functions that ran, after one Encrypt; a module of the bundle is a function of its name. */
export async function begunModules(folder: TempFolder, config: object): Promise<string[]> {
  const reports = folder.at('coverage')
  await mkdir(reports)
  await createKeyFile(folder.at('keys'), () => Date.now())
  const providers = [{ name: 'here', type: 'local', keyFile: folder.at('keys') }]
  const plugin = await startWellPlugin({
    folder: folder.path,
    config: { providers, ...config },
    // The binary has a code cache, and reports nothing.
    command: [NODE, ...NODE_FLAGS, BUNDLE],
    environment: { NODE_V8_COVERAGE: reports },
  })
  await plugin.client.v2.encrypt({ plaintext: new Uint8Array(32), uid: 'a' })
  assert.is(await plugin.stop(), 0)
  await plugin[Symbol.asyncDispose]()
  const [file = ''] = await readdir(reports)
  const { result } = v.parse(coverage, JSON.parse(await readFile(join(reports, file), 'utf8')))
  const bundle = result.find(({ url }) => url.endsWith('/dist/trousseau.mjs'))
  return (bundle?.functions ?? [])
    .filter(({ ranges: [whole] }) => (whole?.count ?? 0) > 0)
    .map(({ functionName }) => functionName)
}
