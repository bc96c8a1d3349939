/** The command line of a KMS plugin as OpenShift has it: every argument, and every mistake. */

import { readFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { ConfigError } from '../../src/config/load.ts'
import { configOfArguments, isPluginCall } from '../../src/config/plugin_arguments.ts'
import type { Config } from '../../src/config/schema.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('config/plugin_arguments', () => ({}))

const PLANTED = 'planted-5c1d-secret'
const NEEDED: Readonly<Record<string, string>> = {
  'vault-address': 'https://vault.example.com:8200',
  'vault-key-path': 'transit/keys/my-key',
  'approle-role-id': 'role-1',
  'approle-secret-id-path': '/etc/secret-id',
}

type Given = Readonly<Record<string, string | undefined>>

function wordsOf(given: Given): string[] {
  return Object.entries(given).flatMap(([name, text]) =>
    text === undefined ? [] : [`-${name}=${text}`],
  )
}

function configOf(words: readonly string[], environment: Given = {}, emptyDir = false): Config {
  return configOfArguments(words, { environment, isEmptyDir: () => emptyDir })
}

function problemsOf(words: readonly string[], environment: Given = {}): readonly string[] {
  try {
    configOf(words, environment)
    return []
  } catch (error) {
    assert.instance(error, ConfigError)
    assert.match(String((error as ConfigError).hint), /docs\/openshift\.md/)
    return (error as ConfigError).problems
  }
}

/** The provider and what else the arguments made, without what no argument changes. */
function madeOf(words: readonly string[], environment: Given = {}) {
  const config = configOf(words, environment)
  const [provider] = config.providers
  if (provider?.type !== 'vault' || provider.auth.method !== 'approle') throw new Error('no vault')
  return { config, provider, auth: provider.auth }
}

test('the command line of an operator is the config that a file would say', () => {
  const { config, provider, auth } = madeOf([
    '-listen-address=unix:///var/run/kmsplugin/kms-555.sock',
    '-vault-address=https://vault.example.com:8200',
    '-vault-key-path=team/transit/keys/my-key',
    '-approle-role-id=11111111-2222-3333-4444-555555555555',
    '-approle-secret-id-path=/var/run/secrets/kms-plugin/kms-plugin-secret-vault-approle_secret-id-555',
    '-tls-ca-file=/var/run/secrets/kms-plugin/kms-plugin-configmap-vault-ca_ca-bundle.crt-555',
    '-tls-sni=vault.internal',
    '-vault-namespace=admin/team',
    '-vault-auth-namespace=admin',
    '-metrics-port=0',
  ])

  assert.equal(config.socket, { path: '/var/run/kmsplugin/kms-555.sock', mode: 0o660 })
  assert.equal(
    [provider.address, provider.namespace, provider.mount, provider.key, provider.id],
    ['https://vault.example.com:8200', 'admin/team', 'team/transit', 'my-key', undefined],
  )
  assert.is(
    provider.tls.caFile,
    '/var/run/secrets/kms-plugin/kms-plugin-configmap-vault-ca_ca-bundle.crt-555',
  )
  assert.is(provider.tls.serverName, 'vault.internal')
  assert.is(provider.tls.dangerouslySkipVerification, false)
  assert.equal(auth, {
    method: 'approle',
    mount: 'approle',
    namespace: 'admin',
    roleId: '11111111-2222-3333-4444-555555555555',
    secretIdFile: '/var/run/secrets/kms-plugin/kms-plugin-secret-vault-approle_secret-id-555',
  })
  assert.equal([config.admin, config.probes, config.stateDir], [undefined, undefined, undefined])
  assert.equal(config.log, { level: 'info', format: 'json' })
})

const ALIKE: readonly (readonly string[])[] = [
  wordsOf(NEEDED),
  wordsOf(NEEDED).map((word) => `-${word}`),
  wordsOf(NEEDED).flatMap((word) => word.split('=')),
  [...wordsOf({ ...NEEDED, 'vault-key-path': undefined }), '-transit-key', 'my-key'],
  [...wordsOf(NEEDED), '-vault-namespace=', '-tls-ca-file='],
]

test('one dash or two, "=" or the next word, one path or two arguments are the same', () => {
  const [first, ...others] = ALIKE.map((words) => {
    const { config, provider } = madeOf(words)
    return { ...config, providers: [{ ...provider, mount: provider.mount ?? 'transit' }] }
  })
  for (const other of others) assert.equal(other, first)
})

/** What each argument changes in the config. */
const EFFECTS: Readonly<
  Record<string, [text: string, part: (made: ReturnType<typeof madeOf>) => unknown, is: unknown]>
> = {
  'listen-address': ['/run/kms.sock', ({ config }) => config.socket?.path, '/run/kms.sock'],
  'vault-address': ['https://other:8200', ({ provider }) => provider.address, 'https://other:8200'],
  'vault-namespace': ['a/b', ({ provider }) => provider.namespace, 'a/b'],
  'vault-auth-namespace': ['a', ({ auth }) => auth.namespace, 'a'],
  'vault-key-path': ['x/keys/y', ({ provider }) => [provider.mount, provider.key], ['x', 'y']],
  'vault-connection-timeout': ['1s500ms', ({ config }) => config.requestTimeout, 1_500],
  'tls-ca-file': ['/ca', ({ provider }) => provider.tls.caFile, '/ca'],
  'tls-sni': ['name', ({ provider }) => provider.tls.serverName, 'name'],
  'tls-skip-verify': ['1', ({ provider }) => provider.tls.dangerouslySkipVerification, true],
  'auth-method': ['approle', ({ auth }) => auth.method, 'approle'],
  'auth-mount': ['k8s', ({ auth }) => auth.mount, 'k8s'],
  'approle-role-id': ['r', ({ auth }) => auth.roleId, 'r'],
  'approle-secret-id-path': ['/s', ({ auth }) => auth.secretIdFile, '/s'],
  'log-level': ['debug-extended', ({ config }) => config.log.level, 'debug'],
  'zap-log-level': ['panic', ({ config }) => config.log.level, 'error'],
  'zap-encoder': ['console', ({ config }) => config.log.format, 'text'],
  'zap-devel': ['true', ({ config }) => config.log, { level: 'debug', format: 'text' }],
  'metrics-port': ['9100', ({ config }) => config.admin?.listen, { host: '127.0.0.1', port: 9100 }],
  'disable-runtime-metrics': ['true', ({ config }) => config.admin?.runtimeMetrics, false],
  'health-port': ['8082', ({ config }) => config.probes?.listen, { host: '0.0.0.0', port: 8082 }],
}

for (const [name, [text, part, expected]] of Object.entries(EFFECTS)) {
  test(`-${name} has its effect, and so has its variable, over which the argument goes`, () => {
    const others = { ...NEEDED, [name]: undefined }
    const variable = `VAULT_KUBE_KMS_${name.toUpperCase().replaceAll('-', '_')}`

    assert.equal(part(madeOf([...wordsOf(others), `-${name}=${text}`])), expected)
    assert.equal(part(madeOf(wordsOf(others), { [variable]: text })), expected)
    const over = [...wordsOf(others), `--${name}`, ...(KIND_SWITCH.has(name) ? [] : [text])]
    assert.equal(part(madeOf(over, { [variable]: '0' })), expected)
  })
}
const KIND_SWITCH = new Set(['tls-skip-verify', 'zap-devel', 'disable-runtime-metrics'])

test('the page of the arguments has each of them, and no other one', async () => {
  const page = await readFile(new URL('../../docs/openshift.md', import.meta.url), 'utf8')
  const rows = [...page.matchAll(/^\| (`-[^|]*) \|/gm)].flatMap(([, cell = '']) =>
    [...cell.matchAll(/`-([a-z-]+)`/g)].map(([, name = '']) => name),
  )
  assert.equal(new Set(rows), new Set([...Object.keys(EFFECTS), 'transit-key', 'transit-mount']))
})

test('-transit-mount goes with -transit-key', () => {
  const words = wordsOf({ ...NEEDED, 'vault-key-path': undefined })
  const { provider } = madeOf([...words, '-transit-mount=k8s', '-transit-key=kek'])
  assert.equal([provider.mount, provider.key], ['k8s', 'kek'])
})

test('the ports are those of the documentation, and none where the one for metrics is closed', () => {
  const portsOf = (...more: string[]) => {
    const { admin, probes } = configOf([...wordsOf(NEEDED), ...more])
    return [admin?.listen, probes?.listen]
  }
  const [metrics, health] = [
    { host: '127.0.0.1', port: 9090 },
    { host: '0.0.0.0', port: 8081 },
  ]
  assert.equal(portsOf(), [metrics, health])
  assert.equal(portsOf('-metrics-port=0'), [undefined, undefined])
  assert.equal(portsOf('-metrics-port=-1'), [undefined, undefined])
  assert.equal(portsOf('-metrics-port', '-1'), [undefined, undefined])
  assert.equal(portsOf('-metrics-port=0', '-health-port=8081'), [undefined, health])
  assert.equal(portsOf('-health-port=0'), [metrics, undefined])
})

test('the socket is open to all in an emptyDir, which no other pod can reach, and to its group elsewhere', () => {
  const words = wordsOf({ ...NEEDED, 'listen-address': 'unix:///var/run/kmsplugin/kms-1.sock' })
  assert.is(configOf(words, {}, true).socket?.mode, 0o666)
  assert.is(configOf(words, {}, false).socket?.mode, 0o660)
  assert.is(configOf(wordsOf(NEEDED)).socket?.path, '/tmp/vault-kube-kms.socket')
})

test('http:// needs no further word, since the command line has it', () => {
  const { provider } = madeOf(wordsOf({ ...NEEDED, 'vault-address': 'http://127.0.0.1:8200' }))
  assert.equal([provider.address, provider.allowInsecureHttp], ['http://127.0.0.1:8200', true])
  assert.is(madeOf(wordsOf(NEEDED)).provider.allowInsecureHttp, false)
})

test('a role id whose file ends in a line break is that role id', () => {
  const words = wordsOf({ ...NEEDED, 'approle-role-id': 'role-1\n' })
  assert.is(madeOf(words).auth.roleId, 'role-1')
})

test('a longer time than an API server waits is cut to what fits', () => {
  const timeout = (text: string) =>
    configOf([...wordsOf(NEEDED), `-vault-connection-timeout=${text}`]).requestTimeout
  assert.equal([timeout('30s'), timeout('1m'), timeout('0.2s')], [2_500, 2_500, 200])
})

for (const [text, level] of [
  ['debug', 'debug'],
  ['info', 'info'],
  ['warn', 'warn'],
  ['error', 'error'],
  ['4', 'warn'],
  ['5', 'debug'],
  ['6', 'debug'],
] as const) {
  test(`-zap-log-level=${text} is ${level}`, () => {
    assert.is(configOf([...wordsOf(NEEDED), `-zap-log-level=${text}`]).log.level, level)
  })
}

test('every mistake is told at once, each with its argument and what was wanted', () => {
  assert.equal(
    problemsOf([
      '-listen-address=kms.sock',
      '-vault-adress=https://vault:8200',
      '--vault-adress=https://vault:8201',
      '-vault-key-path=/my-key',
      '-metrics-port=many',
      '-tls-skip-verify=perhaps',
      '-auth-method=jwt',
    ]),
    [
      '-vault-adress: there is no such argument; did you mean -vault-address?',
      '-vault-address: is missing: wanted https://host:port of the server',
      '-vault-key-path: wanted MOUNT/keys/KEY, such as transit/keys/my-key',
      '-tls-skip-verify: wanted true or false',
      '-auth-method: wanted approle',
      '-approle-role-id: is missing: wanted the role id, which is no secret',
      '-approle-secret-id-path: is missing: wanted the path of a file with the secret id',
      '-metrics-port: wanted a port up to 65535, or 0 for none',
      '-listen-address: wanted an absolute path of at most 103 bytes, or unix:// and one',
    ],
  )
})

/** Each has the good arguments around it. */
const MISTAKES: Readonly<Record<string, [words: readonly string[], problem: RegExp]>> = {
  'a word alone': [['vault'], /^Word 5 of the command line: wanted -name=value$/],
  'a bare dash': [['-'], /^Word 5 of the command line: wanted -name=value$/],
  'a value that is missing': [['-tls-sni', '-metrics-port=0'], /^-tls-sni: wanted a value/],
  'the same twice': [['-tls-sni=a', '-tls-sni=b'], /^-tls-sni: is there twice$/],
  'an address without a scheme': [['-vault-address=vault:8200'], /^-vault-address/],
  'an address with a path of secrets': [['-tls-ca-file=ca.pem'], /^-tls-ca-file: wanted/],
  'a secret id that is no path': [
    ['-approle-secret-id-path=abc'],
    /^-approle-secret-id-path: wanted/,
  ],
  'a path and a key': [['-transit-key=other'], /^-vault-key-path: wanted no -transit-mount/],
  'two levels': [
    ['-log-level=info', '-zap-log-level=info'],
    /^-log-level: wanted no -zap-log-level/,
  ],
  'a port that is none': [['-health-port=70000'], /^-health-port: wanted a port/],
  'a time without a unit': [['-vault-connection-timeout=30'], /^-vault-connection-timeout: wanted/],
  'a socket of another kind': [['-listen-address=tcp://127.0.0.1:1'], /^-listen-address/],
  'a key with a path': [['-vault-key-path=transit/keys/..'], /^-vault-key-path: wanted/],
  'a mount that climbs': [['-vault-key-path=a/../b/keys/k'], /^-vault-key-path: wanted a path/],
  'a namespace with a space': [['-vault-namespace=a b'], /^-vault-namespace: wanted/],
  'a format of no use': [['-zap-encoder=xml'], /^-zap-encoder: wanted json or console$/],
}

for (const [what, [words, problem]] of Object.entries(MISTAKES)) {
  test(`${what} is refused`, () => {
    const names = new Set(words.map((word) => /^-+([a-z-]+)/.exec(word)?.[1]))
    const others = Object.fromEntries(Object.entries(NEEDED).filter(([name]) => !names.has(name)))
    const filler = Object.keys(NEEDED).length - Object.keys(others).length
    const needed = [
      ...wordsOf(others),
      ...Array<string>(filler).fill('-auth-method=approle').slice(0, 1),
    ]
    const problems = problemsOf([...(filler === 0 ? wordsOf(NEEDED) : needed), ...words])
    assert.is(problems.length, 1, problems.join('\n'))
    assert.match(problems[0] ?? '', problem)
  })
}

test('a variable that is none is refused, unless Kubernetes made it for a Service of that name', () => {
  const wrong = problemsOf(wordsOf(NEEDED), { VAULT_KUBE_KMS_TLS_SKI: 'x' })
  assert.equal(wrong, [
    'Variable VAULT_KUBE_KMS_TLS_SKI of the environment: there is no such setting',
  ])
  const service = {
    VAULT_KUBE_KMS_SERVICE_HOST: '10.0.0.1',
    VAULT_KUBE_KMS_SERVICE_PORT: '443',
    VAULT_KUBE_KMS_PORT: 'tcp://10.0.0.1:443',
    VAULT_KUBE_KMS_PORT_443_TCP: 'tcp://10.0.0.1:443',
  }
  assert.equal(problemsOf(wordsOf(NEEDED), service), [])
})

test('what stands in a wrong place is never shown', () => {
  const lines = [
    [`-approle-secret-id=${PLANTED}`],
    ['-approle-secret-id', PLANTED],
    [PLANTED],
    [`-${PLANTED}`],
    [`-vault-address=${PLANTED}`],
    [`-vault-key-path=${PLANTED}`],
    [`-approle-secret-id-path=${PLANTED}`],
    [`-zap-log-level=${PLANTED}`],
    [`-metrics-port=${PLANTED}`],
    [`-vault-connection-timeout=${PLANTED}`],
    [`-tls-skip-verify=${PLANTED}`],
  ]
  for (const words of lines) {
    const problems = problemsOf(words, { VAULT_KUBE_KMS_VAULT_NAMESPACE: `${PLANTED} ` })
    assert.ok(problems.length > 0)
    assert.not.match(problems.join('\n'), new RegExp(PLANTED), words.join(' '))
  }
})

test('a command is no call of a plugin, and neither are its flags', () => {
  const no: [string[], Given?][] = [
    [[]],
    [['--help']],
    [['-V']],
    [['serve', '-vault-address=x']],
    [['-x']],
    [[], { VAULT_KUBE_KMS_SERVICE_HOST: '10.0.0.1' }],
    [['--help'], { VAULT_KUBE_KMS_VAULT_ADDRESS: 'x' }],
  ]
  for (const [words, environment = {}] of no) {
    assert.not.ok(isPluginCall(words, environment), words.join(' '))
  }
  assert.ok(isPluginCall(['-vault-address=x'], {}))
  assert.ok(isPluginCall(['-wrong=1', '--metrics-port', '0'], {}))
  assert.ok(isPluginCall([], { VAULT_KUBE_KMS_VAULT_ADDRESS: 'x' }))
})

test.run()
