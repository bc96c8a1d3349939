/** The bundle with a key file of its own, for tests that are not about keys. @module */

import * as assert from 'uvu/assert'
import { createKeyFile } from '../../../src/services/local/key_file.ts'
import type { TempFolder } from '../temp_folder.ts'
import { until } from '../wait.ts'
import { type PluginProcess, type Runtime, startPluginProcess } from './process.ts'

interface LocalPluginOptions {
  readonly runtime?: Runtime
  readonly hosts?: readonly string[]
  /** Of the config beside its provider. */
  readonly config: object
}

export async function startLocalPlugin(
  folder: TempFolder,
  { config, ...options }: LocalPluginOptions,
): Promise<PluginProcess> {
  const keyFile = folder.at('keys')
  await createKeyFile(keyFile, Date.now)
  return await startPluginProcess({
    ...options,
    folder: folder.path,
    config: { providers: [{ name: 'keys', type: 'local', keyFile }], ...config },
  })
}

/** Resolves when its socket answers and it is healthy. */
export async function serves(plugin: PluginProcess): Promise<void> {
  const status = await until('Status is ok', () => plugin.client.v2.status().catch(() => undefined))
  assert.is(status.healthz, 'ok')
}
