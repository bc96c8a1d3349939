/** What resources are called, by people, in an EncryptionConfiguration and in etcd. @module */

import * as assert from 'uvu/assert'
import { isBuiltIn, meantBy, storedAs } from '../../../src/tools/kube/resource_names.ts'
import { suite } from '../../_lib/uvu.ts'

const test = suite('tools/kube/resource_names', () => ({}))

test('meantBy() knows the singular, short names, capitals, and what lacks its group', () => {
  for (const [word, meant] of Object.entries({
    secret: 'secrets',
    ConfigMap: 'configmaps',
    cm: 'configmaps',
    deploy: 'deployments.apps',
    deployments: 'deployments.apps',
    'deployment.apps': 'deployments.apps',
    ingress: 'ingresses.networking.k8s.io',
    priorityclass: 'priorityclasses.scheduling.k8s.io',
    networkpolicy: 'networkpolicies.networking.k8s.io',
    lease: 'leases.coordination.k8s.io',
  })) {
    assert.is(meantBy(word), meant, word)
  }
})

test('meantBy() leaves alone what is called so, wildcards, and what is not known here', () => {
  for (const word of [
    'secrets',
    'secrets.',
    'leases.coordination.k8s.io',
    '*',
    '*.*',
    '*.apps',
    'nonsense',
  ]) {
    assert.is(meantBy(word), undefined, word)
  }
  assert.is(meantBy('deployments.example.org'), undefined)
})

test('storedAs() gives the names that keys in etcd have', () => {
  assert.equal(storedAs('deployments.apps'), ['deployments'])
  assert.equal(storedAs('secrets.'), ['secrets'])
  assert.equal(storedAs('widgets.example.org'), ['widgets.example.org'])
  assert.equal(storedAs('apiservices.apiregistration.k8s.io'), [
    'apiservices.apiregistration.k8s.io',
  ])
  assert.equal(storedAs('*.batch'), ['cronjobs', 'jobs', '*.batch'])
  assert.ok(storedAs('*.').includes('secrets'))
  assert.equal(storedAs('*.*'), ['*'])
  assert.equal(storedAs('*'), ['*'])
  assert.ok(isBuiltIn('deployments') && isBuiltIn('deployments.apps') && !isBuiltIn('deploy'))
})

test.run()
