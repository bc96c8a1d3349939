/** The commands of a login key in the TPM, as docs/logins/tpm.md calls them, and what doctor says. @module */

import { Buffer } from 'node:buffer'
import { generateKeyPairSync } from 'node:crypto'
import { copyFile, readFile, stat, writeFile } from 'node:fs/promises'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { parse } from 'yaml'
import { runProgram } from '../../../src/cli/program.ts'
import { memoryIo } from '../../_lib/console/memory_io.ts'
import { type SoftwareTpm, startSwtpm } from '../../_lib/remote/tpm/swtpm.ts'
import { readPage } from '../../_lib/runbook/page.ts'
import { KEY_SERVER } from '../../_lib/services/vault/key_server.ts'
import { vaultSetup } from '../../_lib/services/vault/setup.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { suite } from '../../_lib/uvu.ts'

const MAIN = fileURLToPath(new URL('../../../src/main.ts', import.meta.url))
const printed = v.object({ auth: v.looseObject({ method: v.literal('jwt') }) })
const state = v.object({
  tpm: v.object({ manufacturer: v.string(), firmware: v.string(), lockedOut: v.boolean() }),
  pcrs: v.record(v.string(), v.string()),
  dependsOn: v.optional(v.array(v.number())),
  changed: v.optional(v.array(v.number())),
  signs: v.optional(v.boolean()),
  refusal: v.optional(v.string()),
})
const findings = v.object({
  findings: v.array(v.looseObject({ id: v.string(), level: v.string(), what: v.string() })),
})
const test = suite('tools/keys/tpm_login_key', () => ({}))

