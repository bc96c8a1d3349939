import * as assert from 'uvu/assert'
import type { KmsError } from '../../../../src/base/errors.ts'
import {
  policyText,
  type SettingsPlace,
  samePolicy,
  settingsApiPath,
} from '../../../../src/services/vault/setup/policy.ts'
import { suite } from '../../../_lib/uvu.ts'

const KEY = { mount: 'transit', key: 'k8s-etcd' }
const RULES = /path "([^"]+)" \{\n {2}capabilities = \["(\w+)"\]\n\}/g
const test = suite('services/vault/setup/policy', () => ({}))

function rulesOf(text: string): (readonly [string, string])[] {
  return [...text.matchAll(RULES)].map(([, path = '', capability = '']) => [path, capability])
}

function refusalOf(input: Parameters<typeof policyText>[0]): KmsError {
  try {
    policyText(input)
  } catch (error) {
    return error as KmsError
  }
  throw new Error('Expected a refusal')
}

const GIVEN_TOKEN = [
  ['transit/encrypt/k8s-etcd', 'update'],
  ['transit/decrypt/k8s-etcd', 'update'],
  ['transit/keys/k8s-etcd', 'read'],
  ['auth/token/lookup-self', 'read'],
  ['auth/token/renew-self', 'update'],
]
const OWN_TOKEN = [...GIVEN_TOKEN, ['auth/token/revoke-self', 'update']]

for (const [title, auth, expected] of [
  ['a login', undefined, OWN_TOKEN],
  ['jwt', { method: 'jwt', mount: 'jwt' }, OWN_TOKEN],
  [
    'approle, which may look at its secret id',
    { method: 'approle', mount: 'nodes' },
    [...OWN_TOKEN, ['auth/nodes/role/+/secret-id/lookup', 'update']],
  ],
  ['token, which is not its own to revoke', { method: 'token' }, GIVEN_TOKEN],
  ['agent, whose token is not its own either', { method: 'agent' }, GIVEN_TOKEN],
] as const) {
  test(`the policy allows the key, and the token what concerns itself, and nothing else: ${title}`, () => {
    assert.equal(rulesOf(policyText({ ...KEY, auth })), expected)
  })
}

test('the policy says of every rule why it is there', () => {
  const text = policyText({ ...KEY, settingsFrom: { mount: 'kv', path: 'a', version: 1 } })

  assert.is(text.match(/^# .+\npath /gm)?.length, 7)
})

test('the policy says that its paths count from the namespace, and does not repeat it in them', () => {
  const text = policyText({ ...KEY, namespace: 'admin/team' })

  assert.match(text, /^# Stands in the namespace admin\/team; its paths count from there\.\n/)
  assert.equal(rulesOf(text), rulesOf(policyText(KEY)))
})

for (const [version, path] of [
  [1, 'kv/teams/trousseau'],
  [2, 'kv/data/teams/trousseau'],
] as const) {
  test(`the policy allows to read the settings in a key-value engine of version ${version}`, () => {
    const settingsFrom: SettingsPlace = { mount: 'kv', path: 'teams/trousseau', version }

    assert.is(settingsApiPath(settingsFrom), path)
    assert.equal(rulesOf(policyText({ ...KEY, settingsFrom })).at(-1), [path, 'read'])
  })
}

for (const path of ['a/*', '+/a', '{{identity.entity.id}}', 'a"', 'a b', '/a', 'a/', '']) {
  test(`a path such as ${JSON.stringify(path)}, which means more than it says, gets no policy`, () => {
    const error = refusalOf({ ...KEY, settingsFrom: { mount: 'kv', path, version: 1 } })

    assert.is(error.code, 'request_invalid')
  })
}

test('policies are the same whatever their comments and spaces', () => {
  const dense = rulesOf(policyText(KEY)).map(
    ([path, capability]) => `path "${path}" { capabilities=["${capability}"] }`,
  )

  assert.ok(samePolicy(policyText(KEY), `// by hand\n${dense.join('\n')}`))
  assert.not.ok(samePolicy(policyText(KEY), dense.slice(1).join('\n')))
  assert.not.ok(samePolicy(policyText(KEY), policyText({ ...KEY, key: 'other' })))
  assert.not.ok(samePolicy('path "a b" {}', 'path "ab" {}'))
})

test.run()
