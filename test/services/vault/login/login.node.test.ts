/** Logins, renewal and TLS against the real OpenBao server. @module */

import { Buffer } from 'node:buffer'
import { writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { withinLimit } from '../../../../src/base/call.ts'
import { systemClock } from '../../../../src/base/clock.ts'
import type { KmsError } from '../../../../src/base/errors.ts'
import { vaultConfig } from '../../../../src/services/vault/config.ts'
import { createVaultProvider } from '../../../../src/services/vault/provider.ts'
import { RecordedEvents } from '../../../_lib/events.ts'
import { replaceFile } from '../../../_lib/replace_file.ts'
import { firstVersion } from '../../../_lib/services/vault/key_server.ts'
import { startOpenBao, type TransitOptions } from '../../../_lib/services/vault/openbao.ts'
import { tempFolder } from '../../../_lib/temp_folder.ts'
import { rejection, suite } from '../../../_lib/uvu.ts'
import { until } from '../../../_lib/wait.ts'

const ITEM = { plaintext: Buffer.from('plaintext'), associatedData: Buffer.alloc(32) }
const test = suite('services/vault/login/login', () => ({}))

interface Setup {
  readonly transit?: Partial<TransitOptions>
  readonly tls?: boolean
}

async function setup({ transit: options = {}, tls = false }: Setup = {}) {
  const folder = await tempFolder()
  const bao = await startOpenBao({ tls })
  const transit = await bao.setupTransit({ folder: folder.path, ...options })
  const events = new RecordedEvents()
  const closers: (() => Promise<void>)[] = []
  const provider = (change: object = {}) => {
    const config = v.parse(vaultConfig, {
      name: 'v',
      type: 'vault',
      allowInsecureHttp: true,
      ...transit.provider,
      ...change,
    })
    const made = createVaultProvider(config, {
      clock: systemClock,
      events,
      requestTimeoutMs: 2_500,
    })
    closers.push(() => made.close())
    return made
  }
  const limited = <T>(work: Parameters<typeof withinLimit<T>>[2]) =>
    withinLimit(systemClock, 2_500, work)
  return {
    folder,
    bao,
    transit,
    events,
    provider,
    limited,
    logins: () => events.of('token').filter(({ action }) => action === 'login').length,
    async [Symbol.asyncDispose]() {
      for (const close of closers) await close()
      await bao[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

test('approle logs in under the least policy, and a short-lived token is renewed by itself', async () => {
  await using one = await setup({ transit: { tokenTtl: '2s' } })
  const provider = one.provider()
  await one.limited((call) => provider.keyState(call))

  await until('it is renewed twice', () => {
    const renewals = one.events
      .of('token')
      .filter(({ action, code }) => action === 'renew' && code === 'ok')
    return renewals.length >= 2
  })

  await one.limited((call) => provider.wrap(firstVersion(), [ITEM], call))
  assert.is(one.logins(), 1)
})

test('a token that nears its maximum life is replaced ahead of time', async () => {
  await using one = await setup({ transit: { tokenTtl: '2s', tokenMaxTtl: '3s' } })
  const provider = one.provider()
  await one.limited((call) => provider.keyState(call))

  await until('a second login was made', async () => {
    await one.limited((call) => provider.keyState(call))
    return one.logins() >= 2
  })

  const failed = one.events
    .of('token')
    .filter(({ action, code }) => code !== 'ok' && (action === 'login' || code !== 'denied'))
  assert.equal(failed, [])
})

test('a hundred requests that meet a revoked token cause exactly one login and all succeed', async () => {
  await using one = await setup()
  const provider = one.provider()
  await one.limited((call) => provider.keyState(call))
  await one.transit.revokeTokens()

  const all = await Promise.all(
    Array.from({ length: 100 }, () =>
      one.limited((call) => provider.wrap(firstVersion(), [ITEM], call)),
    ),
  )

  assert.ok(all.every(([outcome]) => outcome?.ok))
  assert.is(one.logins(), 2)
})

test('a secret id that is wrong is tried once, says what to do, and does not lock the role', async () => {
  await using one = await setup()
  await writeFile(one.transit.secretIdFile, 'wrong-planted-secret-id')
  const provider = one.provider()

  for (let turn = 0; turn < 10; turn += 1) {
    const error = (await rejection(one.limited((call) => provider.keyState(call)))) as KmsError
    assert.is(error.code, 'denied')
    assert.match(error.message, /Login at auth\/approle\/login was refused \((400|500)\)/)
  }
  assert.is(one.logins(), 1)
  await one.transit.replaceSecretId()

  await one.limited((call) => provider.keyState(call))
  assert.not.match(JSON.stringify(one.events.all), /planted/)
})

test('an approle mount that does not exist is named', async () => {
  await using one = await setup()
  const { roleIdFile, secretIdFile } = one.transit
  const provider = one.provider({
    auth: { method: 'approle', mount: 'nowhere', roleIdFile, secretIdFile },
  })

  const error = (await rejection(one.limited((call) => provider.keyState(call)))) as KmsError

  assert.is(error.code, 'denied')
  assert.match(error.message, /auth\/nowhere\/login/)
})

test('token: a file is used, its token looked up and renewed, and a new file followed after a revocation', async () => {
  await using one = await setup({ transit: { tokenTtl: '2s' } })
  const file = one.folder.at('token')
  await writeFile(file, await one.transit.login())
  const provider = one.provider({ auth: { method: 'token', tokenFile: file } })
  await one.limited((call) => provider.keyState(call))
  const renewed = () =>
    one.events.of('token').some(({ action, code }) => action === 'renew' && code === 'ok')
  await until('it is renewed', renewed)

  await one.transit.revokeTokens()
  const error = await rejection(one.limited((call) => provider.keyState(call)))
  assert.is((error as KmsError).code, 'denied')
  await replaceFile(file, await one.transit.login())

  await until('the new token is used', () =>
    one
      .limited((call) => provider.keyState(call))
      .then(
        () => true,
        () => false,
      ),
  )
})

test('token: without the right to look itself up it is used all the same, with a warning', async () => {
  await using one = await setup()
  const { mount, key, policy } = one.transit
  const rules = ['encrypt', 'decrypt'].map(
    (action) => `path "${mount}/${action}/${key}" { capabilities = ["update"] }`,
  )
  rules.push(`path "${mount}/keys/${key}" { capabilities = ["read"] }`)
  await one.bao.request('POST', `sys/policies/acl/${policy}`, { policy: rules.join('\n') })
  const file = one.folder.at('token')
  await writeFile(file, await one.transit.login())
  const provider = one.provider({ auth: { method: 'token', tokenFile: file } })

  await one.limited((call) => provider.keyState(call))

  assert.equal(one.events.notices(), ['token_life_unknown'])
})

test('a policy that does not allow the key says which rules it needs', async () => {
  await using one = await setup()
  await one.bao.request('POST', `sys/policies/acl/${one.transit.policy}`, {
    policy: 'path "other" { capabilities = ["read"] }',
  })
  const provider = one.provider()

  const error = (await rejection(
    one.limited((call) => provider.wrap(firstVersion(), [ITEM], call)),
  )) as KmsError

  assert.is(error.code, 'denied')
  assert.match(error.message, /update on transit\/encrypt\/k8s-etcd/)
})

test('a missing key is named, with mount and namespace to check', async () => {
  await using one = await setup()
  const { mount, key } = one.transit
  await one.bao.request('POST', `${mount}/keys/${key}/config`, { deletion_allowed: true })
  await one.bao.request('DELETE', `${mount}/keys/${key}`)
  const provider = one.provider()

  const error = (await rejection(one.limited((call) => provider.keyState(call)))) as KmsError

  assert.is(error.code, 'key_unknown')
  assert.match(error.message, /no such mount, key or namespace/)
})

test('TLS: the authority in caFile is trusted, and no other', async () => {
  await using one = await setup({ tls: true })
  const trusted = one.provider({ tls: { caFile: one.bao.caFile } })
  await one.limited((call) => trusted.keyState(call))

  const error = (await rejection(
    one.limited((call) => one.provider({ tls: {} }).keyState(call)),
  )) as KmsError

  assert.is(error.code, 'unavailable')
  assert.match(error.message, /tls\.caFile/)
})

test('TLS: a certificate for another name is refused', async () => {
  await using one = await setup({ tls: true })
  const tls = { caFile: one.bao.caFile, serverName: 'other.example.org' }

  const error = (await rejection(
    one.limited((call) => one.provider({ tls }).keyState(call)),
  )) as KmsError

  assert.is(error.code, 'unavailable')
  assert.match(error.message, /certificate|tls/)
})

test.run()
