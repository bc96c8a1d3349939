/** `check --signer` on a good signer, on Trousseau's own, and on signers that each break something. @module */

import { Buffer } from 'node:buffer'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import * as assert from 'uvu/assert'
import { runProgram } from '../../../src/cli/program.ts'
import { createKeyFile } from '../../../src/services/local/key_file.ts'
import { signingKeys } from '../../../src/services/local/signing_key.ts'
import type { RuleFinding } from '../../../src/tools/conformance/rule.ts'
import { checkSigner } from '../../../src/tools/conformance/signer_rules.ts'
import { memoryIo } from '../../_lib/console/memory_io.ts'
import { startFakePlugin } from '../../_lib/grpc/fake_plugin.ts'
import {
  type FakeKey,
  type FakeSigner,
  type FakeToken,
  P256,
  startFakeSigner,
} from '../../_lib/grpc/fake_signer.ts'
import { startPluginHere } from '../../_lib/plugin/in_process.ts'
import { suite } from '../../_lib/uvu.ts'
import { until } from '../../_lib/wait.ts'

const test = suite('tools/conformance/signer', () => ({}))
const LIMIT_MS = 3_000
/** Every rule of a signer that can be seen from outside. */
const RULES = [
  ...['J1', 'J2', 'J3', 'J5', 'J6', 'J7', 'J8'],
  ...['J10', 'J12', 'J11', 'J13', 'J14', 'J15', 'J16'],
]

async function probe(hooks: FakeSigner): Promise<RuleFinding[]> {
  await using signer = await startFakeSigner(hooks)
  return await checkSigner(signer.path, LIMIT_MS)
}

/** A warning with a question mark. */
function broken(findings: readonly RuleFinding[]): string[] {
  return findings
    .filter(({ result }) => result === 'fail' || result === 'warn')
    .map(({ rule, result }) => (result === 'warn' ? `${rule}?` : rule))
}

function refuse(message = 'Refused'): never {
  throw new Error(message)
}

/** Each answer of FetchKeys has this changed in its key. */
function withKey(changed: Partial<FakeKey>): FakeSigner {
  return { keys: (good) => ({ ...good, keys: good.keys.map((each) => ({ ...each, ...changed })) }) }
}

/** A second key, like the first but for this. */
function besideKey(changed: Partial<FakeKey>): FakeSigner {
  return {
    keys: (good) => ({
      ...good,
      keys: good.keys.flatMap((each) => [each, { ...each, ...changed }]),
    }),
  }
}

/** Once there was a first token. */
function refusingAfterOne(message: (claims: string) => string): FakeSigner {
  let signed = false
  return {
    sign(claims, good) {
      if (signed) refuse(message(claims))
      signed = true
      return good()
    },
  }
}

function sameForAll(): FakeSigner {
  let first: FakeToken | undefined
  return {
    sign(_claims, good) {
      first ??= good()
      return first
    },
  }
}

const spkiOf = (key: KeyObject) => new Uint8Array(key.export({ type: 'spki', format: 'der' }))
const RSA = generateKeyPairSync('rsa', { modulusLength: 2048 })
const ED25519 = spkiOf(generateKeyPairSync('ed25519').publicKey)
const OTHER = spkiOf(generateKeyPairSync('ec', P256).publicKey)
const AFTER_9999 = { seconds: 253_402_300_800n, nanos: 0 }

