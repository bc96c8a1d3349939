/** The bundle with rules: what API servers are told, what holds it back, and what a reload may not do. @module */

import { createHash, generateKeyPairSync } from 'node:crypto'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { status } from '@grpc/grpc-js'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { RpcError } from '../../src/grpc/client.ts'
import { createKeyFile } from '../../src/services/local/key_file.ts'
import { adminPage } from '../_lib/plugin/admin_page.ts'
import { changeConfig, outcomeOf } from '../_lib/plugin/config_change.ts'
import {
  bundleCommand,
  type PluginProcess,
  RUNTIMES,
  type Runtime,
  runCommand,
  startPluginProcess,
  startWellPlugin,
} from '../_lib/plugin/process.ts'
import { madeUpRoot } from '../_lib/policy/made_up_root.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { rejection, suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const SEED = new Uint8Array(32).fill(7)
const MANIFEST = 'apiVersion: v1\nkind: Pod\n'
const LOCKDOWN = 'sys/kernel/security/lockdown'

const test = suite('e2e/policy', () => ({}))

const rulesPage = v.object({
  policy: v.object({
    rules: v.array(
      v.object({
        name: v.string(),
        state: v.string(),
        message: v.optional(v.string()),
        requests: v.optional(
          v.object({ count: v.number(), last: v.object({ outcome: v.string() }) }),
        ),
      }),
    ),
  }),
})

async function scene() {
  const folder = await tempFolder()
  const root = await madeUpRoot(folder.at('root'))
  await createKeyFile(folder.at('keys'), () => Date.now())
  const manifest = folder.at('kube-apiserver.yaml')
  await writeFile(manifest, MANIFEST)
  const sha256 = createHash('sha256').update(MANIFEST).digest('hex')
  const rules = {
    manifest: {
      name: 'manifest',
      expression: `files.apiServer.sha256 == "${sha256}"`,
      message: 'The manifest was changed',
      mode: 'enforce',
    },
    lockdown: {
      name: 'lockdown',
      expression: 'kernel.lockdown == "integrity"',
      message: 'Not locked down',
      mode: 'enforce',
    },
  }
  const config = (policyRules: readonly object[], more: object = {}) => ({
    providers: [{ name: 'here', type: 'local', keyFile: folder.at('keys') }],
    admin: { listen: `unix://${folder.at('admin.sock')}` },
    policy: {
      interval: '100ms',
      roots: root.roots,
      files: { apiServer: manifest },
      rules: policyRules,
      ...more,
    },
  })
  return {
    folder,
    root,
    manifest,
    rules,
    config,
    start: (policyRules: readonly object[], runtime: Runtime = 'node') =>
      startWellPlugin({ runtime, folder: folder.path, config: config(policyRules) }),
    statusz: async () =>
      v.parse(rulesPage, JSON.parse(await adminPage(folder.at('admin.sock'), '/statusz'))).policy
        .rules,
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  }
}

/** The status and the words that a call fails with; undefined where it does not fail. */
async function refusalOf(call: Promise<unknown>): Promise<string | undefined> {
  try {
    await call
    return undefined
  } catch (error) {
    assert.instance(error, RpcError)
    const { code, message } = error as RpcError
    return `${code}: ${message}`
  }
}

function encrypt({ client }: PluginProcess) {
  return client.v2.encrypt({ plaintext: SEED, uid: 'a' })
}

for (const runtime of RUNTIMES) {
  test(`${runtime}: enforce: a changed file makes Encrypt and Status fail with the rule and its message, and both come back with the file`, async () => {
    await using one = await scene()
    await using plugin = await one.start([one.rules.manifest, one.rules.lockdown], runtime)
    const made = await encrypt(plugin)

    await writeFile(one.manifest, `${MANIFEST}# tampered with\n`)
    const refused = await until('Encrypt is refused', () => refusalOf(encrypt(plugin)))

    const wanted = `${status.PERMISSION_DENIED}: Rule "manifest" refuses encrypt: The manifest was changed`
    assert.is(refused, wanted)
    // Never another healthz text, at which API servers write on with the old seed for ever.
    assert.is(await refusalOf(plugin.client.v2.status()), wanted)
    assert.is(await refusalOf(plugin.client.v1.encrypt(SEED)), wanted)
    const opened = await plugin.client.v2.decrypt({ ...made, uid: 'b' })
    assert.equal([...opened.plaintext], [...SEED])
    // Deno may open no admin socket under the rights of these tests.
    if (runtime === 'node') {
      const ready = await adminPage(one.folder.at('admin.sock'), '/readyz')
      assert.is(ready, 'Rule "manifest" refuses encrypt: The manifest was changed\n')
      assert.equal(
        (await one.statusz()).map(({ name, state }) => [name, state]),
        [
          ['manifest', 'refuses'],
          ['lockdown', 'passes'],
        ],
      )
    }

    await writeFile(one.manifest, MANIFEST)
    const { healthz } = await until('Status is well', () =>
      plugin.client.v2.status().catch(() => undefined),
    )
    assert.is(healthz, 'ok')
    assert.is(await refusalOf(encrypt(plugin)), undefined)
  })
}

