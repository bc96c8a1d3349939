import { Buffer } from 'node:buffer'
import { readFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { systemClock } from '../../../src/base/clock.ts'
import { KmsError } from '../../../src/base/errors.ts'
import type { SigningKeySource } from '../../../src/base/signing_key.ts'
import { vaultSigningConfig } from '../../../src/services/vault/config.ts'
import { createVaultSigningKey } from '../../../src/services/vault/signing_key.ts'
import { verificationKey } from '../../../src/signer/verification_key.ts'
import { RecordedEvents } from '../../_lib/events.ts'
import { startOpenBao } from '../../_lib/services/vault/openbao.ts'
import { tempFolder } from '../../_lib/temp_folder.ts'
import { rejection, suite } from '../../_lib/uvu.ts'
import { type SourceUnderTest, signingKeyContract } from '../contract/signing_key.ts'

const bao = await startOpenBao()
const call = { signal: new AbortController().signal, deadline: 20_000 }
let made = 0

/** Under the policy that the product prints, and nothing more. */
async function setup(type: string): Promise<SourceUnderTest & { readonly path: string }> {
  const folder = await tempFolder()
  made += 1
  const mount = `sa-${made}`
  const options = { folder: folder.path, mount, key: 'k8s-sa', keySettings: { type }, signs: true }
  const transit = await bao.setupTransit(options)
  const source = sourceOf({ ...transit.provider, allowInsecureHttp: true })
  return {
    source,
    path: `${mount}/keys/k8s-sa`,
    rotate: () => bao.rotate(transit),
    secrets: [(await readFile(transit.secretIdFile, 'utf8')).trim()],
    async [Symbol.asyncDispose]() {
      await source.close()
      await folder[Symbol.asyncDispose]()
    },
  }
}

function sourceOf(config: object): SigningKeySource {
  const parsed = v.parse(vaultSigningConfig, { type: 'vault', ...config })
  const deps = { clock: systemClock, events: new RecordedEvents(), requestTimeoutMs: 20_000 }
  return createVaultSigningKey(parsed, 'signer', deps)
}

for (const [type, algorithm] of [
  ['ecdsa-p256', 'ES256'],
  ['ecdsa-p384', 'ES384'],
  ['ecdsa-p521', 'ES512'],
  ['rsa-2048', 'RS256'],
  ['rsa-4096', 'RS256'],
] as const) {
  signingKeyContract(`vault, ${type}`, () => setup(type), algorithm)
}

const test = suite('services/vault/signing_key', () => ({}))

test('a key that cannot sign tokens is refused, with what is wanted', async () => {
  for (const type of ['aes256-gcm96', 'ed25519']) {
    await using under = await setup(type)
    const error = await rejection(under.source.publicKeys(call))
    assert.match(String(error), new RegExp(`has type ${type}, which cannot sign|protocol|answer`))
  }
})

test('a version below min_encryption_version may not sign, and is still told', async () => {
  await using under = await setup('ecdsa-p256')
  await under.rotate()
  await bao.request('POST', `${under.path}/config`, { min_encryption_version: 2 })
  const { versions } = await under.source.publicKeys(call)

  assert.equal(
    versions.map(({ maySign }) => maySign),
    [false, true],
  )
  const request = { version: '1', algorithm: 'ES256', inputs: [Buffer.from('a.b')] } as const
  const [outcome] = await under.source
    .sign(request, call)
    .catch((error: unknown) => [{ ok: false as const, error }])
  assert.is(outcome?.ok, false)
})

test('a batch as large as the signer makes it is signed in one request', async () => {
  await using under = await setup('ecdsa-p256')
  const inputs = Array.from({ length: under.source.batchItems }, (_, index) =>
    Buffer.from(`header.${'claims'.repeat(200)}${index}`),
  )
  const request = { version: '1', algorithm: 'ES256', inputs } as const
  const outcomes = await under.source.sign(request, call)

  assert.is(outcomes.length, inputs.length)
  assert.ok(outcomes.every(({ ok }) => ok))
})

test('what the policy must allow is said where something is denied', async () => {
  await using folder = await tempFolder()
  made += 1
  const options = { folder: folder.path, mount: `kms-${made}`, key: 'k8s-etcd' }
  // This role may encrypt and decrypt, and not sign.
  const transit = await bao.setupTransit({ ...options, keySettings: { type: 'ecdsa-p256' } })
  const source = sourceOf({ ...transit.provider, allowInsecureHttp: true })
  const [version] = (await source.publicKeys(call)).versions
  assert.is(verificationKey(version?.publicKey ?? new Uint8Array(), 'It').algorithm, 'ES256')
  const request = { version: '1', algorithm: 'ES256', inputs: [Buffer.from('a.b')] } as const
  const error = await rejection(source.sign(request, call))

  assert.ok(error instanceof KmsError)
  assert.is((error as KmsError).code, 'denied')
  assert.match(String(error), new RegExp(`update on ${options.mount}/sign/k8s-etcd`))
  await source.close()
})

test('the server ends', async () => {
  await bao[Symbol.asyncDispose]()
})

test.run()
