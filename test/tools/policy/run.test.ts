/** The commands of `trousseau policy`, and what doctor and config validate say of rules. @module */

import { generateKeyPairSync } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { runProgram } from '../../../src/cli/program.ts'
import { readWaiver } from '../../../src/policy/waiver_text.ts'
import { createKeyFile } from '../../../src/services/local/key_file.ts'
import { memoryIo } from '../../_lib/console/memory_io.ts'
import { madeUpRoot } from '../../_lib/policy/made_up_root.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { suite } from '../../_lib/uvu.ts'

const LOCKED = {
  name: 'lockdown',
  expression: 'kernel.lockdown in ["integrity", "confidentiality"]',
  message: 'Not locked down',
  mode: 'enforce',
}
const V2 = { name: 'v2', expression: 'request.api == "v2"', message: 'Only v2', mode: 'enforce' }

const test = suite('tools/policy', () => ({}))

async function scene(rules: readonly object[], more: object = {}) {
  const folder = await tempFolder()
  const root = await madeUpRoot(folder.at('root'))
  await createKeyFile(folder.at('keys'), () => Date.now())
  const config = {
    apiVersion: 'trousseau.io/v1',
    kind: 'TrousseauConfig',
    socket: { path: folder.at('kms.sock') },
    providers: [{ name: 'here', type: 'local', keyFile: folder.at('keys') }],
    policy: { roots: root.roots, node: 'cp-1', rules, ...more },
  }
  await writeFile(folder.at('config.json'), JSON.stringify(config))
  return {
    folder,
    root,
    config: ['--config', folder.at('config.json')],
    async run(...args: readonly string[]) {
      const io = memoryIo()
      const code = await runProgram(args, io)
      return { code, out: io.printed(), err: io.complained() }
    },
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  }
}

test('policy facts prints every fact, and says of an unknown one why', async () => {
  await using one = await scene([])
  await one.root.take('sys/kernel/security/lockdown')

  const { code, out } = await one.run('policy', 'facts', ...one.config)
  assert.is(code, 0)
  assert.match(out, /^kernel\.release +"6\.12\.8-amd64"$/m)
  assert.match(out, /^kernel\.lockdown +unknown: .*no such file or folder$/m)

  const json = JSON.parse((await one.run('policy', 'facts', ...one.config, '--json')).out)
  const byPath = new Map(json.facts.map((fact: { path: string }) => [fact.path, fact]))
  const { type, value, why, source, worth } = byPath.get('kernel.lockdown') as Record<
    string,
    string
  >
  assert.equal([type, value, source], ['string', null, 'SYS/kernel/security/lockdown'])
  assert.match(why ?? '', 'no such file')
  assert.match(worth ?? '', 'root can lie')
})

test('policy test judges recorded facts as they were, wherever it runs', async () => {
  await using one = await scene([LOCKED, V2])
  const facts = one.folder.at('facts.json')
  await writeFile(facts, (await one.run('policy', 'facts', ...one.config, '--json')).out)
  await one.root.put('sys/kernel/security/lockdown', '[none] integrity')
  const tried = (...args: readonly string[]) => one.run('policy', 'test', ...one.config, ...args)

  const here = await tried()
  assert.is(here.code, 3)
  assert.match(here.out, /^refuses {4}lockdown \(enforce\): Not locked down$/m)
  const recorded = await tried('--facts', facts)
  assert.is(recorded.code, 0, recorded.err)
  assert.match(recorded.out, /^passes {5}lockdown \(enforce\)$/m)
  const expected = await tried('--expect', 'lockdown=refuses', '--expect', 'v2=passes')
  assert.is(expected.code, 0, expected.out)
  const missed = await tried('--facts', facts, '--expect', 'lockdown=refuses')
  assert.is(missed.code, 3)
  assert.match(missed.out, 'Rule "lockdown" was to say refuses: it says passes')
  const none = await tried('--expect', 'other=passes')
  assert.match(none.out, 'there is no such rule')
})