const BROKEN: readonly (readonly [what: string, rules: readonly string[], hooks: FakeSigner])[] = [
  ['another service', ['J1'], { service: 'v1alpha1.ExternalJWTSigner' }],
  ['FetchKeys that always fails', ['J2'], { keys: () => refuse() }],
  ['FetchKeys that is no message', ['J2'], { keysBytes: Buffer.from([0x0a, 0xff]) }],
  ['Metadata that always fails', ['J3'], { seconds: () => refuse() }],
  ['tokens of 599 s', ['J5'], { seconds: () => 599n }],
  ['no refresh hint', ['J6'], { keys: (good) => ({ ...good, refreshHintSeconds: 0n }) }],
  ['no keys', ['J7', 'J12'], { keys: (good) => ({ ...good, keys: [] }) }],
  ['a key without a name', ['J7', 'J14?'], besideKey({ keyId: '' })],
  ['a name of 1025 bytes', ['J7', 'J14?'], besideKey({ keyId: 'x'.repeat(1_025) })],
  ['an Ed25519 key beside', ['J7', 'J14?'], besideKey({ keyId: 'ed', key: ED25519 })],
  ['bytes that are no key beside', ['J7', 'J14?'], besideKey({ keyId: 'x', key: OTHER.slice(1) })],
  ['no time', ['J8'], { keys: (good) => ({ ...good, dataTimestamp: undefined }) }],
  ['a time after 9999', ['J8'], { keys: (good) => ({ ...good, dataTimestamp: AFTER_9999 }) }],
  ['Sign that always fails', ['J10'], { sign: () => refuse() }],
  ['a header that is no JSON', ['J10'], { sign: (_, good) => ({ ...good(), header: 'e30x' }) }],
  ['a header with padding', ['J10'], { sign: (_, good) => ({ ...good(), header: 'e30=' }) }],
  ['a header with more fields', ['J10'], { sign: (_, good) => good({ jku: 'https://x' }) }],
  ['another typ', ['J10'], { sign: (_, good) => good({ typ: 'at+jwt' }) }],
  ['alg PS256', ['J10'], { sign: (_, good) => good({ alg: 'PS256' }) }],
  ['no kid', ['J10'], { sign: (_, good) => good({ kid: undefined }) }],
  ['a kid that is a number', ['J10'], { sign: (_, good) => good({ kid: 1 }) }],
  ['a kid that nobody knows', ['J12'], { sign: (_, good) => good({ kid: 'unknown' }) }],
  ['a signature over other claims', ['J11'], { sign: (_, good) => good({}, 'e30') }],
  [
    'a signature with padding',
    ['J11'],
    { sign: (_, good) => ({ ...good(), signature: `${good().signature}=` }) },
  ],
  ['ES384 with a key of P-256', ['J11'], { sign: (_, good) => good({ alg: 'ES384' }) }],
  ['ES256 with an RSA key', ['J11'], { pair: RSA }],
  ['another key under the name', ['J11', 'J14?'], withKey({ key: OTHER })],
  ['a key out of discovery', ['J13'], withKey({ excludeFromOidcDiscovery: true })],
  [
    'names of its own',
    ['J14?'],
    { ...withKey({ keyId: 'mine' }), sign: (_, good) => good({ kid: 'mine' }) },
  ],
  ['Sign that works once', ['J15'], refusingAfterOne(() => 'Refused')],
  ['one signature for all', ['J15'], sameForAll()],
  ['errors that quote the claims', ['J15', 'J16'], refusingAfterOne((claims) => `Not ${claims}`)],
  [
    'errors that quote what the claims say',
    ['J15', 'J16'],
    refusingAfterOne((claims) => `Not ${Buffer.from(claims, 'base64url')}`),
  ],
]

test('checkSigner() has nothing to say against a good signer, and looks at every rule [J1 J15 J16]', async () => {
  const findings = await probe({})
  assert.equal(broken(findings), [])
  assert.equal(
    findings.map(({ rule }) => rule),
    RULES,
  )
  assert.ok(findings.every(({ result }) => result === 'pass'))
})

for (const [what, rules, hooks] of BROKEN) {
  test(`checkSigner() names ${rules.join(', ')} for ${what}`, async () => {
    assert.equal(broken(await probe(hooks)), rules)
  })
}

test('a plugin of the KMS is no signer, and the rest is skipped for that', async () => {
  await using plugin = await startFakePlugin({})
  const findings = await checkSigner(plugin.path, LIMIT_MS)
  assert.equal(broken(findings), ['J1'])
  assert.is(findings.filter(({ result }) => result === 'skipped').length, RULES.length - 1)
})

test("Trousseau's own signer keeps every rule, and the command says so", async () => {
  let path = ''
  await using _plugin = await startPluginHere(async (folder) => {
    path = folder.at('signer.sock')
    const keyFile = folder.at('signer-keys')
    await createKeyFile(keyFile, () => Date.now(), signingKeys())
    return {
      stateDir: folder.at('state'),
      signer: { socket: { path }, key: { type: 'local', keyFile } },
    }
  })
  const printed = await until('it signs', async () => {
    const io = memoryIo()
    const code = await runProgram(['check', '--signer', '--socket', path, '--json'], io)
    return code === 0 && io.printed()
  })
  const { conforms, findings } = JSON.parse(printed)
  assert.is(conforms, true)
  assert.equal(broken(findings), [])
})

test.run()
