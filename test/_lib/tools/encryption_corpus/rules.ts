/** Files that can be decoded, and that break a rule or just keep it. @module */

import {
  bad,
  ENDPOINT,
  file,
  good,
  KEY_16,
  KEY_24,
  KEY_32,
  keys,
  kms,
  rule,
  type Sample,
} from './build.ts'

const EMPTY = 'encryption-empty'
const COUNT = 'encryption-provider-count'
const NAME = 'encryption-name'
const NAME_TWICE = 'encryption-name-twice'
const TIMEOUT = 'encryption-timeout-invalid'
const FORM = 'encryption-endpoint-form'
const RESOURCE = 'encryption-resource-name'
const TWICE = 'encryption-resource-twice'
const OVERLAP = 'encryption-overlap'
const MASKED = 'encryption-masked'
const KEY = 'encryption-key'
const V1 = ['--feature-gates=KMSv1=true']
const RELOAD = '--encryption-provider-config-automatic-reload=true'

const ELSEWHERE = ['encryption-endpoint', 'encryption-other-first']

const one = (fields: Parameters<typeof kms>[0]) => file(rule('[secrets]', kms(fields)))
const beside = (provider: string) => file(rule('[secrets]', kms(), provider))
const of = (...lists: readonly string[]) =>
  file(...lists.map((list, at) => rule(list, kms({ name: `n${at}` }))))
const v1 = (fields: Parameters<typeof kms>[0] = {}) => kms({ apiVersion: 'v1', ...fields })