test('policy test takes a fact that the file lacks for unknown, and refuses one of another type', async () => {
  await using one = await scene([LOCKED])
  const facts = one.folder.at('facts.json')
  const tried = () => one.run('policy', 'test', ...one.config, '--facts', facts)

  await writeFile(facts, '{"facts": []}')
  assert.match(
    (await tried()).out,
    /^undecided {2}lockdown .*kernel\.lockdown is not known \(not in/m,
  )
  await writeFile(facts, '{"facts": [{"path": "kernel.lockdown", "value": 7}]}')
  const { code, err } = await tried()
  assert.is(code, 1)
  assert.match(err, 'has a value of kernel.lockdown that is no string')
})

test('policy explain says which rule decides over a request, and by which facts', async () => {
  await using one = await scene([{ ...LOCKED, guards: ['decrypt'] }, V2])
  const explained = (...args: readonly string[]) =>
    one.run('policy', 'explain', ...one.config, ...args)

  const well = await explained()
  assert.is(well.code, 0)
  assert.match(well.out, /^not asked {2}lockdown/m)
  assert.match(well.out, 'No rule refuses encrypt.')
  const refused = await explained('--api', 'v1beta1')
  assert.is(refused.code, 3)
  assert.match(refused.out, 'request.api = "v1beta1"')
  assert.match(refused.out, 'encrypt is refused: rule "v2" decides.')
  const decrypt = await explained('--operation', 'decrypt', '--json')
  const [rule] = JSON.parse(decrypt.out).rules
  assert.equal(
    [rule.state, rule.facts],
    ['passes', [{ path: 'kernel.lockdown', value: 'integrity' }]],
  )
})

test('policy waiver signs one that a plugin with that node and machine takes', async () => {
  await using one = await scene([])
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const key = one.folder.at('waiver-key')
  await writeFile(key, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })
  const who = ['--who', 'A. Person', '--why', 'kernel update', '--rule', 'lockdown,v2']
  const machine = 'a'.repeat(64)
  const signed = (...args: readonly string[]) =>
    one.run('policy', 'waiver', '--key', key, ...who, ...args)

  const { code, out, err } = await signed('--node', 'cp-1', '--machine', machine, '--for', '2h')

  assert.is(code, 0, err)
  assert.match(err, /is good until/)
  const rules = { node: 'cp-1', machine, maxLifetimeMs: 7_200_000, revoked: [] }
  const waiver = await readWaiver(out.trim(), [publicKey], rules, Date.now())
  assert.equal(
    [waiver.rules, waiver.who, waiver.why],
    [['lockdown', 'v2'], 'A. Person', 'kernel update'],
  )
  assert.not.match(out + err, (await readFile(key, 'utf8')).split('\n')[1] ?? '')
  const wrong = await signed('--node', 'cp-1', '--machine', 'DIGEST')
  assert.match(wrong.err, 'wanted 64 hex digits')
})

test('config validate and doctor warn loudly of a rule that guards Decrypt, and doctor says which rules refuse here', async () => {
  await using one = await scene(
    [{ ...LOCKED, guards: ['decrypt'] }, { ...LOCKED, name: 'lenient', unknown: 'pass' }, V2],
    {
      opa: { address: 'http://127.0.0.1:1', path: 'a/b', mode: 'enforce', noAnswer: 'deny' },
    },
  )
  await one.root.take('sys/kernel/security/lockdown')

  const valid = await one.run('config', 'validate', one.config[1] ?? '')
  assert.is(valid.code, 0)
  assert.match(
    valid.err,
    /warning: Decrypt is guarded by "lockdown", and there is no policy\.waiver/,
  )
  assert.match(valid.err, 'a cluster that boots may not come up')
  const examined = await one.run('doctor', ...one.config, '--offline', '--json')
  const found = JSON.parse(examined.out).findings.map(
    ({ id, level }: { id: string; level: string }) => `${id} ${level}`,
  )
  for (const wanted of [
    'policy-guards-decrypt warning',
    'policy-opa-needed warning',
    'policy-refuses error',
    'policy-undecided notice',
  ]) {
    assert.ok(found.includes(wanted), `${wanted}: ${found.join(', ')}`)
  }
})

test.run()
