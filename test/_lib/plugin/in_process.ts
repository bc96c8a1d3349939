/** The whole plugin in this process, with a key file of its own. @module */

import { parseConfig } from '../../../src/config/load.ts'
import { connectKms } from '../../../src/grpc/client.ts'
import { startPlugin } from '../../../src/plugin/plugin.ts'
import { createKeyFile } from '../../../src/services/local/key_file.ts'
import { RecordedEvents } from '../events.ts'
import { type TempFolder, tempFolder } from '../temp_folder.ts'
import { until } from '../wait.ts'

interface PluginHere extends AsyncDisposable {
  readonly socketPath: string
}

/**
 * Resolves when it is healthy.
 *
 * @param more further parts of its config
 */
export async function startPluginHere(
  more: (folder: TempFolder) => Promise<object> = () => Promise.resolve({}),
): Promise<PluginHere> {
  const folder = await tempFolder()
  const keyFile = folder.at('keys')
  await createKeyFile(keyFile, () => Date.now())
  const config = parseConfig(
    {
      apiVersion: 'trousseau.io/v1',
      kind: 'TrousseauConfig',
      socket: { path: folder.at('kms.sock') },
      providers: [{ name: 'here', type: 'local', keyFile }],
      ...(await more(folder)),
    },
    'test',
  )
  const plugin = await startPlugin(config, new RecordedEvents())
  const socketPath = plugin.socketPaths[0] ?? ''
  await until('the plugin is healthy', () => isHealthy(socketPath))
  return {
    socketPath,
    async [Symbol.asyncDispose]() {
      await plugin.close()
      await folder[Symbol.asyncDispose]()
    },
  }
}

async function isHealthy(path: string): Promise<boolean> {
  const client = connectKms(path, { timeoutMs: 1_000 })
  try {
    return (await client.v2.status()).healthz === 'ok'
  } catch {
    return false
  } finally {
    client.close()
  }
}