for (const runtime of RUNTIMES) {
  test(`${runtime}: trousseau.sha256 is the digest of the one file that runs`, async () => {
    await using one = await scene()
    const [command, args] = bundleCommand({ runtime, folder: one.folder.path }, [])
    const sha256 = createHash('sha256')
      .update(await readFile(args.at(-1) ?? command))
      .digest('hex')
    const rule = (wanted: string) => ({
      ...one.rules.lockdown,
      expression: `trousseau.sha256 == "${wanted}"`,
    })
    await using plugin = await one.start([rule(sha256)], runtime)
    assert.is(await refusalOf(encrypt(plugin)), undefined)

    const refused = await outcomeOf(plugin, 'config_refused', () =>
      changeConfig(plugin, one.config([rule('0'.repeat(64))])),
    )
    assert.match(refused, 'Rule "lockdown" refuses encrypt')
  })
}

test('enforce: a fact that is not known any more refuses, and says which and why', async () => {
  await using one = await scene()
  await using plugin = await one.start([one.rules.lockdown])

  await one.root.take(LOCKDOWN)
  const refused = await until('Encrypt is refused', () => refusalOf(encrypt(plugin)))

  assert.match(
    refused,
    /Not locked down: kernel\.lockdown is not known \(.*no such file or folder\)/,
  )
})

test('audit: a rule that does not pass refuses nothing, and is told in log, metric and statusz', async () => {
  await using one = await scene()
  await using plugin = await one.start([{ ...one.rules.lockdown, mode: 'audit' }])

  await one.root.put(LOCKDOWN, '[none] integrity confidentiality\n')
  await until('the rule does not pass', async () => (await one.statusz())[0]?.state === 'refuses')
  assert.is(await refusalOf(encrypt(plugin)), undefined)

  assert.is((await plugin.client.v2.status()).healthz, 'ok')
  const [told] = await plugin.told('policy')
  assert.is(told?.['outcome'], 'would_refuse')
  const [rule] = await one.statusz()
  assert.equal([rule?.requests?.count, rule?.requests?.last.outcome], [1, 'would_refuse'])
  const metrics = await adminPage(one.folder.at('admin.sock'), '/metrics')
  assert.match(
    metrics,
    'trousseau_policy_results_total{rule="lockdown",mode="audit",outcome="would_refuse",operation="encrypt"} 1',
  )
})

test('a rule that guards decrypt refuses Decrypt, and not Encrypt', async () => {
  await using one = await scene()
  await using plugin = await one.start([{ ...one.rules.lockdown, guards: ['decrypt'] }])
  const made = await encrypt(plugin)

  await one.root.put(LOCKDOWN, '[none] integrity confidentiality\n')
  const decrypt = () => plugin.client.v2.decrypt({ ...made, uid: 'b' })
  const refused = await until('Decrypt is refused', () => refusalOf(decrypt()))

  assert.match(refused, 'Rule "lockdown" refuses decrypt: Not locked down')
  assert.is(await refusalOf(encrypt(plugin)), undefined)
})

