import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { endpointOf, gcpKmsConfig, partsOf } from '../../../src/services/google/config.ts'
import { suite } from '../../_lib/uvu.ts'

const KEY = 'projects/acme-prod/locations/europe-west1/keyRings/k8s/cryptoKeys/etcd'
const CONFIG = { name: 'google', type: 'gcpkms', key: KEY, auth: { method: 'metadata' } }

const test = suite('services/google/config', () => ({}))

for (const [endpoint, address] of [
  [undefined, 'https://cloudkms.googleapis.com'],
  ['global', 'https://cloudkms.googleapis.com'],
  ['locational', 'https://europe-west1-cloudkms.googleapis.com'],
  ['regional', 'https://cloudkms.europe-west1.rep.googleapis.com'],
  ['https://cloudkms-psc.p.googleapis.com/', 'https://cloudkms-psc.p.googleapis.com'],
  ['https://10.0.0.7:8443', 'https://10.0.0.7:8443'],
] as const) {
  test(`endpoint ${endpoint} is ${address}`, () => {
    const change = endpoint === undefined ? {} : { endpoint }

    assert.is(endpointOf(v.parse(gcpKmsConfig, { ...CONFIG, ...change })), address)
  })
}

test('the metadata server is asked by its address, without a resolver', () => {
  const { auth } = v.parse(gcpKmsConfig, CONFIG)

  assert.equal(auth, {
    method: 'metadata',
    serviceAccount: 'default',
    address: 'http://169.254.169.254',
  })
})

test('a project of a domain is a project', () => {
  const key = KEY.replace('acme-prod', 'example.com:acme')

  assert.is(partsOf(v.parse(gcpKmsConfig, { ...CONFIG, key }).key).project, 'example.com:acme')
})

for (const [what, change] of [
  ['a key with a version', { key: `${KEY}/cryptoKeyVersions/1` }],
  ['a key that climbs', { key: KEY.replace('k8s', '..') }],
  ['a key without its ring', { key: 'etcd' }],
  ['an endpoint in the clear', { endpoint: 'http://127.0.0.1:1' }],
  [
    'an endpoint of IAM in the clear',
    { auth: { method: 'metadata', iamEndpoint: 'http://127.0.0.1:1' } },
  ],
  ['an endpoint with a path', { endpoint: 'https://example.org/kms' }],
  ['a metadata server with a path', { auth: { method: 'metadata', address: 'http://a/b' } }],
  ['an unknown login', { auth: { method: 'gcloud' } }],
  [
    'an account that is none',
    { auth: { method: 'metadata', impersonate: { serviceAccount: 'a/b' } } },
  ],
] as const) {
  test(`${what} is refused`, () => {
    assert.is(v.safeParse(gcpKmsConfig, { ...CONFIG, ...change }).success, false)
  })
}

test.run()
