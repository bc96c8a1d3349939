import * as assert from 'uvu/assert'
import { neverEncrypted, readKey } from '../../../src/tools/etcd/object_key.ts'
import { suite } from '../../_lib/uvu.ts'

const test = suite('tools/etcd/object_key', () => ({}))

for (const [key, resource, namespace, name] of [
  ['/registry/secrets/default/one', 'secrets', 'default', 'one'],
  ['/registry/namespaces/default', 'namespaces', undefined, 'default'],
  ['/registry/controllers/default/one', 'replicationcontrollers', 'default', 'one'],
  ['/registry/minions/node-1', 'nodes', undefined, 'node-1'],
  ['/registry/services/specs/default/web', 'services', 'default', 'web'],
  ['/registry/services/endpoints/default/web', 'endpoints', 'default', 'web'],
  ['/registry/ingress/default/web', 'ingresses', 'default', 'web'],
  ['/registry/example.org/widgets/default/w', 'widgets.example.org', 'default', 'w'],
  [
    '/registry/apiregistration.k8s.io/apiservices/v1.',
    'apiservices.apiregistration.k8s.io',
    undefined,
    'v1.',
  ],
] as const) {
  test(`readKey() reads ${key}`, () => {
    assert.equal(readKey(key, '/registry'), { resource, namespace, name })
  })
}

test('readKey() knows nothing of what is elsewhere, or names no object', () => {
  for (const key of [
    '/registry2/secrets/a/b',
    'compact_rev_key',
    '/registry/',
    '/registry/x',
    '/registry//x',
  ]) {
    assert.is(readKey(key, '/registry'), undefined, key)
  }
  assert.is(readKey('/kubernetes.io/secrets/a/b', '/kubernetes.io')?.resource, 'secrets')
})

test("neverEncrypted() knows the API server's own records", () => {
  const never = [
    'masterleases/10.0.0.1',
    'peerserverleases/x',
    'ranges/serviceips',
    'ranges/servicenodeports',
  ]
  for (const path of never) assert.ok(neverEncrypted(`/registry/${path}`, '/registry'), path)
  for (const path of ['secrets/default/serviceips-1', 'configmaps/masterleases/x']) {
    assert.not(neverEncrypted(`/registry/${path}`, '/registry'), path)
  }
})

test.run()