export const KMS: readonly Sample[] = [
  bad('encryption-kms-version', 'apiVersion v2beta1', one({ apiVersion: 'v2beta1' })),
  bad('encryption-kms-version', 'apiVersion v3', one({ apiVersion: 'v3' })),
  bad('encryption-kms-version', 'apiVersion V2', one({ apiVersion: 'V2' })),
  bad(NAME, 'no name', one({ name: undefined })),
  bad(NAME, 'an empty name', one({ name: "''" })),
  bad(NAME, 'a name that is null', one({ name: '' })),
  bad(NAME, 'a colon in the name', one({ name: "'a:b'" })),
  good('other characters in the name', one({ name: "'a b/c.d~é'" })),
  bad(
    NAME_TWICE,
    'one name in two rules',
    file(rule('[secrets]', kms()), rule('[configmaps]', kms())),
  ),
  bad(NAME_TWICE, 'one name twice in a rule', beside(kms())),
  bad(NAME_TWICE, 'one name for two sockets', beside(kms({ endpoint: 'unix:///nothing' }))),
  good('two names for one socket', beside(kms({ name: 'two' })), {
    told: ['encryption-socket-twice'],
  }),

  bad(TIMEOUT, 'timeout 0s', one({ timeout: '0s' })),
  bad(TIMEOUT, "timeout '0'", one({ timeout: "'0'" })),
  bad(TIMEOUT, 'timeout -3s', one({ timeout: '-3s' })),
  bad(TIMEOUT, 'an empty timeout', one({ timeout: "''" })),
  bad(TIMEOUT, "timeout '3'", one({ timeout: "'3'" })),
  bad(TIMEOUT, 'timeout 3sec', one({ timeout: '3sec' })),
  bad(TIMEOUT, 'timeout 3 s', one({ timeout: '3 s' })),
  bad(TIMEOUT, 'timeout 3S', one({ timeout: '3S' })),
  bad(TIMEOUT, 'timeout 1d', one({ timeout: '1d' })),
  bad(TIMEOUT, 'timeout of 300 years', one({ timeout: '2630000h' })),
  bad(TIMEOUT, 'timeout .s', one({ timeout: '.s' })),
  good('no timeout', one({ timeout: undefined })),
  good('timeout 1m30s', one({ timeout: '1m30s' })),
  good('timeout 0.05m', one({ timeout: '0.05m' })),
  good('timeout 3.s', one({ timeout: '3.s' })),
  good('timeout .05m', one({ timeout: '.05m' })),
  good('timeout +3s', one({ timeout: '+3s' })),
  good('timeout 3000000us', one({ timeout: '3000000us' })),
  good('timeout 3000000µs', one({ timeout: '3000000µs' })),
  good('timeout 3000000000ns', one({ timeout: '3000000000ns' })),
  good('a timeout shorter than the plugin needs', one({ timeout: '900ms' }), {
    told: ['encryption-timeout'],
  }),

  bad(FORM, 'no endpoint', one({ endpoint: undefined })),
  bad(FORM, 'an empty endpoint', one({ endpoint: "''" })),
  bad(FORM, 'endpoint over TCP', one({ endpoint: 'tcp://127.0.0.1:1' })),
  bad(FORM, 'endpoint over HTTPS', one({ endpoint: 'https://127.0.0.1/' })),
  bad(FORM, 'an endpoint that is a path', one({ endpoint: ENDPOINT.slice('unix://'.length) })),
  bad(FORM, 'an endpoint without scheme', one({ endpoint: '//run/kms.sock' })),
  bad(FORM, 'an endpoint with a bad escape', one({ endpoint: `'${ENDPOINT}%zz'` })),
  bad(FORM, 'an endpoint with a space in its host', one({ endpoint: "'unix://a b/kms.sock'" })),
  bad(FORM, 'an endpoint with a port that is none', one({ endpoint: "'unix://run:x/kms.sock'" })),
  good('one slash', one({ endpoint: ENDPOINT.replace('///', '/') })),
  good('a host in the endpoint', one({ endpoint: ENDPOINT.replace('///', '//localhost/') })),
  good('UNIX in capitals', one({ endpoint: ENDPOINT.replace('unix', 'UNIX') })),
  good('a query and a fragment', one({ endpoint: `'${ENDPOINT}?a=b#c'` })),
  good('an escape in the path', one({ endpoint: ENDPOINT.replace('///', '///%2E/') })),
  good('two slashes in the path', one({ endpoint: ENDPOINT.replace('///', '////') })),
  good('two slashes before the path', one({ endpoint: 'unix://run/kms.sock', timeout: '5ms' }), {
    told: ['encryption-endpoint', 'encryption-other-first'],
  }),

  good('a path without a slash', one({ endpoint: 'unix:run/kms.sock', timeout: '5ms' }), {
    told: ELSEWHERE,
  }),
  good('an abstract socket', one({ endpoint: "'unix:///@kms'", timeout: '5ms' }), {
    told: ELSEWHERE,
  }),
  bad(
    FORM,
    'a percent sign in the path',
    one({ endpoint: "'unix:///run/a%25zz'", timeout: '5ms' }),
  ),
  bad('encryption-cachesize', 'cachesize under v2', one({ cachesize: '1000' })),
  bad('encryption-cachesize', 'cachesize 0 under v2', one({ cachesize: '0' })),
  bad('encryption-cachesize', 'cachesize -1 under v2', one({ cachesize: '-1' })),

  bad('encryption-v1', 'v1', file(rule('[secrets]', v1()))),
  bad('encryption-version-missing', 'no apiVersion', one({ apiVersion: undefined })),
  bad('encryption-version-missing', 'apiVersion null', one({ apiVersion: '' })),
  good('v1 with its gate', file(rule('[secrets]', v1())), { flags: V1, told: ['encryption-v1'] }),
  good('no apiVersion with the gate', one({ apiVersion: undefined }), {
    flags: V1,
    told: ['encryption-version-missing'],
  }),
  good('cachesize under v1', file(rule('[secrets]', v1({ cachesize: '10' }))), {
    flags: V1,
    told: ['encryption-v1'],
  }),
  good('cachesize -1 under v1', file(rule('[secrets]', v1({ cachesize: '-1' }))), {
    flags: V1,
    told: ['encryption-v1'],
  }),
  good('a colon in a name of v1', file(rule('[secrets]', v1({ name: "'a:b'" }))), {
    flags: V1,
    told: ['encryption-v1'],
  }),
  bad(
    'encryption-cachesize',
    'cachesize 0 under v1',
    file(rule('[secrets]', v1({ cachesize: '0' }))),
    { flags: V1 },
  ),
  good('one name twice under v1', file(rule('[secrets]', v1()), rule('[configmaps]', v1())), {
    flags: V1,
    told: ['encryption-v1'],
  }),
  bad(
    NAME_TWICE,
    'one name twice under v1, with reload',
    file(rule('[secrets]', v1()), rule('[configmaps]', v1())),
    { flags: [...V1, RELOAD] },
  ),
  bad(NAME_TWICE, 'a name of v1 again under v2', file(rule('[secrets]', v1(), kms())), {
    flags: V1,
  }),
  good('a name of v2 again under v1', file(rule('[secrets]', kms(), v1())), {
    flags: V1,
    told: ['encryption-v1'],
  }),
  good('plain, with reload', one({}), { flags: [RELOAD] }),
]

