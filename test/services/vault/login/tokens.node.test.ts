/** What roles and credentials may put on tokens, and what becomes of tokens, at the real OpenBao server. */

import { Buffer } from 'node:buffer'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { withinLimit } from '../../../../src/base/call.ts'
import { systemClock } from '../../../../src/base/clock.ts'
import { KmsError } from '../../../../src/base/errors.ts'
import { fetchSvids } from '../../../../src/plugin/svids.ts'
import { VaultStatusError } from '../../../../src/services/vault/api.ts'
import { vaultConfig } from '../../../../src/services/vault/config.ts'
import { refusesToken } from '../../../../src/services/vault/login/lookup.ts'
import { createVaultProvider } from '../../../../src/services/vault/provider.ts'
import { policyText } from '../../../../src/services/vault/setup/policy.ts'
import { RecordedEvents } from '../../../_lib/events.ts'
import { keyServerBinary } from '../../../_lib/services/vault/key_server.ts'
import { LOGIN_SCENES } from '../../../_lib/services/vault/login_setup.ts'
import { type OpenBao, startOpenBao } from '../../../_lib/services/vault/openbao.ts'
import { tempFolder } from '../../../_lib/temp_folder.ts'
import { rejection, suite } from '../../../_lib/uvu.ts'
import { until } from '../../../_lib/wait.ts'

const LIMIT_MS = 5_000
const ITEM = { plaintext: Buffer.from('plaintext'), associatedData: Buffer.alloc(32) }
const tokenReply = v.object({ auth: v.object({ client_token: v.string() }) })
const wrappedReply = v.object({ wrap_info: v.object({ token: v.string() }) })
const listReply = v.object({ data: v.object({ keys: v.array(v.string()) }) })
const test = suite('services/vault/login/tokens', () => ({}))

let shared: Promise<OpenBao> | undefined
let count = 0

function server(): Promise<OpenBao> {
  shared ??= startOpenBao()
  return shared
}

