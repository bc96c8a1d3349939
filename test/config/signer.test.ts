import * as assert from 'uvu/assert'
import { ConfigError, parseConfig } from '../../src/config/load.ts'
import { suite } from '../_lib/uvu.ts'

const KEY = { type: 'local', keyFile: '/var/lib/trousseau/signer-keys' }
const SIGNER = { socket: { path: '/run/trousseau/signer.sock' }, key: KEY }
const GOOD = {
  apiVersion: 'trousseau.io/v1',
  kind: 'TrousseauConfig',
  socket: { path: '/run/trousseau/kms.sock' },
  providers: [{ name: 'here', type: 'local', keyFile: '/var/lib/trousseau/keys' }],
  stateDir: '/var/lib/trousseau/state',
  signer: SIGNER,
}
const VAULT = {
  type: 'vault',
  address: 'https://vault.example.org:8200',
  key: 'k8s-sa',
  auth: { method: 'token', tokenFile: '/etc/trousseau/token' },
}

const test = suite('config/signer', () => ({}))

function problems(content: unknown): readonly string[] {
  try {
    parseConfig(content, 'c')
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
}

test('what is not said changes nothing for pods, and lets everybody know a key before it signs [J5]', () => {
  const { signer } = parseConfig(GOOD, 'c')
  assert.is(signer?.maxTokenLife, 8_760 * 3_600_000)
  assert.is(signer?.refreshHint, 60_000)
  assert.is(signer?.activationDelay, 900_000)
  assert.is(signer?.socket.mode, 0o600)
  assert.equal([signer?.legacyKeys, signer?.distrusted], [[], []])
  assert.is(parseConfig({ ...GOOD, signer: undefined }, 'c').signer, undefined)
  const vault = parseConfig({ ...GOOD, signer: { ...SIGNER, key: VAULT } }, 'c').signer?.key
  assert.is(vault?.type === 'vault' ? vault.mount : '', 'transit')
})

const http = { ...VAULT, address: 'http://vault.example.org:8200' }
const cert = { ...VAULT, auth: { method: 'cert' } }
const WRONG: readonly (readonly [object, RegExp])[] = [
  [{ maxTokenLife: '9m' }, /^c: signer\.maxTokenLife: wanted a duration from 10m/],
  [{ refreshHint: '0s' }, /^c: signer\.refreshHint: wanted a duration from 1s/],
  [{ activationDelay: '119s' }, /^c: signer\.activationDelay: wanted at least 2m/],
  [{ socket: GOOD.socket }, /^c: signer\.socket\.path: wanted another one than that of the KMS/],
  [{ legacyKeys: [{ file: 'sa.pub' }] }, /^c: signer\.legacyKeys\.0\.file: /],
  [{ distrusted: ['short'] }, /^c: signer\.distrusted\.0: wanted the name of a key/],
  [{ key: { type: 'local' } }, /^c: signer\.key\.keyFile: is missing/],
  [{ key: http }, /^c: signer\.key\.address: wanted https:/],
  [{ key: cert }, /^c: signer\.key\.tls: wanted tls\.certFile/],
  [{ key: { ...VAULT, addresses: [VAULT.address] } }, /exactly one of address and addresses/],
]
for (const [wrong, problem] of WRONG) {
  test(`refused: ${JSON.stringify(wrong)}`, () => {
    const [first, ...more] = problems({ ...GOOD, signer: { ...SIGNER, ...wrong } })
    assert.match(first ?? '', problem)
    assert.equal(more, [])
  })
}

test('what must fit with the rest of the config', () => {
  const { stateDir: _stateDir, ...stateless } = GOOD
  assert.match(problems(stateless)[0] ?? '', /^c: stateDir: wanted, because an API server/)
  const providers = [{ ...GOOD.providers[0], name: 'signer' }]
  assert.match(problems({ ...GOOD, providers })[0] ?? '', /the name "signer" is the signer's/)
})

test.run()