export const RESOURCES: readonly Sample[] = [
  bad(EMPTY, 'no rules', file()),
  bad(EMPTY, 'rules that are null', file().trim()),
  bad(EMPTY, 'an empty list of rules', file().replace('resources:', 'resources: []')),
  bad(EMPTY, 'no resources', of('[]')),
  bad(EMPTY, 'resources that are null', of('')),
  bad(EMPTY, 'no providers', file('  - resources: [secrets]\n    providers: []\n')),
  bad(EMPTY, 'providers that are null', file('  - resources: [secrets]\n    providers:\n')),
  bad(EMPTY, 'a rule that is null', file(rule('[secrets]', kms()), '  -\n')),
  good('several resources', of('[secrets, configmaps, deployments.apps, widgets.example.org]')),
  good('resources that nobody has', of('[secrets, nothing, nothing.example.org, "a b"]')),
  good('secrets with a dot', of('[secrets.]')),
  good('the core group', of("['*.']")),
  good('everything', of("['*.*']")),
  good('a group', of("[secrets, '*.apps']")),
  good('the same resource in two rules', of('[secrets]', '[secrets]'), {
    told: ['encryption-resource-again', 'encryption-socket-twice'],
  }),
  good('a wildcard in the last rule', of('[secrets]', "['*.apps']", "['*.*']"), {
    told: ['encryption-socket-twice', 'encryption-wildcard'],
  }),
  good(
    'a resource beside a wildcard of another group',
    of("[secrets, '*.apps', deployments.extra]"),
  ),

  bad(TWICE, 'secrets twice in a rule', of('[secrets, configmaps, secrets]')),
  bad(TWICE, 'secrets with and without a dot', of('[secrets, secrets.]')),
  bad(TWICE, 'everything twice in a rule', of("['*.*', '*.*']")),
  bad(OVERLAP, 'secrets with the core group', of("[secrets, '*.']")),
  bad(OVERLAP, 'secrets with everything', of("['*.*', secrets]")),
  bad(OVERLAP, 'a group with one of its resources', of("[secrets, '*.apps', deployments.apps]")),
  bad(OVERLAP, 'a group with everything', of("['*.apps', '*.*']")),
  bad(RESOURCE, 'a star alone', of("['*']")),
  bad(RESOURCE, 'capital letters', of('[Secrets]')),
  bad(RESOURCE, 'capital letters in a group', of('[secrets, widgets.Example.org]')),
  bad(RESOURCE, 'deployments.extensions', of('[secrets, deployments.extensions]')),
  bad(RESOURCE, 'all of extensions', of("[secrets, '*.extensions']")),
  bad(RESOURCE, 'events.events.k8s.io', of('[secrets, events.events.k8s.io]')),
  bad(RESOURCE, 'a resource of all groups', of("[secrets, 'deployments.*']")),
  bad(RESOURCE, 'apiserveripinfo', of('[secrets, apiserveripinfo]')),
  bad(RESOURCE, 'serviceipallocations', of('[secrets, serviceipallocations]')),
  bad(MASKED, 'secrets behind everything', of("['*.*']", '[secrets]')),
  bad(MASKED, 'secrets behind the core group', of("['*.']", '[secrets]')),
  bad(MASKED, 'a resource behind its group', of("[secrets, '*.apps']", '[deployments.apps]')),
  bad(MASKED, 'the core group twice', of("['*.']", "['*.']")),
  bad(MASKED, 'everything twice', of("['*.*']", "['*.*']")),
  bad(MASKED, 'a group behind everything', of("['*.*']", "['*.apps']")),
]

