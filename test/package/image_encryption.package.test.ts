/** The image, run by containerd, as the plugin of a real API server. @module */

import { Buffer } from 'node:buffer'
import { copyFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { encryptionOf, startApiServer } from '../_lib/cluster/api_server.ts'
import { startEtcd } from '../_lib/cluster/etcd.ts'
import { metricSum } from '../_lib/cluster/metrics.ts'
import { figure } from '../_lib/figure.ts'
import { startContainerd } from '../_lib/package/containerd.ts'
import { assertHardened, containerCommand, importImage } from '../_lib/package/plugin_container.ts'
import { adminPage } from '../_lib/plugin/admin_page.ts'
import { startWellPlugin } from '../_lib/plugin/process.ts'
import { startOpenBao } from '../_lib/services/vault/openbao.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'

const PLANTED = 'planted-71be0d92-plaintext'
const SECRETS = Array.from({ length: 20 }, (_, n) => `secret-${n}`)

// Where nobody has built kube-apiserver yet, this does.
const test = suite('package/image_encryption', () => ({}), 850_000)

test('etcd holds no plaintext of a Secret, and every one reads as before when container and API server have been started again', async () => {
  await using folder = await tempFolder()
  await using shared = await tempFolder()
  await using containerd = await startContainerd(folder)
  await importImage(containerd, 'image')
  await using bao = await startOpenBao({ tls: true })
  const caFile = shared.at('ca.pem')
  await copyFile(bao.caFile, caFile)
  const transit = await bao.setupTransit({ folder: shared.path })
  const startContainer = () =>
    startWellPlugin({
      folder: shared.path,
      command: containerCommand(containerd, shared.path),
      config: {
        providers: [{ name: 'bao', type: 'vault', tls: { caFile }, ...transit.provider }],
        stateDir: shared.at('state'),
        admin: { listen: `unix://${shared.at('admin.sock')}` },
        rotation: { activationDelay: '1s' },
      },
    })
  await using first = await startContainer()
  await assertHardened(containerd)
  const { keyId } = await first.client.v2.status()
  await using etcd = await startEtcd(folder.path)
  await using server = await startApiServer({
    folder: folder.path,
    etcd,
    encryption: encryptionOf(first.socketPath, { resources: ['secrets'] }),
  })
  const { api } = server
  for (const name of SECRETS) await api.createSecret(name, { name, password: PLANTED })

  assert.is(await first.stop(), 0, first.output())
  await using second = await startContainer()
  assert.is((await second.client.v2.status()).keyId, keyId)
  await api.createSecret('after', { name: 'after', password: PLANTED })
  // It remembers neither Secrets nor seeds from now on.
  await server.process.stop()
  await server.start()

  for (const name of [...SECRETS, 'after']) {
    assert.equal(await api.readSecret(name), { name, password: PLANTED })
  }
  const metrics = await adminPage(shared.at('admin.sock'), '/metrics')
  const opened = metricSum(metrics, 'trousseau_requests_total', { method: 'Decrypt', code: 'ok' })
  assert.ok(opened > 0, 'the second container answered')

  const stored = await etcd.read('/registry/')
  const secrets = [...stored].filter(([key]) => key.startsWith('/registry/secrets/default/'))
  assert.is(secrets.length, SECRETS.length + 1)
  for (const [key, value] of secrets) {
    assert.is(value.subarray(0, 15).toString('latin1'), 'k8s:enc:kms:v2:', key)
  }
  for (const planted of [PLANTED, Buffer.from(PLANTED).toString('base64')]) {
    for (const [key, value] of stored) assert.not.ok(value.includes(planted), key)
    for (const plugin of [first, second]) assert.not.ok(plugin.output().includes(planted))
  }
  figure(
    `the image beside kube-apiserver: ${secrets.length} Secrets, ${opened} Decrypts answered by the second container`,
  )
})

test.run()
