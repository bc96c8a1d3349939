/**
 * The built bundle on a fake of AWS, through the socket as an API server uses it: a role from
 * instance metadata, an alias that moves, faults of the service, and no planted secret in any
 * output.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import * as assert from 'uvu/assert'
import { type PluginProcess, RUNTIMES, startPluginProcess } from '../_lib/plugin/process.ts'
import { FakeAws, REGION } from '../_lib/services/aws/fake.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const SEED = Buffer.from('planted-seed-of-32-bytes-exactly')
/** A seed in a real cluster: KMS v2 takes 1024 bytes. */
const COMFORTABLE_BYTES = 400

const test = suite('e2e/awskms', () => ({}))

async function setup(runtime: 'node' | 'deno') {
  const [folder, fake] = [await tempFolder(), await FakeAws.start()]
  const key = fake.keys.make()
  fake.keys.aliases.set('k8s', key.id)
  const role = fake.role('trousseau', { trusts: ['node'], externalId: 'prod-1' })
  const instance = { source: 'imds', endpoint: fake.address }
  const assumeRole = { roleArn: role.arn, externalId: 'prod-1' }
  fake.metadata.principal = { role: 'node' }
  const plugins: PluginProcess[] = []
  const start = async () => {
    const plugin = await startPluginProcess({
      runtime,
      folder: folder.path,
      hosts: [new URL(fake.address).host],
      config: {
        log: { level: 'debug' },
        health: { interval: '100ms', staleAfter: '90s' },
        stateDir: folder.path,
        requestTimeout: '1s',
        providers: [
          {
            name: 'aws',
            type: 'awskms',
            key: 'alias/k8s',
            region: REGION,
            encryptionContext: { cluster: 'prod' },
            endpoint: fake.address,
            stsEndpoint: fake.address,
            allowInsecureHttp: true,
            credentials: { ...instance, assumeRole },
          },
        ],
      },
    })
    plugins.push(plugin)
    return plugin
  }
  return {
    fake,
    start,
    output: () => plugins.map((plugin) => plugin.output()).join(''),
    async [Symbol.asyncDispose]() {
      for (const plugin of plugins) await plugin[Symbol.asyncDispose]()
      await fake[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

/** The key id as soon as the plugin is healthy. */
function healthy({ client }: PluginProcess): Promise<string> {
  return until('the plugin is healthy', () =>
    client.v2.status().then(
      ({ keyId, healthz }) => (healthz === 'ok' ? keyId : undefined),
      () => undefined,
    ),
  )
}

for (const runtime of RUNTIMES) {
  test(`${runtime}: an alias that moves is followed by a restart, and old data stays readable [E2 R2 D4]`, async () => {
    await using one = await setup(runtime)
    const plugin = await one.start()
    const first = await healthy(plugin)
    const old = await plugin.client.v2.encrypt({ plaintext: SEED, uid: 'u' })
    const next = one.fake.keys.make({ createdAt: 1_600_000_000 })
    one.fake.keys.aliases.set('k8s', next.id)
    await until('the move is told', () => plugin.output().includes('alias_moved'))
    const kept = await healthy(plugin)
    await plugin.stop()

    const again = await one.start()
    const second = await until('the new key is used', async () => {
      const keyId = await healthy(again)
      return keyId === first ? undefined : keyId
    })
    const { plaintext } = await again.client.v2.decrypt({ ...old, uid: 'u' })

    assert.is(kept, first)
    assert.match(second, next.id.slice(0, 8))
    assert.equal(Buffer.from(plaintext), SEED)
    assert.ok(old.ciphertext.length < COMFORTABLE_BYTES, `${old.ciphertext.length} bytes`)
  })

  test(`${runtime}: whatever AWS answers, nothing of it comes out [F8]`, async () => {
    await using one = await setup(runtime)
    const plugin = await one.start()
    await healthy(plugin)
    const { v2 } = plugin.client
    const said: string[] = []
    for (const fault of [
      { status: 400, type: 'AccessDeniedException', message: 'planted words' },
      { status: 400, type: 'InvalidSignatureException', message: 'planted words' },
      { status: 400, type: 'ExpiredTokenException', message: 'planted words' },
      { status: 400, type: '<planted>' },
      { status: 500, body: '<html>planted</html>' },
      { status: 200, body: '{"planted":"planted"}' },
      { status: 0, cut: true },
    ]) {
      const made = one.fake.fail({ service: 'kms', ...fault })
      const error = await v2
        .encrypt({ plaintext: SEED, uid: 'u' })
        .catch((thrown: unknown) => thrown)
      said.push(String(error))
      made.times = 0
      await until('it is healthy again', () =>
        v2.encrypt({ plaintext: SEED, uid: 'u' }).then(
          () => true,
          () => false,
        ),
      )
    }

    const printed = one.output() + said.join('\n')
    assert.match(said[0] ?? '', 'kms:Encrypt on arn:aws:kms')
    for (const hidden of ['planted', SEED.toString('base64'), SEED.toString('hex')]) {
      assert.not.ok(printed.includes(hidden), hidden)
    }
    for (const { secretAccessKey, sessionToken } of one.fake.principals.all.values()) {
      assert.not.ok(printed.includes(secretAccessKey))
      assert.not.ok(printed.includes(sessionToken ?? secretAccessKey))
    }
  })
}

test.run()
