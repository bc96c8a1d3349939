import { execFileSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { ConfigError, loadConfig, parseConfig } from '../../src/config/load.ts'
import { type Config, configSchema } from '../../src/config/schema.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { rejection, suite } from '../_lib/uvu.ts'

const test = suite('config/load', () => ({}))

const SECRET = 'hvs.CAESIJ-planted'

const VAULT = {
  name: 'vault-prod',
  type: 'vault',
  address: 'https://vault.example.org:8200',
  key: 'k8s-etcd',
  auth: { method: 'token', tokenFile: '/etc/trousseau/token' },
}
const GOOD = {
  apiVersion: 'trousseau.io/v1',
  kind: 'TrousseauConfig',
  socket: { path: '/run/trousseau/kms.sock' },
  providers: [{ name: 'here', type: 'local', keyFile: '/var/lib/trousseau/keys' }],
}

/** The example of the docs. */
const YAML = `
apiVersion: trousseau.io/v1
kind: TrousseauConfig
socket: { path: unix:///run/trousseau/kms.sock, mode: "0660", owner: 0, group: 1000 }
providers:
  - name: vault-prod
    type: vault
    address: https://vault.example.org:8200/
    mount: transit
    key: k8s-etcd
    tls: { caFile: /etc/trousseau/ca.pem }
    auth: { method: approle, mount: approle, roleIdFile: /etc/trousseau/role-id, secretIdFile: /etc/trousseau/secret-id }
rotation: { activationDelay: 1h }
admin: { listen: "127.0.0.1:8787" }
log: { level: info, format: json }
`

async function load(text: string): Promise<Config> {
  await using folder = await tempFolder()
  const path = folder.at('trousseau.yaml')
  await writeFile(path, text)
  return await loadConfig(path)
}

/** The problems of a text, without the folder's name. */
const THREE = {
  ...GOOD,
  providers: ['a', 'b', 'c'].map((name) => ({ ...VAULT, name, id: name })),
}

async function problemsOf(text: string): Promise<string[]> {
  const error = await rejection(load(text))
  assert.instance(error, ConfigError)
  return (error as ConfigError).problems.map((line) => line.replace(/^.*\/(?=trousseau\.yaml)/, ''))
}

function problems(content: unknown): readonly string[] {
  try {
    parseConfig(content, 'c')
  } catch (error) {
    assert.instance(error, ConfigError)
    return (error as ConfigError).problems
  }
  return []
}

test('loadConfig() reads YAML', async () => {
  const config = await load(YAML)

  assert.equal(config.socket, {
    path: '/run/trousseau/kms.sock',
    mode: 0o660,
    owner: 0,
    group: 1000,
  })
  assert.is(config.providers[0]?.name, 'vault-prod')
  assert.is(config.rotation.activationDelay, 3_600_000)
  assert.equal(config.admin, { listen: { host: '127.0.0.1', port: 8787 }, runtimeMetrics: true })
})

test('loadConfig() reads JSON and fills in every default', async () => {
  const config = await load(JSON.stringify(GOOD))

  assert.equal(config, {
    ...GOOD,
    socket: { path: '/run/trousseau/kms.sock', mode: 0o600 },
    providers: [{ name: 'here', type: 'local', keyFile: '/var/lib/trousseau/keys' }],
    protection: 'any',
    rotation: { activationDelay: 300_000 },
    health: { interval: 30_000, staleAfter: 90_000, outageHold: 900_000 },
    requestTimeout: 2_500,
    statusVersion: 'v2',
    log: { level: 'info' },
  } as unknown as Config)
})

test('parseConfig() reads every form of admin.listen', () => {
  for (const [listen, wanted] of [
    ['127.0.0.1:0', { host: '127.0.0.1', port: 0 }],
    ['localhost:65535', { host: 'localhost', port: 65_535 }],
    ['[::1]:8787', { host: '::1', port: 8787 }],
    ['unix:///run/trousseau/admin.sock', { path: '/run/trousseau/admin.sock' }],
  ] as const) {
    assert.equal(parseConfig({ ...GOOD, admin: { listen } }, 'c').admin?.listen, wanted)
  }
})

test('parseConfig() reads which forms a provider reads, and the version of a socket taken over', () => {
  const reads = ['trousseau-1', 'trousseau-2', 'kleidi']
  const config = parseConfig(
    { ...GOOD, statusVersion: 'v2beta1', providers: [{ ...VAULT, reads }] },
    'c',
  )

  assert.equal(config.providers[0]?.reads, reads)
  assert.is(config.statusVersion, 'v2beta1')
})

for (const [what, provider, problem] of [
  [
    'that its provider does not open',
    { ...VAULT, reads: ['trousseau-1', 'k8s-cloudkms-plugin'] },
    'reads: wanted forms that type vault opens: trousseau-1, trousseau-2, vault-kubernetes-kms, vault-kms-provider, kleidi',
  ],
  [
    'with a local key',
    { ...GOOD.providers[0], reads: ['trousseau-1'] },
    'reads: wanted no forms: no other plugin used what type local is',
  ],
  ['twice', { ...VAULT, reads: ['kleidi', 'kleidi'] }, 'reads: wanted each form once'],
  ['of an empty list', { ...VAULT, reads: [] }, 'reads: wanted at least one form'],
  [
    'that nobody knows',
    { ...VAULT, reads: ['trousseau-3'] },
    'reads.0: wanted "trousseau-1", "trousseau-2", "vault-kubernetes-kms", "vault-kms-provider", "kleidi", "aws-encryption-provider", "azure-kubernetes-kms" or "k8s-cloudkms-plugin"',
  ],
] as const) {
  test(`parseConfig() refuses a form ${what}`, () => {
    assert.equal(problems({ ...GOOD, providers: [provider] }), [`c: providers.0.${problem}`])
  })
}

test('parseConfig() refuses two providers whose forms cannot be told apart', () => {
  const two = [
    { ...VAULT, name: 'a', reads: ['trousseau-1'] },
    { ...VAULT, name: 'b', reads: ['vault-kubernetes-kms'] },
  ]

  assert.ok(
    problems({ ...GOOD, providers: two }).includes(
      'c: providers: wanted "reads" whose forms can be told apart, but "a" reads trousseau-1 and "b" reads vault-kubernetes-kms',
    ),
  )
})

test('loadConfig() lists all problems at once, with path and expectation and no value', async () => {
  const text = `
apiVersion: ${SECRET}
kind: TrousseauConfig
socket: { path: "${SECRET}", mode: ${SECRET}, user: 3 }
providers:
  - { name: ${SECRET}, type: vault, address: "http://${SECRET}", key: k, auth: { method: token, tokenFile: ${SECRET} } }
requestTimeout: ${SECRET}
health: { interval: 100s }
log: { level: ${SECRET} }
unheard-of: { key: ${SECRET} }
`
  const found = await problemsOf(text)

  assert.equal(found, [
    'trousseau.yaml:2:1: apiVersion: wanted "trousseau.io/v1"',
    'trousseau.yaml:4:11: socket.path: wanted an absolute path of at most 103 bytes, or unix:// and one',
    'trousseau.yaml:4:39: socket.mode: wanted octal permissions in quotes such as "0600"',
    'trousseau.yaml:4:65: socket.user: is not a known key: check its spelling and place',
    'trousseau.yaml:6:7: providers.0.name: wanted 1 to 63 small letters, digits and "-", with a letter or digit at both ends',
    'trousseau.yaml:6:46: providers.0.address: wanted https:// (http:// only with allowInsecureHttp: true)',
    'trousseau.yaml:6:115: providers.0.auth.tokenFile: wanted an absolute path, which begins with "/"',
    'trousseau.yaml:7:1: requestTimeout: wanted a duration from 100ms to 1m, with its unit, such as "30s"',
    'trousseau.yaml:8:1: health.staleAfter: wanted longer than health.interval',
    'trousseau.yaml:9:8: log.level: wanted "debug", "info", "warn" or "error"',
    'trousseau.yaml:10:1: unheard-of: is not a known key: check its spelling and place',
  ])
  assert.not.match(found.join('\n'), SECRET)
})

function signedBy(key: object) {
  const selfSigned = { ...key, audience: 'vault', subject: 'cp-1' }
  return { ...GOOD, providers: [{ ...VAULT, auth: { method: 'jwt', selfSigned } }] }
}

for (const [what, content, problem] of [
  [
    'nothing',
    null,
    'c: is empty, or has comments only: wanted keys such as apiVersion, kind, socket and providers',
  ],
  ['a list', [GOOD], 'c: is a list: wanted keys such as apiVersion, kind, socket and providers'],
  [
    'one word',
    'hello',
    'c: is one plain value: wanted keys such as apiVersion, kind, socket and providers',
  ],
  [
    'a list in place of keys',
    { ...GOOD, log: ['info'] },
    'c: log: wanted keys with values below it, and no list',
  ],
  ['a word in place of keys', { ...GOOD, log: 'info' }, 'c: log: wanted keys with values below it'],
  [
    'keys in place of a list',
    { ...GOOD, providers: GOOD.providers[0] },
    'c: providers: wanted a list',
  ],
  [
    'a mode that YAML takes for a number',
    { ...GOOD, socket: { ...GOOD.socket, mode: 600 } },
    'c: socket.mode: wanted octal permissions in quotes such as "0600"',
  ],
  [
    'a duration without its unit',
    { ...GOOD, health: { interval: 30 } },
    'c: health.interval: wanted a duration from 100ms to 24h, with its unit, such as "30s"',
  ],
  [
    'a port alone',
    { ...GOOD, admin: { listen: 8787 } },
    'c: admin.listen: wanted host:port with a port up to 65535, or unix:///path',
  ],
  [
    'a number in quotes',
    { ...GOOD, socket: { ...GOOD.socket, owner: '0' } },
    'c: socket.owner: wanted a number, without quotes',
  ],
  [
    'a number with a fraction',
    { ...GOOD, socket: { ...GOOD.socket, owner: 0.5 } },
    'c: socket.owner: wanted a whole number',
  ],
  [
    'yes in quotes',
    { ...GOOD, providers: [{ ...VAULT, decryptOnly: 'yes' }] },
    'c: providers.0.decryptOnly: wanted true or false, without quotes',
  ],
  [
    'a threshold of one',
    { ...THREE, protection: { mode: 'threshold', k: 1 } },
    'c: protection.k: wanted at least 2',
  ],
  [
    'no address',
    { ...GOOD, providers: [{ ...VAULT, address: undefined, addresses: [] }] },
    'c: providers.0.addresses: wanted at least 1 entry',
  ],
  [
    'a login key in a file and in the TPM',
    signedBy({ keyFile: '/k', tpm: { keyFile: '/k' } }),
    'c: providers.0.auth.selfSigned: wanted exactly one of keyFile and tpm',
  ],
  [
    'no login key',
    signedBy({}),
    'c: providers.0.auth.selfSigned: wanted exactly one of keyFile and tpm',
  ],
  [
    'a TPM without its resource manager',
    signedBy({ tpm: { keyFile: '/k', device: '/dev/tpm0' } }),
    'c: providers.0.auth.selfSigned.tpm.device: wanted the device with a resource manager, such as /dev/tpmrm0',
  ],
  ['a missing key', { ...GOOD, socket: {} }, 'c: socket.path: is missing'],
  ['no provider', { ...GOOD, providers: [] }, 'c: providers: wanted at least one provider'],
  [
    'two providers of one name',
    { ...GOOD, providers: [...GOOD.providers, { ...VAULT, name: 'here' }] },
    'c: providers: the name "here" is there twice',
  ],
  [
    'two providers of one id',
    {
      ...GOOD,
      providers: [
        { ...VAULT, id: 'a' },
        { ...VAULT, name: 'b', formerIds: ['a'] },
      ],
    },
    'c: providers: the id "a" is there twice',
  ],
  [
    'only providers that are read',
    { ...GOOD, providers: [{ ...VAULT, decryptOnly: true }] },
    'c: providers: wanted at least one that is not decryptOnly',
  ],
  [
    'a time that decryptOnly would outlast',
    {
      ...GOOD,
      providers: [
        ...GOOD.providers,
        { ...VAULT, decryptOnly: true, activeFrom: '2026-12-01T06:00:00Z' },
      ],
    },
    'c: providers.1.activeFrom: wanted no decryptOnly beside it, which would outlast it',
  ],
  [
    'a provider type of a later version',
    { ...GOOD, providers: [{ name: 'a', type: 'pkcs11' }] },
    'c: providers.0.type: wanted "vault", "awskms", "azurekms", "gcpkms" or "local"',
  ],
  [
    'threshold in short',
    { ...GOOD, protection: 'threshold' },
    'c: protection: wanted "any", or an object with mode',
  ],
  [
    'a misspelt key of protection',
    { ...GOOD, protection: { mode: 'any', minimum: 1 } },
    'c: protection.minimum: is not a known key: check its spelling and place',
  ],
  [
    'a threshold without k',
    { ...GOOD, protection: { mode: 'threshold' } },
    'c: protection.k: is missing',
  ],
  [
    'a threshold above the number of providers',
    { ...GOOD, protection: { mode: 'threshold', k: 2 } },
    'c: protection.k: wanted at most 1, as many as providers are written to',
  ],
  [
    'a minimum below the threshold',
    { ...THREE, protection: { mode: 'threshold', k: 2, minimumProviders: 1 } },
    'c: protection.minimumProviders: wanted at least 2, as many as are needed to read',
  ],
  [
    'a minimum above the number of providers',
    { ...THREE, protection: { mode: 'any', minimumProviders: 4 } },
    'c: protection.minimumProviders: wanted at most 3, as many as providers are written to',
  ],
  [
    'a preference for nobody',
    { ...GOOD, protection: { mode: 'any', decryptPreference: ['there'] } },
    'c: protection.decryptPreference: no provider has the name "there"',
  ],
  [
    'socket and endpoints',
    { ...GOOD, endpoints: [{ name: 'a', socket: { path: '/a' } }] },
    'c: socket: wanted either socket or endpoints, and not both',
  ],
  [
    'an endpoint with a provider that is not there',
    {
      ...GOOD,
      socket: undefined,
      endpoints: [{ name: 'a', socket: { path: '/a' }, providers: ['here', 'there'] }],
    },
    'c: endpoints.0.providers: no provider has the name "there"',
  ],
  [
    'endpoints of one socket',
    {
      ...GOOD,
      socket: undefined,
      endpoints: ['a', 'b'].map((name) => ({ name, socket: { path: '/a' } })),
    },
    'c: endpoints: the socket /a is there twice',
  ],
  [
    'a plain address',
    { ...GOOD, providers: [{ ...VAULT, address: 'http://127.0.0.1:8200' }] },
    'c: providers.0.address: wanted https:// (http:// only with allowInsecureHttp: true)',
  ],
  [
    'a request timeout that is too short',
    { ...GOOD, requestTimeout: '99ms' },
    'c: requestTimeout: wanted a duration from 100ms to 1m, with its unit, such as "30s"',
  ],
  [
    'a port that does not exist',
    { ...GOOD, admin: { listen: '127.0.0.1:65536' } },
    'c: admin.listen: wanted host:port with a port up to 65535, or unix:///path',
  ],
  [
    'a relative state folder',
    { ...GOOD, stateDir: 'state' },
    'c: stateDir: wanted an absolute path, which begins with "/"',
  ],
  [
    'a relative audit file',
    { ...GOOD, audit: { to: 'audit.log' } },
    'c: audit.to: wanted the absolute path of a file, or stdout',
  ],
  [
    'a folder as audit file',
    { ...GOOD, audit: { to: '/var/log/' } },
    'c: audit.to: wanted the absolute path of a file, or stdout',
  ],
  [
    'audit files that are too small',
    { ...GOOD, audit: { to: '/a', maxBytes: 65_535 } },
    'c: audit.maxBytes: wanted a number of bytes, from 65536',
  ],
  [
    'room for less than one audit file',
    { ...GOOD, audit: { to: '/a', maxBytes: 1_000_000, maxTotalBytes: 999_999 } },
    'c: audit.maxTotalBytes: wanted at least audit.maxBytes',
  ],
  [
    'an owner by name',
    { ...GOOD, socket: { ...GOOD.socket, owner: 'root' } },
    'c: socket.owner: wanted a number',
  ],
] as const) {
  test(`parseConfig() refuses ${what}`, () => {
    assert.equal(problems(content), [problem])
  })
}

test('parseConfig() has no audit stream unless it is asked for, and then 64 and 512 MiB', () => {
  assert.is(parseConfig(GOOD, 'c').audit, undefined)
  assert.equal(parseConfig({ ...GOOD, audit: { to: 'stdout' } }, 'c').audit, {
    to: 'stdout',
    maxBytes: 64 * 1024 ** 2,
    maxTotalBytes: 512 * 1024 ** 2,
  })
})

test('parseConfig() takes http:// with allowInsecureHttp', () => {
  const provider = { ...VAULT, address: 'http://127.0.0.1:8200', allowInsecureHttp: true }

  assert.equal(problems({ ...GOOD, providers: [provider] }), [])
})

for (const [what, text, problem] of [
  [
    'a key given twice',
    `kind: a\nkind: ${SECRET}\n`,
    'trousseau.yaml:2:1: not valid YAML (duplicate key)',
  ],
  [
    'a key that is a mapping, of which the levels below are not told',
    `kind: a\nb:\n  ? ? ${SECRET}: c\n`,
    'trousseau.yaml:3:5: a key is a list, a mapping or an alias here, and must be a name',
  ],
  [
    'a key that is an alias, which may be any key',
    `kind: &a kind\n*a : ${SECRET}\n`,
    'trousseau.yaml:2:1: a key is a list, a mapping or an alias here, and must be a name',
  ],
  ['what nests deeper than the parser can go', `a: ${'[a: '.repeat(4_000)}`, /nests too deep/],
  [
    'many places that are no YAML, of which ten are told',
    `a: ${'&a '.repeat(1_000)}`,
    /:(?=1:28: )[\s\S]*\ntrousseau.yaml: and 989 more such places$/,
  ],
  [
    'a text that is no YAML',
    `a: "${SECRET}\nb`,
    'trousseau.yaml:2:2: not valid YAML (missing char)',
  ],
  [
    'two documents',
    `a: 1\n---\nb: ${SECRET}\n`,
    'trousseau.yaml:2:1: not valid YAML (multiple docs)',
  ],
  ['an alias to nothing', `a: *${SECRET.replace('.', '')}`, /^trousseau\.yaml/],
  [
    'a bomb of aliases',
    `a: &a [x, x]\nb: &b [*a, *a, *a, *a]\nc: &c [*b, *b, *b, *b]\nd: [*c, *c, *c, *c]\n`,
    'trousseau.yaml: has too many aliases, or one that leads nowhere',
  ],
] as const) {
  test(`loadConfig() refuses ${what}, by place and without content`, async () => {
    const found = (await problemsOf(text)).join('\n')

    if (typeof problem === 'string') assert.match(found, problem)
    else assert.match(found, problem)
    assert.not.match(found, SECRET)
  })
}

test('parseConfig() takes where traces go, and keeps the part before /v1/traces', () => {
  assert.is(parseConfig(GOOD, 'c').traces, undefined)
  for (const [endpoint, kept] of [
    ['http://127.0.0.1:4318', 'http://127.0.0.1:4318'],
    ['https://otel.example.org/otlp/v1/traces/', 'https://otel.example.org/otlp'],
    ['unix:///run/otel.sock', 'unix:///run/otel.sock'],
  ]) {
    const { traces } = parseConfig({ ...GOOD, traces: { endpoint } }, 'c')
    assert.equal([traces?.endpoint, traces?.sampleRatio], [kept, 1])
  }
})

for (const endpoint of [
  'https://otel.example.org',
  'http://127.0.0.1:4318',
  'http://127.9.0.1',
  'http://localhost:4318',
  'http://[::1]:4318',
  'unix:///run/otel.sock',
]) {
  test(`parseConfig() takes a token for ${endpoint}`, () => {
    const traces = { endpoint, tokenFile: '/etc/trousseau/otel-token' }
    assert.equal(problems({ ...GOOD, traces }), [])
  })
}

const PRIVATE =
  'c: traces.tokenFile: wanted an endpoint with https, on this node or a unix socket: anybody on the way can read the token'
for (const [traces, problem] of [
  [{}, 'c: traces.endpoint: is missing'],
  [{ endpoint: 'collector:4318' }, 'c: traces.endpoint: wanted https://host:port'],
  [
    { endpoint: `https://user:${SECRET}@host` },
    'c: traces.endpoint: wanted an address without user',
  ],
  [
    { endpoint: `https://host/?key=${SECRET}` },
    'c: traces.endpoint: wanted an address without "?"',
  ],
  [{ endpoint: 'http://otel.example.org', tokenFile: '/token' }, PRIVATE],
  [{ endpoint: 'http://127.0.0.1.example.org', tokenFile: '/token' }, PRIVATE],
  [{ endpoint: 'https://host', sampleRatio: 1.5 }, 'c: traces.sampleRatio: wanted at most 1'],
  [{ endpoint: 'https://host', token: SECRET }, 'c: traces.token: is not a known key'],
] as const) {
  test(`parseConfig() refuses traces with ${problem}`, () => {
    const found = problems({ ...GOOD, traces }).join('\n')

    assert.ok(found.startsWith(problem), found)
    assert.not.match(found, SECRET)
  })
}

for (const [address, wanted] of [
  ['https://gate.example.org/a//vault', /a path without empty parts/],
  ['https://gate.example.org/a/../vault', /a path without "\." and "\.\."/],
  ['https://gate.example.org/vault/..', /a path without "\." and "\.\."/],
  ['https://gate.example.org/%2e%2e/vault', /a path of letters, digits/],
  ['https://gate.example.org/vault?planted', /without "\?" and "#"/],
  ['https://gate.example.org/vault#planted', /without "\?" and "#"/],
  ['https://root:planted@gate.example.org/vault', /without user and password/],
  ['gate.example.org/vault', /https:\/\/host:port, maybe with a path, or unix:/],
] as const) {
  test(`an address such as ${address} is refused, with words that do not quote it`, () => {
    const [problem = '', ...more] = problems({ ...GOOD, providers: [{ ...VAULT, address }] })

    assert.equal(more, [])
    assert.match(problem, /^c: providers\.0\.address: wanted /)
    assert.match(problem, wanted)
    assert.not.match(problem, /planted|gate/)
  })
}

test('an address with a path is taken, with and without a slash at its end, and so is a socket', () => {
  const addresses = ['https://Gate.example.org:443/eu/vault/', 'unix:///run/agent.sock']

  const { providers } = parseConfig(
    { ...GOOD, providers: [{ ...VAULT, address: undefined, addresses }] },
    'c',
  )

  assert.equal(Object(providers[0]).addresses, [
    'https://gate.example.org/eu/vault',
    'unix:///run/agent.sock',
  ])
})

for (const [what, change, at] of [
  ['AWS KMS', { type: 'awskms', key: 'alias/k', region: 'eu-west-1', endpoint: 1 }, 'endpoint'],
  [
    'AWS STS',
    { type: 'awskms', key: 'alias/k', region: 'eu-west-1', stsEndpoint: 1 },
    'stsEndpoint',
  ],
  ['a proxy', { ...VAULT, proxy: { url: 1 } }, 'proxy.url'],
  [
    'Google KMS',
    { type: 'gcpkms', key: 'k', endpoint: 1, auth: { method: 'metadata' } },
    'endpoint',
  ],
  [
    'a vault of Azure',
    { type: 'azurekms', vault: 'kv1', key: 'k', endpoints: { vault: 1 }, login: {} },
    'endpoints.vault',
  ],
] as const) {
  test(`a path in the address of ${what} is refused with words`, () => {
    const text = JSON.stringify({ name: 'p', ...change }).replace(
      /:1\b/,
      ':"https://gate.example.org/kms"',
    )
    const content = { ...GOOD, providers: [JSON.parse(text)] }

    const problem = problems(content).find((line) => line.startsWith(`c: providers.0.${at}:`))

    assert.match(problem ?? '', /without (?:a path|credentials or path)/)
  })
}

test('loadConfig() says why a file cannot be read', async () => {
  await using folder = await tempFolder()
  const error = await rejection(loadConfig(folder.at('none.yaml')))

  assert.instance(error, ConfigError)
  assert.match((error as ConfigError).message, 'none.yaml: there is no such file')
})

test('loadConfig() says what was meant, at its place, and what else is wrong behind the slip', async () => {
  const text = `
apiVersion: trousseau.io/v1
kind: TrousseauConfig
sokcet: { path: /run/kms.sock, mode: 0600 }
providers:
  - name: vault-prod
    type: valut
    adress: https://vault.example.org:8200
    kye: k8s-etcd
    ${SECRET.replaceAll('.', '')}: 1
    auth:
      method: approl
      role-id: a
      secretidfile: etc/secret-id
  - { name: vault-prod, type: local, keyFile: /keys }
`

  assert.equal(await problemsOf(text), [
    'trousseau.yaml:4:1: sokcet: is not a known key: did you mean "socket"?',
    'trousseau.yaml:4:32: socket.mode: wanted octal permissions in quotes such as "0600"',
    'trousseau.yaml:7:5: providers.0.type: wanted "vault", "awskms", "azurekms", "gcpkms" or "local": did you mean "vault"?',
    'trousseau.yaml:8:5: providers.0.adress: is not a known key: did you mean "address"?',
    'trousseau.yaml:9:5: providers.0.kye: is not a known key: did you mean "key"?',
    'trousseau.yaml:10:5: providers.0.hvsCAESIJ-planted: is not a known key: check its spelling and place',
    'trousseau.yaml:12:7: providers.0.auth.method: wanted "approle", "jwt", "cert", "kubernetes", "userpass", "token" or "agent": did you mean "approle"?',
    'trousseau.yaml:13:7: providers.0.auth.role-id: is not a known key: did you mean "roleId"?',
    'trousseau.yaml:14:7: providers.0.auth.secretidfile: is not a known key: did you mean "secretIdFile"?',
    'trousseau.yaml:14:7: providers.0.auth.secretIdFile: wanted an absolute path, which begins with "/"',
  ])
})

test('loadConfig() tells what parts of a config do not fit together beside a slip', async () => {
  const text = JSON.stringify({
    ...GOOD,
    logs: {},
    providers: [...GOOD.providers, { ...VAULT, name: 'here' }],
  })

  assert.equal(
    (await problemsOf(text)).map((line) => line.replace(/^[^ ]+ /, '')),
    ['providers: the name "here" is there twice', 'logs: is not a known key: did you mean "log"?'],
  )
})

test('a slip within one of several forms is told, with what was meant', () => {
  const protection = { mode: 'any', hold_time: '1m', decryptPreference: 'random' }

  assert.equal(problems({ ...GOOD, protection }), [
    'c: protection.hold_time: is not a known key: did you mean "holdTime"?',
    'c: protection.decryptPreference: wanted "fastest", "roundrobin" or a list of names of providers',
  ])
})

test('loadConfig() refuses what is no text in UTF-8', async () => {
  await using folder = await tempFolder()
  const path = folder.at('trousseau.yaml')
  await writeFile(path, JSON.stringify(GOOD), 'utf16le')

  const error = await rejection(loadConfig(path))

  assert.is((error as Error).message, `${path}: is no text in UTF-8: save it with that encoding`)
})

test('loadConfig() refuses at once what never ends or never begins', async () => {
  await using folder = await tempFolder()
  const [pipe, long] = [folder.at('pipe'), folder.at('long')]
  execFileSync('mkfifo', [pipe])
  await writeFile(long, '#'.repeat(5_000_000))

  for (const [path, why] of [
    [pipe, 'it is a pipe or a device, and a file is wanted'],
    ['/dev/zero', 'it is a pipe or a device, and a file is wanted'],
    [long, 'it is longer than 4 MiB'],
    [folder.at('.'), 'it is a folder, and a file is wanted'],
  ] as const) {
    const error = await rejection(loadConfig(path))

    assert.is((error as Error).message, `${path}: cannot be read: ${why}`)
    assert.is((error as ConfigError).hint, undefined)
  }
})

function rulesIn(part: unknown, seen = new Set<unknown>()): object[] {
  if (typeof part !== 'object' || part === null || seen.has(part)) return []
  seen.add(part)
  const own = Reflect.get(part, 'kind') === 'validation' ? [part] : []
  return [...own, ...Object.values(part).flatMap((each) => rulesIn(each, seen))]
}

/** Of these valibot would show an expression, or say nothing at all. */
const WORDLESS = ['regex', 'check', 'iso_timestamp', 'url', 'digits', 'hexadecimal']

test('no rule of a config is told as a regular expression', () => {
  const rules = rulesIn(configSchema).filter((rule) => WORDLESS.includes(Reflect.get(rule, 'type')))

  assert.ok(rules.length > 40, `${rules.length} rules`)
  assert.equal(
    rules.filter((rule) => Reflect.get(rule, 'message') === undefined),
    [],
  )
})

test.run()
