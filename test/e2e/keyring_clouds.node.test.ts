/** Clouds as members of a keyring: AWS KMS (moto) beside the real OpenBao, and two clouds together. */

import { Buffer } from 'node:buffer'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { systemClock } from '../../src/base/clock.ts'
import type { KmsError } from '../../src/base/errors.ts'
import type { Provider } from '../../src/base/provider.ts'
import type { Protection } from '../../src/kms/health_view.ts'
import { awsKmsConfig } from '../../src/services/aws/config.ts'
import { createAwsKmsProvider } from '../../src/services/aws/provider.ts'
import { vaultConfig } from '../../src/services/vault/config.ts'
import { createVaultProvider } from '../../src/services/vault/provider.ts'
import { RecordedEvents } from '../_lib/events.ts'
import { ApiServer, type Etcd } from '../_lib/kms/api_server_model.ts'
import { FakeProvider } from '../_lib/kms/fake_provider.ts'
import { ANY_PROTECTION, VirtualEndpoint } from '../_lib/kms/virtual_endpoint.ts'
import { MOTO_REGION, startMoto } from '../_lib/services/aws/moto.ts'
import { azureSetup } from '../_lib/services/azure/setup.ts'
import { googleSetup } from '../_lib/services/google/setup.ts'
import { startOpenBao } from '../_lib/services/vault/openbao.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { rejection, suite } from '../_lib/uvu.ts'
import { until } from '../_lib/wait.ts'

const SEED = Buffer.from('0123456789abcdef0123456789abcdef')
const ANY: Protection = { ...ANY_PROTECTION, holdMs: 1_000, returnMs: 2_000 }
const TIMEOUT_MS = 2_500

const test = suite('e2e/keyring_clouds', () => ({}))

function endpointOf(providers: readonly Provider[], protection: Protection): VirtualEndpoint {
  return new VirtualEndpoint({
    clock: systemClock,
    events: new RecordedEvents(),
    providers,
    monitor: { intervalMs: 500, requestTimeoutMs: TIMEOUT_MS },
    health: { protection },
  })
}

const call = () => ({
  signal: new AbortController().signal,
  deadline: systemClock.monotonic() + TIMEOUT_MS,
})

test('AWS stopped beside OpenBao: the API server goes on, and one that restarts reads all and writes', async () => {
  await using folder = await tempFolder()
  await using bao = await startOpenBao()
  const transit = await bao.setupTransit({ folder: folder.path })
  const moto = await startMoto()
  const key = await moto.makeKey()
  const user = await moto.makeUser('trousseau', ['kms:Encrypt', 'kms:Decrypt', 'kms:DescribeKey'])
  const events = new RecordedEvents()
  const deps = { clock: systemClock, events, requestTimeoutMs: TIMEOUT_MS }
  const aws = createAwsKmsProvider(
    v.parse(awsKmsConfig, {
      name: 'aws',
      type: 'awskms',
      key,
      region: MOTO_REGION,
      endpoint: moto.address,
      allowInsecureHttp: true,
      credentials: { source: 'environment' },
    }),
    {
      ...deps,
      environment: {
        AWS_ACCESS_KEY_ID: user.accessKeyId,
        AWS_SECRET_ACCESS_KEY: user.secretAccessKey,
      },
    },
  )
  const base = { name: 'vault', type: 'vault', allowInsecureHttp: true }
  const vault = createVaultProvider(v.parse(vaultConfig, { ...base, ...transit.provider }), deps)
  const endpoint = endpointOf([aws, vault], ANY)
  try {
    await endpoint.start()
    const etcd: Etcd = new Map()
    const plugin = () => endpoint.keyring
    const server = new ApiServer({ clock: systemClock, plugin, etcd })
    await server.start()
    for (let at = 0; at < 50; at += 1) server.write(`/a/${at}`, `a ${at}`)
    const full = endpoint.keyring.status()

    await moto[Symbol.asyncDispose]()
    for (let at = 0; at < 50; at += 1) server.write(`/b/${at}`, `b ${at}`)
    await until('AWS is left out', () => Promise.resolve(endpoint.keyring.status() !== full))
    server.stop()
    const restarted = new ApiServer({ clock: systemClock, plugin, etcd })
    await restarted.start()
    for (let at = 0; at < 50; at += 1) restarted.write(`/c/${at}`, `c ${at}`)

    for (const key of etcd.keys()) {
      const [, name, at] = key.split('/')
      assert.is(await restarted.read(key), `${name} ${at}`)
    }
    assert.is(etcd.size, 150)
    assert.is(await restarted.ready(), true)
    assert.equal([...server.violations, ...restarted.violations], [])
    restarted.stop()
  } finally {
    endpoint.stop()
    await Promise.all([aws.close(), vault.close()])
  }
})

test('Azure and Google under any: either one opens', async () => {
  await using azure = await azureSetup()
  await using google = await googleSetup()
  const endpoint = endpointOf([azure.provider, google.provider], ANY)
  await endpoint.start()
  const made = await endpoint.keyring.encrypt({ api: 'v2', plaintext: SEED }, call())
  endpoint.stop()

  for (const provider of [azure.provider, google.provider]) {
    const alone = endpointOf([provider], ANY)
    const opened = await alone.keyring.decrypt({ api: 'v2', ...made }, call())
    assert.equal(Buffer.from(opened), SEED)
  }
  assert.ok(made.ciphertext.length <= 1024, `${made.ciphertext.length} bytes`)
})

test('Azure, Google and a third as threshold of two: any two open, one does not', async () => {
  await using azure = await azureSetup()
  await using google = await googleSetup()
  const third = new FakeProvider('fake:third', Math.floor(systemClock.now() / 1000) - 86_400)
  const providers = [azure.provider, google.provider, third]
  const protection: Protection = { ...ANY, scheme: 'threshold', k: 2, minimum: 2 }
  const endpoint = endpointOf(providers, protection)
  await endpoint.start()
  const made = await endpoint.keyring.encrypt({ api: 'v2', plaintext: SEED }, call())
  endpoint.stop()

  for (const left of providers) {
    const others = endpointOf(
      providers.filter((provider) => provider !== left),
      protection,
    )
    const opened = await others.keyring.decrypt({ api: 'v2', ...made }, call())
    assert.equal(Buffer.from(opened), SEED)
    const error = await rejection(
      endpointOf([left], protection).keyring.decrypt({ api: 'v2', ...made }, call()),
    )
    assert.is((error as KmsError).code, 'key_unknown')
  }
  assert.ok(made.ciphertext.length <= 1024, `${made.ciphertext.length} bytes`)
})

test.run()
