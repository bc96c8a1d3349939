/** What the API server stores when it uses the plugin, byte for byte. @module */

import { Buffer } from 'node:buffer'
import * as assert from 'uvu/assert'
import { keyIdHash } from '../../src/base/key_id_hash.ts'
import { encryptionOf, startApiServer } from '../_lib/cluster/api_server.ts'
import { startEtcd } from '../_lib/cluster/etcd.ts'
import { readStoredV2, seedsOf } from '../_lib/cluster/stored.ts'
import { defineWidgets, WIDGETS, widget } from '../_lib/cluster/widgets.ts'
import { figure } from '../_lib/figure.ts'
import { startPluginProcess } from '../_lib/plugin/process.ts'
import { startOpenBao } from '../_lib/services/vault/openbao.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'

const PLANTED = 'planted-4d1f0c55-plaintext'

const test = suite('cluster/encryption', () => ({}), 300_000)

test('Secrets, ConfigMaps and custom resources: etcd holds the prefix, the key id and no plaintext; what is not listed stays readable', async () => {
  await using folder = await tempFolder()
  await using bao = await startOpenBao()
  const transit = await bao.setupTransit({ folder: folder.path })
  await using plugin = await startPluginProcess({
    folder: folder.path,
    config: {
      providers: [{ name: 'bao', type: 'vault', allowInsecureHttp: true, ...transit.provider }],
      rotation: { activationDelay: '1s' },
    },
  })
  await using etcd = await startEtcd(folder.path)
  const resources = ['secrets', 'configmaps', 'widgets.example.org']
  await using server = await startApiServer({
    folder: folder.path,
    etcd,
    encryption: encryptionOf(plugin.socketPath, { resources }),
  })
  const { api } = server
  await defineWidgets(api)

  await api.createSecret('one', { password: PLANTED })
  const metadata = { name: 'one', namespace: 'default' }
  const configMap = { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { text: PLANTED } }
  await api.must('POST', '/api/v1/namespaces/default/configmaps', configMap)
  await api.must('POST', WIDGETS, widget('one', PLANTED))
  const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata }
  await api.must('POST', '/api/v1/namespaces/default/serviceaccounts', account)

  const { keyId } = await plugin.client.v2.status()
  const stored = await etcd.read('/registry/')
  const paths = [
    '/registry/secrets/default/one',
    '/registry/configmaps/default/one',
    '/registry/example.org/widgets/default/one',
  ]
  for (const path of paths) {
    const value = stored.get(path)
    assert.ok(value, path)
    const object = readStoredV2(value)
    assert.is(object.provider, 'trousseau')
    assert.is(object.keyId, keyId)
    assert.is(object.sourceType, 1, 'a seed')
  }
  for (const [key, value] of stored) assert.not.ok(value.includes(PLANTED), key)
  assert.ok(stored.get('/registry/serviceaccounts/default/one')?.includes(Buffer.from('k8s\0')))
  const encrypted = [...stored].filter(([, value]) => value.includes('k8s:enc:kms:v2:'))
  assert.is(seedsOf(encrypted.map(([, value]) => value)), 1, 'one API server, one seed')

  assert.equal(await api.readSecret('one'), { password: PLANTED })
  assert.is((await api.must('GET', `${WIDGETS}/one`)).spec.text, PLANTED)
  const metrics = (await api.send('GET', '/metrics')).body
  assert.ok(String(metrics).includes(keyIdHash(keyId)), 'the metrics name the hash of the key id')
  for (const planted of [PLANTED, Buffer.from(PLANTED).toString('base64')]) {
    assert.not.ok(plugin.output().includes(planted))
  }
  figure(`a Secret of 26 bytes is ${stored.get(paths[0] ?? '')?.length} bytes in etcd`)
})

test.run()