/** With `own`, on a server that no other test has to do with. */
async function setup({ tls = false, own = tls }: { tls?: boolean; own?: boolean } = {}) {
  const folder = await tempFolder()
  const bao = own ? await startOpenBao({ tls }) : await server()
  count += 1
  const names = { mount: `transit-${count}`, key: `key-${count}` }
  const transit = await bao.setupTransit({ folder: folder.path, ...names })
  const provider = (change: object = {}) => {
    const events = new RecordedEvents()
    const config = { name: 'v', type: 'vault', allowInsecureHttp: true, ...transit.provider }
    const made = createVaultProvider(v.parse(vaultConfig, { ...config, ...change }), {
      clock: systemClock,
      events,
      requestTimeoutMs: LIMIT_MS,
      fetchSvids,
    })
    const wrap = () => withinLimit(systemClock, LIMIT_MS, (call) => made.wrap('1', [ITEM], call))
    return {
      events,
      wrap,
      close: () => made.close(),
      logins: () => events.of('token').filter(({ action }) => action === 'login'),
      restrictions: () =>
        events
          .noticesOf('token_restricted')
          .map(({ level, fields }) => `${level} ${fields?.restriction}`),
    }
  }
  return {
    folder,
    bao,
    transit,
    provider,
    role: (fields: object) => bao.request('POST', `auth/approle/role/${transit.role}`, fields),
    /** Accessors of all service tokens that are alive. */
    async alive() {
      const reply = await bao.request('GET', 'auth/token/accessors?list=true')
      return v.parse(listReply, reply).data.keys.sort()
    },
    /** A token made by hand, in the file of the login. */
    async tokenFile(path: string, fields: object) {
      const body = { policies: [transit.policy], no_default_policy: true, ...fields }
      const made = v.parse(tokenReply, await bao.request('POST', path, body))
      const file = folder.at('token')
      await writeFile(file, made.auth.client_token, { mode: 0o600 })
      return { auth: { method: 'token', tokenFile: file } }
    },
    async [Symbol.asyncDispose]() {
      if (own) await bao[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

test('login: a role of tokens for five uses is refused in words, to eight callers by one login that leaves no token', async () => {
  await using one = await setup()
  await one.role({ token_num_uses: 5 })
  const provider = one.provider()
  const before = await one.alive()

  const errors = await Promise.all(Array.from({ length: 8 }, () => rejection(provider.wrap())))
  for (let turn = 0; turn < 6; turn += 1) errors.push(await rejection(provider.wrap()))

  for (const error of errors) {
    assert.instance(error, KmsError)
    assert.is((error as KmsError).code, 'denied')
    assert.match(
      (error as KmsError).message,
      'its role gives tokens for 5 uses: set token_num_uses=0',
    )
  }
  assert.is(provider.logins().length, 1)
  assert.equal(await one.alive(), before)
  await provider.close()
})

test('login: once the role gives tokens without a count of uses, new credentials are used at once', async () => {
  await using one = await setup()
  await one.role({ token_num_uses: 5 })
  const provider = one.provider()
  await rejection(provider.wrap())

  await one.role({ token_num_uses: 0 })
  await one.transit.replaceSecretId()

  const [outcome] = await provider.wrap()
  assert.ok(outcome?.ok)
  await provider.close()
})

test('login with a second factor is refused in words', async () => {
  await using one = await setup({ own: true })
  const made = await one.bao.request('POST', 'identity/mfa/method/totp', { issuer: 'bao' })
  const { method_id } = v.parse(v.object({ data: v.object({ method_id: v.string() }) }), made).data
  await one.bao.request('POST', 'identity/mfa/login-enforcement/all', {
    mfa_method_ids: [method_id],
    auth_method_types: ['approle'],
  })
  const provider = one.provider()

  const error = (await rejection(provider.wrap())) as KmsError

  assert.is(error.code, 'denied')
  assert.match(error.message, 'wants a second factor')
  await provider.close()
})

for (const name of Object.keys(LOGIN_SCENES).filter((each) => each !== 'token')) {
  test(`close(): ten starts with ${name} leave no token behind`, async () => {
    await using one = await setup({ tls: true })
    const { bao, transit, folder } = one
    const scene = await LOGIN_SCENES[name]?.({ bao, transit, folder })
    const tls = { caFile: bao.caFile, ...scene?.tls }
    const before = await one.alive()

    const starts = name === 'approle, wrapped' ? 1 : 10
    for (let start = 0; start < starts; start += 1) {
      const provider = one.provider({ auth: scene?.auth, tls })
      const [outcome] = await provider.wrap()
      assert.ok(outcome?.ok)
      await provider.close()
      assert.not.ok(provider.events.notices().includes('token_not_revoked'))
    }

    // A wrapping token is gone once it was used.
    assert.equal(
      (await one.alive()).filter((each) => !before.includes(each)),
      [],
    )
    await scene?.close?.()
  })
}

test('close(): no request logs in after it', async () => {
  await using one = await setup()
  const before = await one.alive()
  const provider = one.provider()
  await provider.wrap()

  await provider.close()

  assert.is(((await rejection(provider.wrap())) as KmsError).code, 'unavailable')
  assert.is(provider.logins().length, 1)
  assert.equal(await one.alive(), before)
})

test('close(): under a policy that does not allow it, the token stays and one line of level info says so', async () => {
  await using one = await setup()
  const { mount, key, policy } = one.transit
  const text = policyText({ mount, key, auth: { method: 'token' } })
  await one.bao.request('POST', `sys/policies/acl/${policy}`, { policy: text })
  const before = await one.alive()
  const provider = one.provider()
  await provider.wrap()
  const told = provider.events.all.length

  await provider.close()

  const [line, ...more] = provider.events.all.slice(told)
  assert.equal(more, [])
  assert.is(line?.type === 'notice' && `${line.level} ${line.what}`, 'info token_not_revoked')
  assert.match(line?.type === 'notice' ? line.message : '', 'auth/token/revoke-self')
  assert.is((await one.alive()).length, before.length + 1)
})

test('close(): a token from a file is never revoked', async () => {
  await using one = await setup()
  const change = await one.tokenFile('auth/token/create-orphan', { period: '1h' })
  const before = await one.alive()
  const provider = one.provider(change)
  await provider.wrap()

  await provider.close()

  assert.equal(await one.alive(), before)
})

test('close(): a token that a caching agent gives to others too is not revoked', async () => {
  await using one = await setup()
  await using agent = await cachingAgent(one.folder.path, one.bao.address)
  const change = { address: agent.address }
  const [first, second] = [one.provider(change), one.provider(change)]
  await first.wrap()
  await second.wrap()
  const shared = await one.alive()

  await first.close()

  assert.equal(await one.alive(), shared)
  const logins = second.logins().length
  assert.ok((await second.wrap())[0]?.ok)
  assert.is(second.logins().length, logins)
  await second.close()
})

test('a token that was replaced is revoked once nobody carries it', async () => {
  await using one = await setup()
  const before = await one.alive()
  const provider = one.provider()
  await provider.wrap()
  const [first] = (await one.alive()).filter((each) => !before.includes(each))
  const { policy, mount, key } = one.transit
  // The policy denies while the token lives: another login is tried, and gives another token.
  const revokes = 'path "auth/token/revoke-self" { capabilities = ["update"] }'
  await one.bao.request('POST', `sys/policies/acl/${policy}`, { policy: revokes })
  await rejection(provider.wrap())
  const auth = { method: 'approle', mount: 'approle' }
  const text = policyText({ mount, key, auth })
  await one.bao.request('POST', `sys/policies/acl/${policy}`, { policy: text })

  await until('the first token is gone, and the second is not', async () => {
    const now = await one.alive()
    return !now.includes(first ?? '') && now.length === before.length + 1
  })

  assert.ok((await provider.wrap())[0]?.ok)
  await provider.close()
  assert.equal(await one.alive(), before)
})

test('a role without restrictions brings no notice', async () => {
  await using one = await setup()
  const provider = one.provider()
  await provider.wrap()

  await provider.close()

  assert.equal(provider.events.notices(), [])
})

for (const [title, fields, expected] of [
  ['addresses that the token is bound to', { token_bound_cidrs: '127.0.0.0/8' }, ['info bound']],
  ['an end of its own, after which there is a new login', { token_explicit_max_ttl: '2h' }, []],
  ['a period', { token_period: '1h' }, []],
  ['batch tokens', { token_type: 'batch' }, []],
] as const) {
  test(`restrictions of a login: ${title}`, async () => {
    await using one = await setup()
    await one.role(fields)
    const provider = one.provider()

    assert.ok((await provider.wrap())[0]?.ok)
    await provider.close()

    assert.equal(provider.restrictions(), expected)
    assert.not.ok(provider.events.notices().includes('token_not_revoked'))
  })
}

test('restrictions of a login: addresses that leave this node out are told with the denial', async () => {
  await using one = await setup()
  await one.role({ token_bound_cidrs: '10.1.2.0/24' })
  const provider = one.provider()

  const error = (await rejection(provider.wrap())) as KmsError
  await provider.close()

  assert.is(error.code, 'denied')
  assert.match(error.message, 'token_bound_cidrs')
  assert.equal(provider.restrictions(), ['warn elsewhere'])
})

test('restrictions of a login: a secret id of few uses and with an end is told of before either is over', async () => {
  await using one = await setup()
  await one.role({ secret_id_num_uses: 3, secret_id_ttl: '10h' })
  await one.transit.replaceSecretId()

  const seen: (string | undefined)[] = []
  for (let start = 0; start < 3; start += 1) {
    const provider = one.provider()
    await provider.wrap()
    await provider.close()
    const told = provider.events.noticesOf('token_restricted')
    seen.push(told.map(({ message }) => /good for \w+ more|ends at/.exec(message)?.[0]).join())
  }

  assert.equal(seen, ['good for 2 more,ends at', 'good for 1 more,ends at', 'good for no more'])
})

test('restrictions of a login: a policy that allows no look brings no notice and fails nothing', async () => {
  await using one = await setup()
  const { mount, key, policy } = one.transit
  const text = policyText({ mount, key }).replace('auth/token/lookup-self', 'auth/none')
  await one.bao.request('POST', `sys/policies/acl/${policy}`, { policy: text })
  await one.role({ secret_id_num_uses: 3 })
  await one.transit.replaceSecretId()
  const provider = one.provider()

  assert.ok((await provider.wrap())[0]?.ok)
  await provider.close()

  assert.equal(provider.events.notices(), [])
})

test('a denial of a dead token is told from one by its policy', async () => {
  await using one = await setup()
  const token = await one.transit.login()
  const { mount, key } = one.transit
  const { address } = one.bao
  const denial = async (path: string) => {
    const reply = await fetch(`${address}/v1/${path}`, { headers: { 'x-vault-token': token } })
    assert.is(reply.status, 403)
    const answer = { status: 403, address, serviceTime: undefined, kept: false }
    const text = await reply.text()
    return new VaultStatusError(path, { ...answer, text, header: () => undefined })
  }
  assert.is(refusesToken(await denial('sys/mounts')), false)

  await one.transit.revokeTokens()

  assert.is(refusesToken(await denial(`${mount}/keys/${key}`)), true)
})

for (const [title, path, fields, expected] of [
  ['periodic', 'auth/token/create-orphan', { period: '24h' }, ['info period']],
  ['with a parent', 'auth/token/create', { period: '24h' }, ['warn parent', 'info period']],
  ['that can be renewed for a while', 'auth/token/create-orphan', { ttl: '1h' }, ['warn ends']],
  [
    'periodic, with an end',
    'auth/token/create-orphan',
    { period: '1h', explicit_max_ttl: '2h' },
    ['warn ends'],
  ],
  [
    'that cannot be renewed',
    'auth/token/create-orphan',
    { ttl: '1h', renewable: false },
    ['warn ends'],
  ],
  ['of type batch', 'auth/token/create-orphan', { ttl: '1h', type: 'batch' }, ['warn ends']],
] as const) {
  test(`restrictions of a token from a file: ${title}`, async () => {
    await using one = await setup()
    const provider = one.provider(await one.tokenFile(path, fields))

    assert.ok((await provider.wrap())[0]?.ok)
    await provider.close()

    assert.equal(provider.restrictions(), expected)
  })
}

test('restrictions of a token from a file: one that a login gave is replaced by whoever logged in', async () => {
  await using one = await setup()
  const file = one.folder.at('sink')
  await writeFile(file, await one.transit.login(), { mode: 0o600 })
  const provider = one.provider({ auth: { method: 'token', tokenFile: file } })

  assert.ok((await provider.wrap())[0]?.ok)
  await provider.close()

  assert.equal(provider.restrictions(), [])
})

test('a token from a file that is for few uses is refused in words', async () => {
  await using one = await setup()
  const change = await one.tokenFile('auth/token/create-orphan', { period: '24h', num_uses: 9 })
  const provider = one.provider(change)

  const error = (await rejection(provider.wrap())) as KmsError
  await rejection(provider.wrap())
  await provider.close()

  assert.is(error.code, 'denied')
  assert.match(error.message, 'of auth.tokenFile is for 8 more uses: make one without -use-limit')
})

test('a wrapping token in the file of a token is named as such, and still gives out what it wraps', async () => {
  await using one = await setup()
  const reply = await one.bao.request('POST', 'auth/token/create', {}, { 'x-vault-wrap-ttl': '1h' })
  const { token } = v.parse(wrappedReply, reply).wrap_info
  const file = one.folder.at('wrapped')
  await writeFile(file, token, { mode: 0o600 })
  const provider = one.provider({ auth: { method: 'token', tokenFile: file } })

  const error = (await rejection(provider.wrap())) as KmsError
  await provider.close()

  assert.is(error.code, 'denied')
  assert.match(error.message, 'of auth.tokenFile holds a wrapping token')
  v.parse(tokenReply, await one.bao.request('POST', 'sys/wrapping/unwrap', { token }))
})

test('login: a role without secret ids needs no file with one', async () => {
  await using one = await setup()
  await one.role({ bind_secret_id: false, token_bound_cidrs: '127.0.0.1/32' })
  const { roleIdFile } = one.transit
  const provider = one.provider({ auth: { method: 'approle', roleIdFile } })

  assert.ok((await provider.wrap())[0]?.ok)
  await provider.close()
})

test('what the tests shared ends', async () => {
  await (await shared)?.[Symbol.asyncDispose]()
})

/** The server's own agent, which keeps what it answered and gives it to whoever asks the same. */
async function cachingAgent(folder: string, address: string) {
  const socket = `${folder}/agent.sock`
  const config = `${folder}/agent.hcl`
  await writeFile(
    config,
    `vault { address = "${address}" }
cache {}
api_proxy {}
listener "unix" {
  address = "${socket}"
  tls_disable = true
}
`,
  )
  const child = spawn(await keyServerBinary(), ['agent', `-config=${config}`], { stdio: 'ignore' })
  const closed = once(child, 'close')
  await until('the agent listens', () =>
    access(socket).then(
      () => true,
      () => {
        if (child.exitCode !== null) throw new Error(`Agent exited ${child.exitCode}`)
        return false
      },
    ),
  )
  return {
    address: `unix://${socket}`,
    async [Symbol.asyncDispose]() {
      child.kill()
      await closed
    },
  }
}

test.run()
