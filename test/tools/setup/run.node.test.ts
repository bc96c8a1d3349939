/** `trousseau vault setup` against the real OpenBao server: the plan, the API, and the script. @module */

import { Buffer } from 'node:buffer'
import { copyFile, readFile, rm, stat, writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { makeAuthority } from '../../_lib/remote/certificates.ts'
import { startLyingProxy } from '../../_lib/remote/lying_proxy.ts'
import { KEY_SERVER, since } from '../../_lib/services/vault/key_server.ts'
import { type OpenBao, startOpenBao } from '../../_lib/services/vault/openbao.ts'
import { type VaultSetup, vaultSetup } from '../../_lib/services/vault/setup.ts'
import type { TempFolder } from '../../_lib/temp_folder.ts'
import { suite } from '../../_lib/uvu.ts'

const POLICY = 'trousseau-k8s-etcd'
const POLICY_PATH = `sys/policies/acl/${POLICY}`
const ROLE = `auth/approle/role/${POLICY}`
const answer = v.object({ data: v.record(v.string(), v.unknown()) })
const loginAnswer = v.object({
  auth: v.object({ client_token: v.string(), policies: v.array(v.string()) }),
})
const test = suite('tools/setup/run', () => ({}))

async function approle(change: object = {}, on?: OpenBao): Promise<VaultSetup> {
  const one = await vaultSetup({}, on === undefined ? {} : { on })
  await one.change({ auth: approleIn(one.folder), ...change })
  return one
}

function approleIn({ at }: TempFolder): object {
  return { method: 'approle', roleIdFile: at('node/role-id'), secretIdFile: at('node/secret-id') }
}

async function dataOf({ bao }: VaultSetup, path: string): Promise<Record<string, unknown>> {
  return v.parse(answer, await bao.request('GET', path)).data
}

/** What the server holds that setting up could change. Asked one by one: the server fails readers of a new AppRole that meet. */
async function stateOf(one: VaultSetup): Promise<string> {
  const paths = ['sys/mounts', 'sys/auth', 'sys/policies/acl?list=true', POLICY_PATH]
  paths.push('transit/config/keys', 'transit/keys/k8s-etcd', ROLE, `${ROLE}/secret-id?list=true`)
  const found: unknown[] = []
  for (const path of paths) {
    const absent = (error: Error) => {
      if (!error.message.includes(' answered 404')) throw error
    }
    found.push(await dataOf(one, path).catch(absent))
  }
  return JSON.stringify(found)
}

function statesIn(out: string): Record<string, string> {
  const rows = [...out.matchAll(/^ {2}(ok|make|change|by hand|refused) +(\S.*?)(?: {2}|$)/gm)]
  return Object.fromEntries(rows.map(([, state = '', what = '']) => [what, state]))
}

/** The same of the document. */
function statesOf({ steps }: { steps: { what: string; state: string }[] }): Record<string, string> {
  return Object.fromEntries(steps.map(({ what, state }) => [what, state]))
}

/** The status of a request under a token of the plugin's. */
async function statusUnder(one: VaultSetup, method: string, path: string, body?: object) {
  const credentials = {
    role_id: (await readFile(one.folder.at('node/role-id'), 'utf8')).trim(),
    secret_id: (await readFile(one.folder.at('node/secret-id'), 'utf8')).trim(),
  }
  const login = await one.bao.request('POST', 'auth/approle/login', credentials)
  const token = v.parse(loginAnswer, login).auth.client_token
  const sent = body === undefined ? null : JSON.stringify(body)
  const headers = { 'x-vault-token': token }
  const reply = await fetch(`${one.bao.address}/v1/${path}`, { method, headers, body: sent })
  return reply.status
}

test('--apply makes everything on a fresh server, and the plugin works under exactly the config', async () => {
  await using one = await approle()

  const { code, out, err } = await one.apply()

  assert.is(err, '')
  assert.is(code, 0)
  assert.equal([...new Set(Object.values(statesIn(out)))], ['make', 'change'])
  assert.match(out, /\n8 made or changed\.\n$/)
  await one.roundTrip()
  for (const name of ['role-id', 'secret-id']) {
    assert.is((await stat(one.folder.at(`node/${name}`))).mode & 0o777, 0o600)
  }
})

test('a second --apply changes nothing and says so, and no secret is ever printed', async () => {
  await using one = await approle()
  await one.apply()
  const before = await stateOf(one)
  const secretId = await readFile(one.folder.at('node/secret-id'), 'utf8')

  const { code, out } = await one.apply()

  assert.is(code, 0)
  assert.equal([...new Set(Object.values(statesIn(out)))], ['ok'])
  assert.match(out, /\nNothing to change\.\n$/)
  assert.is(await stateOf(one), before)
  assert.is(await readFile(one.folder.at('node/secret-id'), 'utf8'), secretId)
  assert.not.match(one.said(), one.bao.rootToken)
  assert.not.match(one.said(), secretId.trim())
})

test('--dry-run shows the same plan and changes nothing, here or there', async () => {
  await using one = await approle()
  const before = await stateOf(one)

  const { code, out } = await one.vault(
    ...['setup', '--dry-run', '--token-file', one.folder.at('admin-token')],
  )

  assert.is(code, 0)
  assert.match(out, /\n8 to make or change\.\n$/)
  assert.is(await stateOf(one), before)
  await stat(one.folder.at('node/role-id')).then(
    () => assert.unreachable('The file was made'),
    () => undefined,
  )
  const json = await one.vault(
    ...['setup', '--dry-run', '--json', '--token-file', one.folder.at('admin-token')],
  )
  const plan = JSON.parse(json.out)
  assert.equal([json.code, json.err, plan.dryRun, plan.refused], [0, '', true, false])
  assert.equal(statesOf(plan), statesIn(out))
  assert.is(await stateOf(one), before)

  assert.equal(statesIn(out), statesIn((await one.apply()).out))
})

test('--json says of each step whether it was done, also where one fails halfway', async () => {
  await using one = await approle()
  await using proxy = await startLyingProxy(() => one.bao.address)
  await one.change({ auth: approleIn(one.folder), address: proxy.address })
  proxy.lie = (told, { method, path }) =>
    method === 'POST' && path === `/v1/${ROLE}` ? { status: 503, body: '{}' } : told

  const failed = await one.apply('--json')
  assert.is(failed.code, 1)
  const { error, steps } = JSON.parse(failed.out)
  assert.is(error.code, 'unavailable')
  assert.is(failed.err, `trousseau: ${error.message}\n`)
  const done = steps.filter((step: { done: boolean }) => step.done)
  assert.equal(done.map((step: { what: string }) => step.what).at(-1), 'approle login at approle/')

  proxy.lie = undefined
  const rest = await one.apply('--json')
  assert.is(rest.code, 0, rest.err)
  const document = JSON.parse(rest.out)
  assert.is(document.error, undefined)
  const last = document.steps.at(-1)
  assert.equal([last.what.startsWith('file '), last.state, last.done], [true, 'make', true])
  assert.not.match(rest.out + failed.out, one.bao.rootToken)
})

test('the policy on the server is the printed one, and allows neither other keys nor anything but use', async () => {
  await using one = await approle()
  await one.apply()
  // So that the policy alone stands in the way.
  if (since(13)) await one.bao.request('POST', 'transit/config/keys', { disable_upsert: false })
  await one.bao.request('POST', 'transit/keys/other')
  const sent = { plaintext: Buffer.from('text').toString('base64') }

  assert.is((await dataOf(one, POLICY_PATH))['policy'], (await one.vault('policy')).out)
  for (const [method, path, body] of [
    ['POST', 'transit/encrypt/k8s-etdc', sent],
    ['POST', 'transit/encrypt/other', sent],
    ['GET', 'transit/keys/other'],
    ['GET', 'transit/export/encryption-key/k8s-etcd'],
    ['GET', 'transit/keys?list=true'],
    ['POST', 'transit/keys/k8s-etcd/rotate'],
    ['POST', 'transit/keys/k8s-etcd/config', { deletion_allowed: true }],
    ['DELETE', 'transit/keys/k8s-etcd'],
    ['GET', 'sys/mounts'],
    ['GET', POLICY_PATH],
    ['POST', 'auth/token/create'],
  ] as const) {
    assert.is(await statusUnder(one, method, path, body), 403, path)
  }
  assert.is(await statusUnder(one, 'POST', 'transit/encrypt/k8s-etcd', sent), 200)
  assert.is(await statusUnder(one, 'GET', 'auth/token/lookup-self'), 200)
  assert.is(await statusUnder(one, 'POST', 'auth/token/renew-self'), 200)
})

test('what stands there and does not fit is refused before anything is changed', async () => {
  await using one = await approle()
  await one.bao.request('POST', 'sys/mounts/transit', { type: 'transit' })
  await one.bao.request('POST', 'transit/keys/k8s-etcd', { type: 'rsa-2048' })
  await one.bao.request('POST', POLICY_PATH, { policy: 'path "a" { capabilities = ["read"] }' })
  await one.bao.request('POST', 'sys/auth/approle', { type: 'approle' })
  await one.bao.request('POST', ROLE, { token_policies: 'admin' })
  await writeFile(one.folder.at('node/role-id'), 'of-another-role\n')
  const before = await stateOf(one)

  const { code, out, err } = await one.apply()

  assert.is(code, 1)
  assert.is(err, 'trousseau: What is refused above stands in the way: nothing was changed\n')
  assert.equal(statesIn(out), {
    'transit engine at transit/': 'ok',
    'key transit/keys/k8s-etcd': 'refused',
    'transit/config/keys': since(13) ? 'change' : 'ok',
    [`policy ${POLICY}`]: 'refused',
    'approle login at approle/': 'ok',
    [`role ${ROLE}`]: 'refused',
    [`file ${one.folder.at('node/role-id')}`]: 'refused',
    [`file ${one.folder.at('node/secret-id')}`]: 'make',
  })
  assert.match(out, /has type rsa-2048, .* wanted aes256-gcm96: name another key/)
  assert.match(out, /with policies admin: /)
  const json = await one.apply('--json')
  const document = JSON.parse(json.out)
  assert.equal([json.code, document.refused], [1, true])
  assert.equal(statesOf(document), statesIn(out))
  assert.not.ok(document.steps.some((step: { done: boolean }) => step.done))
  assert.is(await stateOf(one), before)
})

test('a mount of another type is refused', async () => {
  await using one = await approle({ mount: 'kv' })
  await one.bao.request('POST', 'sys/mounts/kv', { type: 'kv' })

  const { code, out } = await one.apply()

  assert.is(code, 1)
  assert.match(out, /refused +transit engine at kv\/ +type kv is mounted there/)
})

test('--replace-policy replaces a policy that differs; one that differs in spaces and comments fits', async () => {
  await using one = await approle()
  const { out: text } = await one.vault('policy')
  const dense = text.replaceAll(/^#.*$/gm, '').replaceAll(/\s+/g, ' ')
  await one.bao.request('POST', POLICY_PATH, { policy: dense })
  await one.apply()
  assert.is((await dataOf(one, POLICY_PATH))['policy'], dense)
  await one.bao.request('POST', POLICY_PATH, { policy: 'path "*" { capabilities = ["sudo"] }' })

  assert.is((await one.apply()).code, 1)
  const { code, out } = await one.apply('--replace-policy')

  assert.is(code, 0)
  assert.match(out, /\n1 made or changed\.\n$/)
  assert.is((await dataOf(one, POLICY_PATH))['policy'], text)
})

test('a role that gives the default policy too is changed, and keeps the life of its tokens', async () => {
  await using one = await approle()
  await one.apply()
  await one.bao.request('POST', ROLE, { token_no_default_policy: false, token_ttl: '20m' })

  const { code, out } = await one.apply()

  assert.is(code, 0)
  assert.is(statesIn(out)[`role ${ROLE}`], 'change')
  const role = await dataOf(one, ROLE)
  assert.is(role['token_no_default_policy'], true)
  assert.is(role['token_ttl'], 1_200)
  assert.equal(role['token_policies'], [POLICY])
})

test('a key that may be exported is used, and said to be so', async () => {
  await using one = await approle()
  await one.bao.request('POST', 'sys/mounts/transit', { type: 'transit' })
  await one.bao.request('POST', 'transit/keys/k8s-etcd', { exportable: true })

  const { code, out } = await one.apply()

  assert.is(code, 0)
  assert.match(out, /ok +key transit\/keys\/k8s-etcd +aes256-gcm96, but exportable/)
})

/** Vault has namespaces in its Enterprise edition alone. */
const namespace = KEY_SERVER.product === 'OpenBao' ? 'team' : undefined
test(`other names, other mounts${namespace === undefined ? '' : ' and a namespace'}: everything lands there, and the plugin works`, async () => {
  const place = { mount: 'tr/kms', ...(namespace === undefined ? {} : { namespace }) }
  await using one = await approle(place)
  const auth = { ...approleIn(one.folder), mount: 'nodes' }
  await one.change({ ...place, auth })
  if (namespace !== undefined) await one.bao.request('POST', `sys/namespaces/${namespace}`)

  const { code, err } = await one.apply('--policy-name', 'kms', '--role', 'control-plane')

  assert.is(err, '')
  assert.is(code, 0)
  await one.roundTrip()
  const inside = namespace === undefined ? '' : `${namespace}/`
  assert.equal((await dataOf(one, `${inside}auth/nodes/role/control-plane`))['token_policies'], [
    'kms',
  ])
  assert.is((await dataOf(one, `${inside}tr/kms/keys/k8s-etcd`))['type'], 'aes256-gcm96')
})

test('files are left to the operator where this machine has no such folder', async () => {
  await using one = await approle()
  const file = one.folder.at('none/secret-id')
  await one.change({ auth: { ...approleIn(one.folder), secretIdFile: file } })

  const { code, out } = await one.apply()

  assert.is(code, 0)
  assert.is(statesIn(out)[`file ${file}`], 'by hand')
  assert.match(out, `\n  # On each node: install -m 0600 prod-secret-id ${file}\n`)
  assert.match(out, /\n7 made or changed; 1 left to do by hand\.\n$/)
})

test('a token that may not do it, or that is none, is named by its path and never shown', async () => {
  await using one = await approle()
  const made = await one.bao.request('POST', 'auth/token/create', { policies: ['default'] })
  const weak = v.parse(loginAnswer, made).auth.client_token
  for (const token of [weak, 'planted-token']) {
    const file = one.folder.at('weak')
    await writeFile(file, token)

    const { code, err } = await one.vault('setup', '--apply', '--token-file', file)

    assert.is(code, 1)
    assert.match(err, /^trousseau: GET \/v1\/sys\/mounts at \S+ answered 403: [^\n]*\n$/)
    assert.not.match(one.said(), token)
  }
})

test('a token file that cannot be used is named', async () => {
  await using one = await approle()

  const { code, err } = await one.vault('setup', '--apply', '--token-file', '/none/token')

  assert.is(code, 1)
  assert.match(
    err,
    'trousseau: File "/none/token" of --token-file cannot be read: there is no such file or folder',
  )
})

test('token: --apply makes a periodic orphan token, under which the plugin works', async () => {
  await using one = await vaultSetup({})
  const tokenFile = one.folder.at('node/token')
  await one.change({ auth: { method: 'token', tokenFile } })

  const { code, err } = await one.apply()

  assert.is(err, '')
  assert.is(code, 0)
  await one.roundTrip()
  const token = (await readFile(tokenFile, 'utf8')).trim()
  const body = v.parse(answer, await one.bao.request('POST', 'auth/token/lookup', { token }))
  assert.equal(body.data['policies'], [POLICY])
  assert.is(body.data['orphan'], true)
  assert.is(body.data['period'], 604_800)
  assert.not.match(one.said(), token)
})

test('the script sets a fresh server up with the real client, the plugin works, and it may run again', async () => {
  await using one = await approle()
  const { out: script } = await one.vault('setup', '--cli', KEY_SERVER.cli)

  const first = await one.shell(script)
  assert.is(first.code, 0, first.err)
  for (const name of ['role-id', 'secret-id']) {
    const file = one.folder.at(`admin/prod-${name}`)
    assert.is((await stat(file)).mode & 0o777, 0o600)
    await copyFile(file, one.folder.at(`node/${name}`))
  }

  await one.roundTrip()
  const before = await stateOf(one)
  const second = await one.shell(script)
  assert.is(second.code, 0, second.err)
  assert.is(versionless(await stateOf(one)), versionless(before))
  assert.match((await one.apply()).out, /\nNothing to change\.\n$/)
})

/** Writing a policy anew counts it up. */
function versionless(state: string): string {
  return state.replaceAll(/"(?:version|modified)":[^,}]+/g, '')
}

test('token: the script makes the token with the real client', async () => {
  await using one = await vaultSetup({})
  await one.change({ auth: { method: 'token', tokenFile: one.folder.at('node/token') } })

  const { code, err } = await one.shell((await one.vault('setup', '--cli', KEY_SERVER.cli)).out)

  assert.is(code, 0, err)
  await copyFile(one.folder.at('admin/prod-token'), one.folder.at('node/token'))
  await one.roundTrip()
  const again = await one.shell((await one.vault('setup', '--cli', KEY_SERVER.cli)).out)
  assert.is(again.code, 0, again.err)
  await writeFile(one.folder.at('admin/prod-token'), one.bao.rootToken)
  await stops(one, /: file prod-token in this folder holds no token of policy trousseau-k8s-etcd\./)
})

let shared: Promise<OpenBao> | undefined

/** For tests that keep to a key and mounts of their own. */
function server(): Promise<OpenBao> {
  shared ??= startOpenBao()
  return shared
}

/** The script of the config ends before it has changed anything. */
async function stops(one: VaultSetup, why: RegExp, ...args: string[]): Promise<void> {
  const before = await stateOf(one)
  const { out: script } = await one.vault('setup', '--cli', KEY_SERVER.cli, ...args)

  const { code, out, err } = await one.shell(script)

  assert.is(code, 1)
  assert.is(out, '')
  assert.match(err, /^Nothing was changed: /)
  assert.match(err, why)
  assert.is(await stateOf(one), before)
}

/** Runs the script of the config, and puts the credentials onto the node. */
async function scripted(one: VaultSetup): Promise<void> {
  const { out: script } = await one.vault('setup', '--cli', KEY_SERVER.cli)
  const { code, err } = await one.shell(script)
  assert.is(code, 0, err)
  for (const name of ['role-id', 'secret-id']) {
    await copyFile(one.folder.at(`admin/prod-${name}`), one.folder.at(`node/${name}`))
  }
}

test('the script for a second cluster with the same name of the key leaves the first one alone', async () => {
  await using one = await approle({}, await server())
  await scripted(one)
  await one.roundTrip()
  await using two = await approle({ mount: 'transit2' }, one.bao)

  await scripted(two)

  await two.roundTrip()
  await one.roundTrip()
  await stops(
    two,
    /: policy trousseau-k8s-etcd is there and says something else/,
    ...['--policy-name', POLICY],
  )
  await stops(two, /: auth\S+ is there, with another token_policies\. Of/, '--role', POLICY)
  await copyFile(one.folder.at('admin/prod-role-id'), two.folder.at('admin/prod-role-id'))
  await stops(two, /: file prod-role-id in this folder is not of role \S+\. Of another cluster\?/)
  await rm(two.folder.at('admin/prod-role-id'))
  await stops(
    two,
    /: file prod-secret-id in this folder is not of role \S+, which is not there\./,
    ...['--role', 'third'],
  )
  await one.roundTrip()
})

test('the script stops where it may not see what is there', async () => {
  await using one = await approle({ key: 'unseen' }, await server())
  await scripted(one)
  const deny = `path "sys/policies/*" { capabilities = ["deny"] }\npath "*" { capabilities = ["update", "create", "read"] }`
  await one.bao.request('POST', 'sys/policies/acl/blind', { policy: deny })
  const made = await one.bao.request('POST', 'auth/token/create', { policies: ['blind'] })
  const token = v.parse(loginAnswer, made).auth.client_token
  const { out: script } = await one.vault('setup', '--cli', KEY_SERVER.cli)

  const { code, err } = await one.shell(`export ${KEY_SERVER.prefix}_TOKEN=${token}\n${script}`)

  assert.is(code, 1)
  assert.match(err, /^Nothing was changed: Error reading policy named trousseau-unseen/)
})

test('what an earlier version set up under its name stays so', async () => {
  await using one = await approle({ mount: 'tr/kms', key: 'old' }, await server())
  assert.is((await one.apply('--policy-name', 'trousseau-old')).code, 0)

  const { out } = await one.apply()

  assert.match(out, /ok +policy trousseau-old/)
  assert.match(out, /\nNothing to change\.\n$/)
  await stops(one, /: an earlier version called .* go on with --policy-name trousseau-old/)
})

test('userpass: the script does not give a user that is there another password', async () => {
  await using one = await vaultSetup({}, { on: await server() })
  const passwordFile = one.folder.at('node/password')
  await one.change({ key: 'of-users', auth: { method: 'userpass', username: 'kms', passwordFile } })
  await one.apply()

  await stops(one, /: user auth\/userpass\/users\/kms is there, and a new password would shut/)
  await copyFile(passwordFile, one.folder.at('admin/prod-password'))
  const { code, err } = await one.shell((await one.vault('setup', '--cli', KEY_SERVER.cli)).out)

  assert.is(code, 0, err)
  await one.roundTrip()
})

test('--dry-run shows what is to be compared: how it is, how to see all of it, and what it would be', async () => {
  await using one = await vaultSetup({}, { on: await server() })
  const auth = { method: 'kubernetes', role: 'kms', tokenFile: '/none/token' }
  await one.change({ key: 'of-pods', auth })
  await one.bao.request('POST', 'sys/auth/kubernetes', { type: 'kubernetes' })
  const kubernetes_host = 'https://other.example.org:6443'
  const { cert } = await makeAuthority(one.folder.path, 'kube')
  const config = { kubernetes_host, kubernetes_ca_cert: await readFile(cert, 'utf8') }
  await one.bao.request('POST', 'auth/kubernetes/config', config)

  const { code, out } = await one.vault(
    ...['setup', '--dry-run', '--cli', 'bao', '--token-file', one.folder.at('admin-token')],
  )

  assert.is(code, 0)
  assert.match(
    out,
    /ok +auth\/kubernetes\/config +is set; compare it, see below, kubernetes_host=https:\/\/other\.example\.org:6443\n/,
  )
  assert.match(
    out,
    /\nCompare: auth\/kubernetes\/config\n(?: {2}# .*\n)+ {2}bao read auth\/kubernetes\/config\n {2}# with what this would write:\n {2}bao write auth\/kubernetes\/config/,
  )
})

test('what the tests shared ends', async () => {
  await (await shared)?.[Symbol.asyncDispose]()
})

test.run()
