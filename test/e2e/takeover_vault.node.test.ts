/** Takeover from the plugins that used Vault, with ciphertexts of the real OpenBao. @module */

import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { systemClock } from '../../src/base/clock.ts'
import { KmsError, type KmsErrorCode } from '../../src/base/errors.ts'
import type { Call } from '../../src/base/provider.ts'
import type { DecryptRequest } from '../../src/base/service.ts'
import { vaultConfig } from '../../src/services/vault/config.ts'
import { createVaultProvider } from '../../src/services/vault/provider.ts'
import { RecordedEvents } from '../_lib/events.ts'
import { firstLook } from '../_lib/services/vault/first_look.ts'
import { type OpenBao, startOpenBao, type Transit } from '../_lib/services/vault/openbao.ts'
import { v1, v2 } from '../_lib/takeover/samples.ts'
import { tempFolder } from '../_lib/temp_folder.ts'
import { rejection, suite } from '../_lib/uvu.ts'
import {
  type Golden,
  open,
  type ServiceUnderTest,
  takeoverContract,
} from '../services/contract/takeover.ts'

interface TransitService extends ServiceUnderTest {
  readonly bao: OpenBao
  readonly transit: Transit
  /** What the service answers to a plugin that sends nothing but a plaintext. */
  encrypt(plaintext: Buffer): Promise<string>
  /** What it says of the key's newest version. */
  newest(): Promise<{ readonly version: number; readonly createdAt: number }>
}

const KLEIDI = { 'v2.kleidi.beezy.dev': Buffer.from('1') }

type Store = (ciphertext: string, service: TransitService) => Promise<DecryptRequest>

const vector = (title: string, form: Golden<never>['form'], store: Store) => ({
  title,
  form,
  store: async (plaintext: Buffer, service: TransitService) =>
    store(await service.encrypt(plaintext), service),
})

const VECTORS: readonly Golden<TransitService>[] = [
  vector('trousseau-1', 'trousseau-1', (made) => Promise.resolve(v1(Buffer.from(made)))),
  vector('trousseau-2', 'trousseau-2', (made) =>
    Promise.resolve(v1(Buffer.from(`vault:-:${Buffer.from(made).toString('base64')}\n`))),
  ),
  vector('vault-kubernetes-kms, v1', 'vault-kubernetes-kms', (made) =>
    Promise.resolve(v1(Buffer.from(made))),
  ),
  vector('vault-kubernetes-kms, v2', 'vault-kubernetes-kms', async (made, service) => {
    const { version } = await service.newest()
    return v2(Buffer.from(made), String(version))
  }),
  vector(
    'vault-kubernetes-kms, v2 of its first releases',
    'vault-kubernetes-kms',
    async (made, service) => {
      const { createdAt } = await service.newest()
      return v2(Buffer.from(made), String(createdAt))
    },
  ),
  vector('vault-kms-provider', 'vault-kms-provider', async (made, service) => {
    const { createdAt } = await service.newest()
    return v2(Buffer.from(made), String(createdAt))
  }),
  vector('kleidi', 'kleidi', async (made, service) => {
    const { version, createdAt } = await service.newest()
    return v2(Buffer.from(made), `kleidi-kms-plugin_${version}_${createdAt}`, KLEIDI)
  }),
]

const encryptAnswer = v.object({ data: v.object({ ciphertext: v.string() }) })
const keyAnswer = v.object({
  data: v.object({ latest_version: v.number(), keys: v.record(v.string(), v.number()) }),
})

async function setup(): Promise<TransitService> {
  const folder = await tempFolder()
  const bao = await startOpenBao()
  const transit = await bao.setupTransit({ folder: folder.path })
  const config = v.parse(vaultConfig, {
    name: 'mine',
    type: 'vault',
    allowInsecureHttp: true,
    ...transit.provider,
  })
  const events = new RecordedEvents()
  const provider = createVaultProvider(config, {
    clock: systemClock,
    events,
    requestTimeoutMs: 2_500,
  })
  const { mount, key } = transit
  return {
    provider,
    bao,
    transit,
    rotate: () => bao.rotate(transit),
    encrypt: async (plaintext) => {
      const body = { plaintext: plaintext.toString('base64') }
      const answer = await bao.request('POST', `${mount}/encrypt/${key}`, body)
      return v.parse(encryptAnswer, answer).data.ciphertext
    },
    newest: async () => {
      const { data } = v.parse(keyAnswer, await bao.request('GET', `${mount}/keys/${key}`))
      const version = data.latest_version
      return { version, createdAt: data.keys[version] ?? 0 }
    },
    async [Symbol.asyncDispose]() {
      await provider.close()
      await bao[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

const test = suite('e2e/takeover_vault', () => ({}))
const call: Call = { signal: new AbortController().signal, deadline: Number.POSITIVE_INFINITY }

async function codeOf(promise: Promise<unknown>): Promise<KmsErrorCode> {
  const error = await rejection(promise)
  assert.instance(error, KmsError)
  return (error as KmsError).code
}

test('wraps of an envelope cannot be passed off as those of another plugin, nor the other way', async () => {
  await using service = await setup()
  const { provider } = service
  const plaintext = randomBytes(32)
  const associatedData = randomBytes(32)
  const label = await firstLook(provider, call)
  const [own] = await provider.wrap(label, [{ plaintext, associatedData }], call)
  const foreign = Buffer.from((await service.encrypt(plaintext)).split(':')[2] ?? '', 'base64')
  assert.ok(own?.ok)
  const disguised = `vault:v1:${Buffer.from(own.value).toString('base64')}`

  const [asOwn] = await provider.unwrap([{ version: label, bytes: foreign, associatedData }], call)

  assert.is(
    await codeOf(open(service, 'trousseau-1', v1(Buffer.from(disguised)))),
    'ciphertext_invalid',
  )
  assert.is(asOwn?.ok === false && asOwn.error.code, 'ciphertext_invalid')
})

test('a version that the key no longer opens, or never had, has an error with the way out [D6]', async () => {
  await using service = await setup()
  const { bao, transit } = service
  const old = await service.encrypt(randomBytes(32))
  await service.rotate()
  const { mount, key } = transit
  await bao.request('POST', `${mount}/keys/${key}/config`, { min_decryption_version: 2 })

  assert.is(await codeOf(open(service, 'trousseau-1', v1(Buffer.from(old)))), 'key_unavailable')
  assert.is(
    await codeOf(open(service, 'trousseau-1', v1(Buffer.from(old.replace('v1', 'v7'))))),
    'key_unavailable',
  )
})

for (const convergent_encryption of [false, true]) {
  test(`a derived key is refused by name${convergent_encryption ? ', also a convergent one' : ''}`, async () => {
    await using service = await setup()
    const { bao, transit } = service
    const { mount, key } = transit
    const path = `${mount}/keys/${key}`
    const ciphertext = await service.encrypt(randomBytes(32))
    await bao.request('POST', `${path}/config`, { deletion_allowed: true })
    await bao.request('DELETE', path)
    await bao.request('POST', path, { derived: true, convergent_encryption })

    const error = await rejection(open(service, 'trousseau-1', v1(Buffer.from(ciphertext))))

    assert.is((error as KmsError).code, 'key_unavailable')
    assert.match((error as KmsError).message, /derived/)
  })
}

test.run()
takeoverContract('OpenBao', VECTORS, setup)