export const PROVIDERS: readonly Sample[] = [
  good('identity behind kms', beside('identity: {}'), { told: ['encryption-identity-left'] }),
  good('identity before kms', file(rule('[secrets]', 'identity: {}', kms())), {
    told: ['encryption-identity-first'],
  }),
  good('no secrets', of('[configmaps]'), { told: ['encryption-secrets-missing'] }),
  good('a resource in the singular', of('[secrets, configmap]'), {
    told: ['encryption-resource-misnamed'],
  }),
  good('a resource without its group', of('[secrets, deployments]'), {
    told: ['encryption-resource-misnamed'],
  }),
  good('no kms', file(rule('[secrets]', keys('aescbc', KEY_32))), {
    told: ['encryption-endpoint', 'encryption-other-first'],
  }),
  bad(COUNT, 'identity null', beside('identity:')),
  bad(COUNT, 'kms null', beside('kms:')),
  bad(COUNT, 'a provider that is null', beside('')),
  bad(COUNT, 'a provider without fields', beside('{}')),
  bad(COUNT, 'kms and identity in one item', file(rule('[secrets]', `{ ${kms()}, identity: {} }`))),
  bad(
    COUNT,
    'aescbc and secretbox in one item',
    beside(`{ ${keys('aescbc', KEY_32)}, ${keys('secretbox', KEY_32)} }`),
  ),

  good('aescbc of 32 bytes', beside(keys('aescbc', KEY_32))),
  good('aescbc of 16 and 24 bytes', beside(keys('aescbc', KEY_16, KEY_24))),
  good('aesgcm of 24 bytes', beside(keys('aesgcm', KEY_24))),
  good('secretbox of 32 bytes', beside(keys('secretbox', KEY_32))),
  good(
    'a key broken over lines',
    beside(keys('secretbox', `"${KEY_32.slice(0, 8)}\\n${KEY_32.slice(8)}"`)),
  ),
  good(
    'one key name twice',
    beside(`aescbc: { keys: [{ name: a, secret: ${KEY_32} }, { name: a, secret: ${KEY_16} }] }`),
  ),
  bad(KEY, 'aescbc of 15 bytes', beside(keys('aescbc', 'A'.repeat(20)))),
  bad(KEY, 'aescbc of 33 bytes', beside(keys('aescbc', 'A'.repeat(44)))),
  bad(KEY, 'secretbox of 16 bytes', beside(keys('secretbox', KEY_16))),
  bad(
    KEY,
    'aesgcm of 32 characters that are no base64',
    beside(keys('aesgcm', `'${'!'.repeat(32)}'`)),
  ),
  bad(KEY, 'base64 without its end', beside(keys('aescbc', KEY_32.slice(0, -1)))),
  bad(KEY, 'base64 of URLs', beside(keys('aescbc', `${'-'.repeat(43)}=`))),
  bad(
    KEY,
    'base64 with a space',
    beside(keys('aescbc', `'${KEY_32.slice(0, 8)} ${KEY_32.slice(8)}'`)),
  ),
  bad(KEY, 'no secret', beside('aescbc: { keys: [{ name: a }] }')),
  bad(KEY, 'no name of a key', beside(`aescbc: { keys: [{ secret: ${KEY_32} }] }`)),
  bad(KEY, 'a key of aescbc that is null', beside('aescbc: { keys: [~] }')),
  bad(EMPTY, 'no keys', beside('aescbc: { keys: [] }')),
  bad(EMPTY, 'keys that are null', beside('aesgcm: { keys: }')),
  bad(EMPTY, 'aescbc without fields', beside('aescbc: {}')),
]
