/** Files that differ in how they are decoded: syntax, kinds, fields, types. @module */

import { bad, ENDPOINT, file, good, headed, KEY_32, keys, kms, rule, type Sample } from './build.ts'

const PLAIN = file(rule('[secrets]', kms()))
const ENTRY = { apiVersion: 'v2', name: 'one', endpoint: ENDPOINT }
const JSON_FILE = {
  apiVersion: 'apiserver.config.k8s.io/v1',
  kind: 'EncryptionConfiguration',
  resources: [{ resources: ['secrets'], providers: [{ kms: ENTRY }] }],
}
const IN_JSON = JSON.stringify(JSON_FILE)
const KIND = 'encryption-kind'
const SYNTAX = 'encryption-syntax'
const TYPE = 'encryption-type'
const TWICE = 'encryption-field-twice'
const UNKNOWN = 'encryption-unknown-field'

export const DECODING: readonly Sample[] = [
  good('plain', PLAIN),
  good('JSON', IN_JSON),
  good(
    'JSON with spaces before it and tabs in it',
    `\n ${JSON.stringify(JSON_FILE, null, '\t')}\n`,
  ),
  good('YAML that begins with a document mark', `---\n${PLAIN}`),
  good('carriage returns', PLAIN.replaceAll('\n', '\r\n')),
  good('a byte order mark', `\ufeff${PLAIN}`),
  good('comments', `# who\n${PLAIN}# end\n`),
  good('another document behind it', `${PLAIN}---\nnot: read\n`, {
    told: ['encryption-more-documents'],
  }),
  good('a broken document behind it', `${PLAIN}---\n]: [\n`, {
    told: ['encryption-more-documents'],
  }),
  good('anchors and aliases', file(rule('[secrets]', `kms: &one { ${kms().slice(7)}`))),
  good('a block of text as name', file(rule('[secrets]', kms({ name: '"o\\u006ee"' })))),
  good(
    'all of its fields in quotes',
    PLAIN.replaceAll(/(\w+):/g, '"$1":').replace(/"unix":/g, 'unix:'),
  ),
  good('the directive of YAML 1.1', `%YAML 1.1\n---\n${PLAIN}`),

  bad(SYNTAX, 'empty', ''),
  bad(TYPE, 'only comments', '# nothing\n'),
  bad(SYNTAX, 'a tab as indent', PLAIN.replace('    providers', '\tproviders')),
  bad(SYNTAX, 'a brace that is not closed', PLAIN.replace(' }', '')),
  bad(SYNTAX, 'a star without quotes', file(rule('[*.*]', kms()))),
  bad(SYNTAX, 'YAML between braces', `{ ${IN_JSON.slice(1).replace('"kind"', 'kind')}`),
  bad(SYNTAX, 'JSON with a comma too many', `${IN_JSON.slice(0, -1)},}`),
  bad(SYNTAX, 'JSON with something behind it', `${IN_JSON}\nkind: x`),
  bad(SYNTAX, 'a control character', PLAIN.replace('one', 'o\u0001e')),
  bad(SYNTAX, 'the directive of YAML 1.2', `%YAML 1.2\n---\n${PLAIN}`),
  bad(SYNTAX, 'an alias of nothing', file(rule('[secrets]', 'kms: *nothing'))),
  bad(SYNTAX, 'a mapping as value of a value', PLAIN.replace('kind: ', 'kind: a: ')),
  bad(SYNTAX, 'a key that is null', `${PLAIN}~: 1\n`),
  bad(TYPE, 'a list', `- ${IN_JSON}`),
  bad(TYPE, 'a word', 'EncryptionConfiguration\n'),

  bad(KIND, 'apiVersion v1', PLAIN.replace('apiserver.config.k8s.io/v1', 'v1')),
  bad(KIND, 'apiVersion v1alpha1', PLAIN.replace('k8s.io/v1', 'k8s.io/v1alpha1')),
  bad(KIND, 'apiVersion of the file v2', PLAIN.replace('k8s.io/v1', 'k8s.io/v2')),
  bad(KIND, 'apiVersion __internal', PLAIN.replace('k8s.io/v1', 'k8s.io/__internal')),
  bad(KIND, 'apiVersion of another group', PLAIN.replace('apiserver.config', 'config')),
  bad(KIND, 'no apiVersion of the file', headed('kind: EncryptionConfiguration\n')),
  bad(KIND, 'no kind', headed('apiVersion: apiserver.config.k8s.io/v1\n')),
  bad(KIND, 'apiVersion of the file null', headed('apiVersion:\nkind: EncryptionConfiguration\n')),
  bad(KIND, 'kind EncryptionConfig', PLAIN.replace('EncryptionConfiguration', 'EncryptionConfig')),
  bad(
    KIND,
    'kind in other letters',
    PLAIN.replace('EncryptionConfiguration', 'encryptionConfiguration'),
  ),
  bad(
    KIND,
    'kind AdmissionConfiguration',
    headed(
      'apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins: []\n',
    ).replace(/resources:.*/s, ''),
  ),
  good(
    'v1 EncryptionConfig, as documentation once had it',
    headed('apiVersion: v1\nkind: EncryptionConfig\n'),
  ),

  bad(
    UNKNOWN,
    'metadata',
    headed(
      'apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nmetadata: { name: x }\n',
    ),
  ),
  bad(UNKNOWN, 'cacheSize', file(rule('[secrets]', kms({ cacheSize: '1000' })))),
  bad(UNKNOWN, 'timeOut', file(rule('[secrets]', kms({ timeOut: '3s' })))),
  bad(UNKNOWN, 'Name', file(rule('[secrets]', kms({ Name: 'two' })))),
  bad(UNKNOWN, 'a field of kms that nobody knows', file(rule('[secrets]', kms({ retries: '3' })))),
  bad(
    UNKNOWN,
    'kms indented as its fields',
    `${file()}  - resources: [secrets]\n    providers:\n      - kms:\n        apiVersion: v2\n        name: one\n        endpoint: ${ENDPOINT}\n`,
  ),
  bad(
    UNKNOWN,
    'providers one level too high',
    `${file('  - resources: [secrets]\n')}providers:\n  - ${kms()}\n`,
  ),
  bad(UNKNOWN, 'KMS', file(rule('[secrets]', kms().replace('kms', 'KMS')))),
  bad(UNKNOWN, 'a field of identity', file(rule('[secrets]', kms(), 'identity: { name: x }'))),
  bad(UNKNOWN, 'Resources', PLAIN.replace('- resources', '- Resources')),
  bad(UNKNOWN, 'kind and Kind', `${PLAIN}Kind: EncryptionConfiguration\n`),
  bad(
    UNKNOWN,
    'a field of a key',
    file(rule('[secrets]', kms(), `aescbc: { keys: [{ name: a, secret: ${KEY_32}, id: 1 }] }`)),
  ),
  bad(UNKNOWN, 'JSON with an unknown field', IN_JSON.replace('"name"', '"label":"x","name"')),

  bad(TWICE, 'a YAML key twice', `${PLAIN}kind: EncryptionConfiguration\n`),
  bad(TWICE, 'a key of kms twice', file(rule('[secrets]', kms().replace(' }', ', name: one }')))),
  bad(TWICE, 'a JSON key twice', IN_JSON.replace('"name"', '"name":"two","name"')),
  bad(
    TWICE,
    'a merged key that is written again',
    file(
      rule(
        '[secrets]',
        `kms: { <<: { name: two }, apiVersion: v2, name: one, endpoint: ${ENDPOINT} }`,
      ),
    ),
  ),
  good(
    'merged keys',
    file(
      rule(
        '[secrets]',
        `kms: { <<: { name: one, timeout: 3s }, apiVersion: v2, endpoint: ${ENDPOINT} }`,
      ),
    ),
  ),

  bad(TYPE, 'a name that is a number', file(rule('[secrets]', kms({ name: '1' })))),
  bad(TYPE, 'a name that is yes', file(rule('[secrets]', kms({ name: 'yes' })))),
  bad(TYPE, 'a name that is off', file(rule('[secrets]', kms({ name: 'off' })))),
  bad(TYPE, 'a name in hexadecimal', file(rule('[secrets]', kms({ name: '0x1F' })))),
  bad(TYPE, 'a name like 1_000', file(rule('[secrets]', kms({ name: '1_000' })))),
  bad(TYPE, 'a name like 1e3', file(rule('[secrets]', kms({ name: '1e3' })))),
  good('a name like 12:30', file(rule('[secrets]', kms({ name: '12-30' })))),
  good('a name like a date', file(rule('[secrets]', kms({ name: '2024-01-02' })))),
  good('a name in quotes that reads as a number', file(rule('[secrets]', kms({ name: "'1'" })))),
  good('a name with a tag', file(rule('[secrets]', kms({ name: '!!str 1' })))),
  bad(TYPE, 'a timeout that is a number', file(rule('[secrets]', kms({ timeout: '3' })))),
  bad(TYPE, 'resources that are a word', file(rule('secrets', kms()))),
  bad(
    TYPE,
    'providers that are a mapping',
    file(`  - resources: [secrets]\n    providers:\n      ${kms()}\n`),
  ),
  bad(TYPE, 'identity as a word', file(rule('[secrets]', kms(), 'identity: yes'))),
  bad(TYPE, 'identity as a list', file(rule('[secrets]', kms(), 'identity: []'))),
  bad(TYPE, 'kms as a list', file(rule('[secrets]', `kms: [${kms().slice(5)}]`))),
  bad(TYPE, 'a resource that is a mapping', file(rule('[{ name: secrets }]', kms()))),
  bad(TYPE, 'a resource that is a number', file(rule('[secrets, 1]', kms()))),
  bad(TYPE, 'a cachesize that is text', file(rule('[secrets]', kms({ cachesize: "'1000'" })))),
  bad(
    TYPE,
    'a cachesize too large for 32 bits',
    file(rule('[secrets]', kms({ cachesize: '3000000000' }))),
  ),
  bad(TYPE, 'a cachesize with a fraction', file(rule('[secrets]', kms({ cachesize: '1.5' })))),
  bad(
    TYPE,
    'a secret of digits alone',
    file(rule('[secrets]', kms(), keys('aescbc', '1234567812345678'))),
  ),

  good('null in a list of resources', file(rule('[secrets, ~]', kms()))),
  good(
    'null for what may be absent',
    file(rule('[secrets]', kms({ timeout: '', cachesize: '' }), 'identity: {}')),
    { told: ['encryption-identity-left'] },
  ),
  good('identity with kms null', file(rule('[secrets]', kms(), '{ kms: , identity: {} }')), {
    told: ['encryption-identity-left'],
  }),
]
