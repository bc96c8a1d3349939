/** A login that only a node in the right state can make: a real TPM, and the real OpenBao. @module */

import { Buffer } from 'node:buffer'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { withinLimit } from '../../../../src/base/call.ts'
import { systemClock } from '../../../../src/base/clock.ts'
import { KmsError } from '../../../../src/base/errors.ts'
import { vaultConfig } from '../../../../src/services/vault/config.ts'
import { createVaultProvider } from '../../../../src/services/vault/provider.ts'
import { RecordedEvents } from '../../../_lib/events.ts'
import {
  pcrsOf,
  policyKey,
  writePolicies,
  writeTpmKey,
} from '../../../_lib/remote/tpm/login_key.ts'
import { startSwtpm } from '../../../_lib/remote/tpm/swtpm.ts'
import { startTpmProxy } from '../../../_lib/remote/tpm/tpm_proxy.ts'
import { firstVersion } from '../../../_lib/services/vault/key_server.ts'
import { startOpenBao } from '../../../_lib/services/vault/openbao.ts'
import { tempFolder } from '../../../_lib/temp_folder.ts'
import { rejection, suite } from '../../../_lib/uvu.ts'

const ITEM = { plaintext: Buffer.from('plaintext'), associatedData: Buffer.alloc(32) }
const SIGN = 0x15d
const LIMIT_MS = 20_000
const test = suite('services/vault/login/tpm', () => ({}))

async function setup() {
  const folder = await tempFolder()
  const tpm = await startSwtpm()
  const proxy = await startTpmProxy(folder.at('proxy'), tpm.socketPath)
  const bao = await startOpenBao()
  const transit = await bao.setupTransit({ folder: folder.path })
  const policy = policyKey()
  const [keyFile, policyFile] = [folder.at('key.json'), folder.at('policies.json')]
  const publicKey = await writeTpmKey(keyFile, tpm.device, { authority: policy.publicKey })
  const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
  await bao.request('POST', 'sys/auth/jwt', { type: 'jwt' })
  await bao.request('POST', 'auth/jwt/config', { jwt_validation_pubkeys: [pem] })
  await bao.request('POST', 'auth/jwt/role/trousseau', {
    ...{ role_type: 'jwt', user_claim: 'sub', bound_audiences: ['vault'] },
    ...{ token_policies: transit.policy, token_no_default_policy: true, token_ttl: '1h' },
  })
  const events = new RecordedEvents()
  const selfSigned = {
    ...{ audience: 'vault', subject: 'kms:test:cp-1' },
    tpm: { keyFile, policyFile, device: proxy.device },
  }
  const config = v.parse(vaultConfig, {
    ...{ name: 'v', type: 'vault', allowInsecureHttp: true, ...transit.provider },
    auth: { method: 'jwt', role: 'trousseau', selfSigned },
  })
  const deps = { clock: systemClock, events, requestTimeoutMs: LIMIT_MS }
  const provider = createVaultProvider(config, deps)
  const use = () =>
    withinLimit(systemClock, LIMIT_MS, (call) => provider.wrap(firstVersion(), [ITEM], call))
  return {
    tpm,
    proxy,
    /** How often the TPM was asked to sign. */
    signatures: () => proxy.commands.filter((code) => code === SIGN).length,
    logins: (code: string) =>
      events.of('token').filter((each) => each.action === 'login' && each.code === code).length,
    approve: async (key = policy.privateKey) =>
      await writePolicies(policyFile, key, await pcrsOf(tpm.device, [7, 11])),
    revoke: () => bao.request('POST', 'sys/leases/revoke-prefix/auth/jwt/login', { sync: true }),
    works: async () => {
      const [outcome] = await use()
      assert.ok(outcome?.ok)
    },
    fails: async (code: string, words: RegExp) => {
      const error = await rejection(use())
      assert.instance(error, KmsError)
      assert.match((error as KmsError).message, words)
      assert.is((error as KmsError).code, code)
    },
    async [Symbol.asyncDispose]() {
      await provider.close()
      await proxy[Symbol.asyncDispose]()
      await tpm[Symbol.asyncDispose]()
      await bao[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

test('a node whose PCRs changed does not log in until its state is approved of, and needs no new key', async () => {
  await using one = await setup()
  await one.approve()
  await one.works()
  assert.is(one.logins('ok'), 1)

  await one.tpm.extend(11)
  await one.works()
  await one.revoke()
  for (let turn = 0; turn < 4; turn += 1) {
    await one.fails('denied', /TPM does not let the login key sign .* PCR 11 has another value/)
  }
  assert.is(one.logins('denied'), 1)

  await one.approve()
  await one.works()
  assert.is(one.logins('ok'), 2)
})

test('a refusal of the TPM is held as any denied login: it is not asked again for the same files', async () => {
  await using one = await setup()
  await one.approve(policyKey().privateKey)

  for (let turn = 0; turn < 4; turn += 1) {
    await one.fails('denied', /is not signed by the policy key/)
  }
  assert.is(one.logins('denied'), 1)
  assert.is(one.proxy.commands.filter((code) => code === 0x177).length, 1)
  assert.is(one.signatures(), 0)

  await one.approve()
  await one.works()
  assert.is(one.signatures(), 1)
})

test('a TPM that is gone is asked again at once, since nothing was refused', async () => {
  await using one = await setup()
  await one.approve()
  await one.tpm.stop()

  await one.fails('unavailable', /TPM ".*" (?:closed the connection|cannot be opened|failed)/)
  await one.tpm.start()

  await one.works()
})

test.run()
