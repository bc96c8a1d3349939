/**
 * A plugin in this process, and an etcd that holds Secrets under a seed that the plugin wrapped.
 *
 * @module
 */

import { randomBytes } from 'node:crypto'
import { parseConfig } from '../../../src/config/load.ts'
import { connectKms } from '../../../src/grpc/client.ts'
import { startPlugin } from '../../../src/plugin/plugin.ts'
import { startFakeEtcd } from './fake_etcd.ts'
import { secretBytes, v2Value } from './stored_objects.ts'

/**
 * @param names of the Secrets, all of them in the namespace `shop`
 * @param password what stands in each
 */
export async function storedByPlugin(
  config: { readonly socket: { readonly path: string } },
  names: readonly string[],
  password: string,
) {
  const plugin = await startPlugin(parseConfig(config, 'test'), { emit: () => undefined })
  const client = connectKms(config.socket.path, { timeoutMs: 5_000 })
  await plugin.asked
  const seed = randomBytes(32)
  const wrapped = await client.v2.encrypt({ plaintext: seed, uid: 'seed' })
  client.close()
  const objects = new Map<string, Uint8Array>()
  for (const name of names) {
    const etcdKey = `/registry/secrets/shop/${name}`
    const plaintext = secretBytes({ name, namespace: 'shop' }, [['password', password]])
    objects.set(etcdKey, await v2Value({ etcdKey, plaintext, seed, ...wrapped }))
  }
  const etcd = await startFakeEtcd(objects)
  return {
    etcd,
    async [Symbol.asyncDispose]() {
      await etcd[Symbol.asyncDispose]()
      await plugin.close()
    },
  }
}
