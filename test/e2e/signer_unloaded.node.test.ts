/** Without a signer in the config none of its code runs: the runtime's own count of what ran in the bundle says so. @module */

import * as assert from 'uvu/assert'
import { createKeyFile } from '../../src/services/local/key_file.ts'
import { signingKeys } from '../../src/services/local/signing_key.ts'
import { begunModules } from '../_lib/plugin/begun.ts'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('e2e/signer_unloaded', () => ({}))

/** Its schema is a part of every config, and its metrics and its line of `/statusz` wait for its events. */
const ALWAYS = ['src/config/signer.ts', 'src/observe/signer_metrics.ts']
const OURS = /^src\/.*(?:signer|signing_key|externaljwt)/

/** Modules of the signer that were begun. */
async function begun(folder: TempFolder, config: object): Promise<string[]> {
  const names = await begunModules(folder, config)
  return names.filter((name) => OURS.test(name) && !ALWAYS.includes(name)).toSorted(byName)
}

const byName = (a: string, b: string) => (a < b ? -1 : 1)

test('without a signer nothing of it is loaded, and with one it is', async () => {
  await using none = await tempFolder()
  assert.equal(await begun(none, {}), [])

  await using folder = await tempFolder()
  const keyFile = folder.at('signer-keys')
  await createKeyFile(keyFile, () => Date.now(), signingKeys())
  const signer = { socket: { path: folder.at('signer.sock') }, key: { type: 'local', keyFile } }
  const loaded = await begun(folder, { stateDir: folder.at('state'), signer })
  for (const name of ['src/plugin/signer.ts', 'src/grpc/signer.ts', 'src/signer/signer.ts']) {
    assert.ok(loaded.includes(name), loaded.join())
  }
})

test.run()