test('break-glass: a waiver that the command made lifts the rule on this node without a restart, and its end brings the rule back', async () => {
  await using one = await scene()
  const at = one.folder.at
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  await writeFile(at('waiver-key'), privateKey.export({ type: 'pkcs8', format: 'pem' }))
  await writeFile(at('waiver.pub'), publicKey.export({ type: 'spki', format: 'pem' }))
  const waiver = { file: at('waiver'), keyFiles: [at('waiver.pub')] }
  const config = one.config([one.rules.lockdown], { waiver, node: 'cp-1' })
  await using plugin = await startWellPlugin({ folder: one.folder.path, config })
  await one.root.take(LOCKDOWN)
  await until('Encrypt is refused', () => refusalOf(encrypt(plugin)))
  const facts = await runCommand(['policy', 'facts', '--config', plugin.configPath, '--json'])
  const { value: machine } = JSON.parse(facts.out).facts.find(
    ({ path }: { path: string }) => path === 'node.machine',
  )

  const made = await runCommand([
    ...['policy', 'waiver', '--key', at('waiver-key'), '--node', 'cp-1', '--machine', machine],
    ...['--rule', 'lockdown', '--who', 'A. Person', '--why', 'kernel update', '--for', '1h'],
  ])
  await writeFile(at('waiver'), made.out)
  await until(
    'Encrypt is let through',
    async () => (await refusalOf(encrypt(plugin))) === undefined,
  )

  assert.is((await plugin.client.v2.status()).healthz, 'ok')
  const [told] = await plugin.told('waiver_in_force')
  assert.match(String(told?.['message']), 'A. Person lifts lockdown')
  await until('the request is told as waived', () =>
    plugin.events('policy').some(({ outcome }) => outcome === 'waived'),
  )
  await rm(at('waiver'))
  await until('Encrypt is refused again', () => refusalOf(encrypt(plugin)))
})

test('a reload whose rules would refuse now is not taken and says so, and one whose rules pass is', async () => {
  await using one = await scene()
  await using plugin = await one.start([])
  const wrong = { ...one.rules.lockdown, expression: 'kernel.lockdown == "confidentiality"' }

  const refused = await outcomeOf(plugin, 'config_refused', () =>
    changeConfig(plugin, one.config([wrong])),
  )
  assert.match(
    refused,
    /the one before stays in force.*the rules would refuse .*: default: Rule "lockdown" refuses encrypt: Not locked down/,
  )
  assert.is(await refusalOf(encrypt(plugin)), undefined)

  await outcomeOf(plugin, 'config_reloaded', () =>
    changeConfig(plugin, one.config([one.rules.lockdown])),
  )
  await one.root.take(LOCKDOWN)
  await until('Encrypt is refused', () => refusalOf(encrypt(plugin)))
})

test('under a threshold a reload is refused whose rules would leave fewer providers than it needs', async () => {
  await using one = await scene()
  const names = ['one', 'two', 'three']
  for (const name of names) await createKeyFile(one.folder.at(name), () => Date.now())
  const providers = names.map((name) => ({ name, type: 'local', keyFile: one.folder.at(name) }))
  const config = (shut: readonly string[]) => {
    const rule = { ...one.rules.lockdown, expression: 'false', guards: ['decrypt'] }
    const rules = shut.length === 0 ? [] : [{ ...rule, providers: shut }]
    return { ...one.config(rules), providers, protection: { mode: 'threshold', k: 2 } }
  }
  await using plugin = await startWellPlugin({ folder: one.folder.path, config: config([]) })

  const refused = await outcomeOf(plugin, 'config_refused', () =>
    changeConfig(plugin, config(['one', 'two'])),
  )
  assert.match(refused, 'Rule "lockdown" refuses decrypt')
  await outcomeOf(plugin, 'config_reloaded', () => changeConfig(plugin, config(['one'])))
  const made = await encrypt(plugin)
  const opened = await plugin.client.v2.decrypt({ ...made, uid: 'b' })
  assert.equal([...opened.plaintext], [...SEED])
})

test('a rule that cannot be used is refused with its place, at the start and at a reload', async () => {
  await using one = await scene()
  const wrong = { ...one.rules.lockdown, expression: 'kernel.lockdown ==\n  kernel.lokdown' }

  const error = await rejection(
    startPluginProcess({ folder: one.folder.path, config: one.config([wrong]) }),
  )
  const place = /policy\.rules\.0\.expression: line 2, column 9: there is no fact kernel\.lokdown/
  assert.match(String(error), place)

  await using plugin = await one.start([one.rules.lockdown])
  const refused = await outcomeOf(plugin, 'config_refused', () =>
    changeConfig(plugin, one.config([wrong])),
  )
  assert.match(refused, place)
})

test.run()