async function setup() {
  const folder = await tempFolder()
  const tpm = await startSwtpm()
  await tpm.extend(7, 11)
  const pair = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  })
  await writeFile(folder.at('policy.pem'), pair.privateKey)
  await writeFile(folder.at('policy.pub.pem'), pair.publicKey)
  const run = async (...args: string[]) => {
    const io = memoryIo()
    const code = await runProgram(args, io)
    return { code, out: io.printed(), err: io.complained() }
  }
  const device = ['--device', tpm.device]
  return {
    folder,
    tpm,
    at: folder.at,
    run,
    create: (...args: string[]) =>
      run('login-key', 'create', folder.at('key.json'), '--tpm', ...args, ...device),
    state: (...args: string[]) => run('login-key', 'state', ...args, ...device),
    authorize: (file: string, ...args: string[]) =>
      run('login-key', 'authorize', folder.at(file), '--key', folder.at('policy.pem'), ...args),
    async [Symbol.asyncDispose]() {
      await tpm[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

test('a node that is done as docs/logins/tpm.md says logs in', async () => {
  await using tpm = await startSwtpm()
  await tpm.extend(7, 11)
  await using one = await vaultSetup({})
  const [offline, onNode, signs, looks, ...more] = await readPage('../logins/tpm')
  assert.is(more.length, 0)
  const does = async (text: string) => {
    const { code, out, err } = await one.shell(
      [
        'uname() { echo cp-1; }',
        'trousseau() {',
        `  case "$1 $2" in 'login-key create' | 'login-key state') set -- "$@" --device ${tpm.device} ;; esac`,
        `  ${process.execPath} ${MAIN} "$@"`,
        '}',
        'set -e',
        text.replaceAll('/etc/trousseau/', one.folder.at('node/')),
      ].join('\n'),
    )
    assert.is(code, 0, err)
    return { out, err }
  }
  await does(offline?.text ?? '')
  const { err } = await does(onNode?.text ?? '')
  await does(signs?.text ?? '')
  const policies = one.folder.at('node/tpm-policies.json')
  await copyFile(one.folder.at('admin/policies-1.json'), policies)
  assert.match((await does(looks?.text ?? '')).out, /The login key signs now\.\n$/)

  const config = v.parse(printed, parse(err.slice(err.indexOf('  auth:'))))
  const { selfSigned } = v.parse(v.looseObject({ selfSigned: v.looseObject({}) }), config.auth)
  assert.match(JSON.stringify(selfSigned), '"policyFile":"/etc/trousseau/tpm-policies.json"')
  const inTpm = {
    keyFile: one.folder.at('node/login-key.json'),
    policyFile: policies,
    device: tpm.device,
  }
  await one.change({ auth: { ...config.auth, selfSigned: { ...selfSigned, tpm: inTpm } } })
  assert.is((await one.apply()).code, 0)
  await does(`PATH=$PWD/bin:$PATH; mkdir bin; ln -s "$(command -v ${KEY_SERVER.cli})" bin/vault
    sh login-cp-1.sh`)
  await one.roundTrip()
  assert.match((await one.apply()).out, /public keys: 1, that of this node among them/)
})

test('login-key create says what it made, tells of PCRs that protect nothing, and overwrites nothing', async () => {
  await using one = await setup()

  const made = await one.create('--pcrs', '7,8', '--json')

  assert.is(made.code, 0, made.err)
  assert.is(
    made.err,
    'trousseau: warning: nothing was measured into PCR 8, so that it protects nothing\n',
  )
  assert.is((await stat(one.at('key.json'))).mode & 0o777, 0o600)
  const before = await readFile(one.at('key.json'), 'utf8')
  const again = await one.create('--pcrs', '7')
  assert.is(again.code, 1)
  assert.match(again.err, /is there already, and nothing is overwritten/)
  assert.is(await readFile(one.at('key.json'), 'utf8'), before)
  await one.tpm.stop()
  const existing = await one.run('login-key', 'create', one.at('key.json'), '--existing', '--json')
  assert.equal(JSON.parse(existing.out).publicKey, JSON.parse(made.out).publicKey)
  const pem = await one.run('login-key', 'public', one.at('key.json'))
  assert.is(pem.out, JSON.parse(made.out).publicKey.pem)
})

const WRONG: readonly [args: string[], code: number, words: RegExp][] = [
  [['--tpm'], 1, /Wanted with --tpm either --pcrs, .* or --authorize/],
  [['--tpm', '--pcrs', '24'], 2, /Wanted numbers from 0 to 23/],
  [['--tpm', '--pcrs', '7;8'], 2, /Wanted numbers from 0 to 23/],
  [['--tpm', '--pcrs', '7', '--type', 'EdDSA'], 1, /of type ES256/],
  [['--tpm', '--pcrs', '7', '--existing'], 1, /leave --tpm out/],
  [['--pcrs', '7'], 1, /are for --tpm/],
  [['--tpm', '--pcrs', '7', '--device', '/dev/tpm0'], 1, /--device \/dev\/tpm0: wanted .*manager/],
  [['--tpm', '--pcrs', '7', '--device', '/dev/none'], 1, /TPM "\/dev\/none" cannot be opened/],
  [['--tpm', '--authorize', '/nonexistent'], 1, /Policy key ".*" cannot be read/],
]

for (const [args, code, words] of WRONG) {
  test(`login-key create ${args.join(' ')} is refused, and makes nothing`, async () => {
    await using folder = await tempFolder()
    const io = memoryIo()

    assert.is(await runProgram(['login-key', 'create', folder.at('key'), ...args], io), code)

    assert.match(io.complained(), words)
    assert.is(await stat(folder.at('key')).catch(() => 'none'), 'none')
  })
}

test('the private half of a policy key is not taken on a node, nor a key of another kind', async () => {
  await using one = await setup()
  await writeFile(
    one.at('ed25519'),
    generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' }),
  )

  const own = await one.create('--authorize', one.at('policy.pem'))
  const other = await one.create('--authorize', one.at('ed25519'))

  assert.match(own.err, /is a private key, which belongs offline/)
  assert.match(other.err, /another kind than ECDSA with P-256/)
  assert.equal([own.code, other.code], [1, 1])
})

test('login-key state shows the PCRs, and ends with 3 where the key would not sign', async () => {
  await using one = await setup()
  await one.create('--pcrs', '7,11')
  const look = async () => {
    const { code, out } = await one.state(one.at('key.json'), '--json')
    return { code, ...v.parse(state, JSON.parse(out)) }
  }

  const before = await look()
  await one.tpm.extend(11)
  const after = await look()
  const plain = await one.state(one.at('key.json'))

  assert.equal([before.code, before.signs, before.dependsOn], [0, true, [7, 11]])
  assert.equal([before.changed, before.refusal], [[], undefined])
  assert.equal([after.code, after.signs, after.changed], [3, false, [11]])
  assert.match(after.refusal ?? '', /PCR 11 has another value than when the key was made/)
  assert.is(Object.keys(after.pcrs).length, 24)
  assert.is(plain.code, 3)
  assert.match(plain.out, /PCR 7 +\w{64} {2}as the key wants\n/)
  assert.match(plain.out, /PCR 11 +\w{64} {2}another value than the key wants\n/)
  assert.match(plain.out, /The login key does not sign now\. TPM does not let/)
})

test('login-key authorize signs what a node told and what was foretold, and keeps former policies', async () => {
  await using one = await setup()
  await one.create('--authorize', one.at('policy.pub.pem'))
  await writeFile(one.at('state'), (await one.state('--json')).out)
  const foretold = one.tpm.extended(new Map([[11, await pcrIn(one.tpm, 11)]]), 11).get(11)

  const first = await one.authorize('first', '--state', one.at('state'), '--pcrs', '7,11')
  const keep = ['--keep', one.at('first'), '--pcr', `11=${foretold?.toString('hex')}`]
  const second = await one.authorize('second', '--state', one.at('state'), '--pcrs', '7', ...keep)

  assert.equal([first.code, second.code], [0, 0], first.err + second.err)
  const signs = async (file: string) =>
    (await one.state(one.at('key.json'), '--policy', one.at(file))).code
  assert.equal([await signs('first'), await signs('second')], [0, 0])
  await one.tpm.extend(11)
  assert.equal([await signs('first'), await signs('second')], [3, 0])
})

test('login-key authorize takes over no policy that its key did not sign, and overwrites nothing', async () => {
  await using one = await setup()
  const pcr = ['--pcr', `7=${'ab'.repeat(32)}`]
  await one.authorize('mine', ...pcr)
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  await writeFile(one.at('policy.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }))

  const foreign = await one.authorize('other', ...pcr, '--keep', one.at('mine'))
  const taken = await one.authorize('mine', ...pcr)
  const nothing = await one.authorize('other')
  const half = await one.authorize('other', '--pcrs', '7')

  assert.match(foreign.err, /has policies that are not signed by this key/)
  assert.match(taken.err, /mine/)
  assert.match(nothing.err, /Wanted PCRs: --state FILE with --pcrs, or --pcr/)
  assert.match(half.err, /Wanted --state and --pcrs together/)
  assert.equal([foreign.code, taken.code, nothing.code, half.code], [1, 1, 1, 1])
})

test('login-key authorize says how to hand over an encrypted key', async () => {
  await using one = await setup()
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const cipher = { cipher: 'aes-256-cbc', passphrase: 'planted' } as const
  const text = privateKey.export({ type: 'pkcs8', format: 'pem', ...cipher })
  await writeFile(one.at('policy.pem'), text)

  const { code, err } = await one.authorize('file', '--pcr', `7=${'ab'.repeat(32)}`)

  assert.is(code, 1)
  assert.match(err, /is encrypted: hand it over in the clear, as in --key <\(openssl pkey/)
})

test('doctor says whether the login key signs, which PCR keeps it from that, and what is wrong with the TPM', async () => {
  await using one = await setup()
  await one.create('--pcrs', '7,8')
  const inTpm = { keyFile: one.at('key.json'), device: one.tpm.device }
  const provider = {
    ...{ name: 'bao', type: 'vault', address: 'http://127.0.0.1:1', allowInsecureHttp: true },
    key: 'k8s-etcd',
    auth: { method: 'jwt', selfSigned: { tpm: inTpm, audience: 'vault', subject: 'cp-1' } },
  }
  const config = {
    ...{ apiVersion: 'trousseau.io/v1', kind: 'TrousseauConfig' },
    socket: { path: one.at('kms.sock') },
    providers: [provider],
  }
  await writeFile(one.at('config.json'), JSON.stringify(config))
  const told = async () => {
    const { out } = await one.run('doctor', '--config', one.at('config.json'), '--json')
    const all = v.parse(findings, JSON.parse(out)).findings
    return all
      .filter(({ id }) => id.startsWith('tpm') && !id.startsWith('tpm-empty'))
      .map(({ id, level, what }) => `${id} ${level}: ${what}`)
      .concat(all.filter(({ id }) => id === 'tpm-empty-pcr').map(({ what }) => what))
      .join('\n')
  }

  assert.match(
    await told(),
    /^tpm ok: Provider "bao": the login key in the TPM \(IBM, firmware [\d.]+\) signs now, under PCR 7, 8\n.*nothing was measured into PCR 8/,
  )
  await one.tpm.extend(7)
  assert.match(await told(), /^tpm-refuses error: .*\(0x99d\): PCR 7 has another value/)
  await one.tpm.stop()
  assert.match(await told(), /^tpm-unusable error: Provider "bao": TPM ".*" cannot be opened/)
})

async function pcrIn(tpm: SoftwareTpm, pcr: number) {
  const said = await tpm.tool('tpm2_pcrread', `sha256:${pcr}`)
  return Buffer.from(/0x([0-9A-F]{64})/.exec(said)?.[1] ?? '', 'hex')
}

test.run()
