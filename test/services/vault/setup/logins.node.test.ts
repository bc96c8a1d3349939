/**
 * What setting up makes for each login method, on the real OpenBao server: first
 * over the API, then the rest by the script with everything filled in.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { systemClock } from '../../../../src/base/clock.ts'
import type { VaultAuth } from '../../../../src/services/vault/login/auth.ts'
import { createVaultAdmin } from '../../../../src/services/vault/setup/admin.ts'
import { decideNames, type Setup } from '../../../../src/services/vault/setup/input.ts'
import { setupScript } from '../../../../src/services/vault/setup/script.ts'
import {
  applySetup,
  type Planned,
  planSetup,
  type SetupStep,
} from '../../../../src/services/vault/setup/step.ts'
import { setupSteps } from '../../../../src/services/vault/setup/steps.ts'
import { RecordedEvents } from '../../../_lib/events.ts'
import { SPIFFE_ID, startFakeSpiffe } from '../../../_lib/remote/fake_spiffe.ts'
import { KEY_SERVER } from '../../../_lib/services/vault/key_server.ts'
import { startOpenBao } from '../../../_lib/services/vault/openbao.ts'
import { runScript } from '../../../_lib/services/vault/setup.ts'
import { tempFolder } from '../../../_lib/temp_folder.ts'
import { REVIEWER_TOKEN } from '../../../_lib/tools/fake_kube_api.ts'
import { suite } from '../../../_lib/uvu.ts'

/** What a config that says nothing of it has. */
const SIGNED = { lifetime: 300_000, claims: {} }
const POLICY = 'trousseau-k8s-etcd'
const loginAnswer = v.object({
  auth: v.object({ policies: v.array(v.string()), lease_duration: v.number() }),
})
const answer = v.object({ data: v.record(v.string(), v.unknown()) })
const test = suite('services/vault/setup/logins', () => ({}))

async function server(authIn: (at: (name: string) => string) => VaultAuth) {
  const folder = await tempFolder()
  const bao = await startOpenBao({ tls: true })
  for (const name of ['node', 'admin']) await mkdir(folder.at(name))
  const auth = authIn((name) => folder.at(`node/${name}`))
  const { address, caFile, rootToken: token } = bao
  const tls = { caFile }
  const input = { name: 'prod', address, mount: 'transit', key: 'k8s-etcd', tls, auth }
  const setup = decideNames(input, { cli: KEY_SERVER.cli, replacePolicy: false })
  const steps = setupSteps(setup)
  const admin = createVaultAdmin({
    name: 'v',
    address,
    tls,
    token,
    clock: systemClock,
    events: new RecordedEvents(),
  })
  const plan = () => planSetup(steps, admin)
  return {
    bao,
    folder,
    plan,
    async apply() {
      const planned = await plan()
      await applySetup(planned, admin, () => undefined)
      return statesOf(planned)
    },
    fillIn: (values: Readonly<Record<string, string>>) =>
      runScript(filled(setup, steps, values), folder.at('admin'), bao),
    login: async (path: string, body: object) =>
      v.parse(loginAnswer, await bao.request('POST', path, body)).auth,
    read: async (path: string) => v.parse(answer, await bao.request('GET', path)).data,
    async [Symbol.asyncDispose]() {
      await admin.close()
      await bao[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

function statesOf(plan: readonly Planned[]): string[] {
  return plan.map(({ finding }) => finding.state)
}

/** The script as an operator completes it: each `<...>` that holds a word becomes its value. */
function filled(
  setup: Setup,
  steps: readonly SetupStep[],
  values: Readonly<Record<string, string>>,
): string {
  const fill = (command: string) =>
    command.replaceAll(/<([^<>\n]+)>/g, (whole, inside: string) => {
      const found = Object.entries(values).find(([word]) => inside.includes(word))
      return found?.[1] ?? whole
    })
  const complete = steps.map(({ what, why, guard = [], commands, look }) => {
    return { what, why, guard, look, commands: commands.map(fill) }
  })
  return setupScript(setup, complete)
}

function jwtOf(key: KeyObject, claims: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const text = `${part({ alg: 'ES256', typ: 'JWT' })}.${part(claims)}`
  const signature = sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' })
  return `${text}.${signature.toString('base64url')}`
}

function newKeys() {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' })
  return { privateKey, pem, publicPem: publicKey.export({ type: 'spki', format: 'pem' }) }
}

function claims(): object {
  const now = Math.floor(Date.now() / 1000)
  return { aud: 'kms', sub: 'node-1', iat: now, exp: now + 300 }
}

const MADE = ['make', 'make', 'change', 'make']
const DONE = ['ok', 'ok', 'ok', 'ok']

test('jwt, signed by the node itself: the role is made, the public key is by hand, and the node logs in', async () => {
  const keys = newKeys()
  await using one = await server((at) => ({
    method: 'jwt',
    mount: 'jwt',
    role: 'nodes',
    selfSigned: { ...SIGNED, keyFile: at('key.pem'), audience: 'kms', subject: 'node-1' },
  }))
  await writeFile(one.folder.at('node/key.pem'), keys.pem)

  assert.equal(await one.apply(), [...MADE, 'make', 'by hand', 'make'])
  assert.equal(statesOf(await one.plan()), [...DONE, 'ok', 'by hand', 'ok'])
  const { code, err } = await one.fillIn({ 'public-key.pem': 'prod-public-key.pem' })

  assert.is(code, 0, err)
  assert.equal(statesOf(await one.plan()), [...DONE, 'ok', 'ok', 'ok'])
  const jwt = jwtOf(keys.privateKey, claims())
  const made = await one.login('auth/jwt/login', { role: 'nodes', jwt })
  assert.equal(made.policies, [POLICY])
  assert.is(made.lease_duration, 3_600)
})

test('jwt, signed by the node itself: the plan knows whether the key of this node is known', async () => {
  const [own, other] = [newKeys(), newKeys()]
  await using one = await server((at) => ({
    method: 'jwt',
    mount: 'jwt',
    role: 'nodes',
    selfSigned: { ...SIGNED, keyFile: at('key.pem'), audience: 'kms', subject: 'node-1' },
  }))
  await writeFile(one.folder.at('node/key.pem'), own.pem)
  await one.apply()
  const keys = (...jwt_validation_pubkeys: unknown[]) =>
    one.bao.request('POST', 'auth/jwt/config', { jwt_validation_pubkeys })

  await keys(other.publicPem)
  const without = (await one.plan()).at(-2)?.finding
  await keys(other.publicPem, own.publicPem)
  const within = (await one.plan()).at(-2)?.finding

  assert.equal(without, {
    state: 'by hand',
    detail: 'public keys: 1, none of them of this node',
  })
  assert.equal(within, {
    state: 'ok',
    detail: 'public keys: 2, that of this node among them',
  })
})

test('jwt: a role for this node alone is as good for it, by subject or by a claim', async () => {
  await using one = await server(() => ({
    method: 'jwt',
    mount: 'jwt',
    role: 'nodes',
    selfSigned: {
      ...SIGNED,
      keyFile: '/none/key.pem',
      audience: 'kms',
      subject: 'node-1',
      claims: { node: 'cp-1' },
    },
  }))
  await one.apply()
  const lastWith = async (bounds: object) => {
    const unbound = { role_type: 'jwt', user_claim: 'sub', bound_subject: '', bound_claims: {} }
    await one.bao.request('POST', 'auth/jwt/role/nodes', { ...unbound, ...bounds })
    const { state, detail } = (await one.plan()).at(-1)?.finding ?? {}
    return [state, /another \w+/.exec(detail ?? '')?.[0]]
  }

  assert.equal(await lastWith({ bound_subject: 'node-1' }), ['ok', undefined])
  assert.equal(await lastWith({ bound_claims: { node: ['cp-2', 'cp-1'] } }), ['ok', undefined])
  assert.equal(await lastWith({ bound_claims: { node: 'cp-2' } }), [
    'refused',
    'another bound_claims',
  ])
})

test('jwt: a role for another subject is refused', async () => {
  await using one = await server(() => ({
    method: 'jwt',
    mount: 'jwt',
    role: 'nodes',
    selfSigned: { ...SIGNED, keyFile: '/none/key.pem', audience: 'kms', subject: 'node-1' },
  }))
  await one.apply()
  const other = { role_type: 'jwt', user_claim: 'sub', bound_subject: 'node-2' }
  await one.bao.request('POST', 'auth/jwt/role/nodes', other)

  const last = (await one.plan()).at(-1)

  assert.is(last?.finding.state, 'refused')
  assert.match(last?.finding.detail ?? '', /another bound_subject/)
})

test('jwt from a file: key and role are by hand, and a token of the issuer logs in', async () => {
  const keys = newKeys()
  await using one = await server((at) => ({
    method: 'jwt',
    mount: 'jwt',
    role: 'nodes',
    tokenFile: at('jwt'),
  }))
  await writeFile(one.folder.at('admin/issuer.pem'), keys.publicPem)

  assert.equal(await one.apply(), [...MADE, 'make', 'by hand', 'by hand'])
  const values = { 'public key': 'issuer.pem', 'aud of': 'kms', 'sub of': 'node-1' }
  const { code, err } = await one.fillIn(values)

  assert.is(code, 0, err)
  assert.equal(statesOf(await one.plan()), [...DONE, 'ok', 'ok', 'ok'])
  const jwt = jwtOf(keys.privateKey, claims())
  assert.equal((await one.login('auth/jwt/login', { role: 'nodes', jwt })).policies, [POLICY])
})

test('jwt from a SPIFFE agent: the role is made for the SPIFFE ID, the keys are by hand, and an SVID logs in', async () => {
  await using folder = await tempFolder()
  const socketPath = folder.at('agent.sock')
  await using spiffe = await startFakeSpiffe(socketPath)
  const { address, agent, jwksUrl } = spiffe
  await using one = await server(() => ({
    method: 'jwt',
    mount: 'jwt',
    role: 'nodes',
    spiffe: { socket: address, audience: 'kms', id: SPIFFE_ID },
  }))

  assert.equal(await one.apply(), [...MADE, 'make', 'by hand', 'make'])
  await one.bao.request('POST', 'auth/jwt/config', { jwks_url: jwksUrl })

  assert.equal(statesOf(await one.plan()), [...DONE, 'ok', 'ok', 'ok'])
  const jwt = await agent.svidOf(SPIFFE_ID, ['kms'])
  const made = await one.login('auth/jwt/login', { role: 'nodes', jwt })
  assert.equal(made.policies, [POLICY])
})

test('jwt from a SPIFFE agent: without an id the role is by hand too', async () => {
  await using one = await server(() => ({
    method: 'jwt',
    mount: 'jwt',
    role: 'nodes',
    spiffe: { socket: 'unix:///run/agent.sock', audience: 'kms', id: undefined },
  }))

  assert.equal(await one.apply(), [...MADE, 'make', 'by hand', 'by hand'])
})

test('userpass: a user with a new password is made over the API, and logs in', async () => {
  await using one = await server((at) => ({
    method: 'userpass',
    mount: 'userpass',
    username: 'node-1',
    passwordFile: at('password'),
  }))

  assert.equal(await one.apply(), [...MADE, 'make', 'make', 'make'])
  assert.equal(statesOf(await one.plan()), [...DONE, 'ok', 'ok', 'ok'])
  const password = (await readFile(one.folder.at('node/password'), 'utf8')).trim()
  const made = await one.login('auth/userpass/login/node-1', { password })
  assert.equal(made.policies, [POLICY])

  await one.bao.request('POST', 'auth/userpass/users/node-1', { token_no_default_policy: false })
  assert.equal(await one.apply(), [...DONE, 'ok', 'ok', 'change'])
  await one.login('auth/userpass/login/node-1', { password })
})

test('userpass: the password of a user that exists is by hand', async () => {
  await using one = await server(() => ({
    method: 'userpass',
    mount: 'userpass',
    username: 'node-1',
    passwordFile: '/none/password',
  }))

  assert.equal(await one.apply(), [...MADE, 'make', 'by hand', 'by hand'])
  const { code, err } = await one.fillIn({})

  assert.is(code, 0, err)
  assert.equal(statesOf(await one.plan()), [...DONE, 'ok', 'by hand', 'ok'])
  const password = (await readFile(one.folder.at('admin/prod-password'), 'utf8')).trim()
  const made = await one.login('auth/userpass/login/node-1', { password })
  assert.equal(made.policies, [POLICY])
})

test('kubernetes: where to check tokens, and whose are let in, are by hand', async () => {
  await using one = await server((at) => ({
    method: 'kubernetes',
    mount: 'k8s/prod',
    role: 'kms',
    tokenFile: at('jwt'),
  }))

  assert.equal(await one.apply(), [...MADE, 'make', 'by hand', 'by hand'])
  const { code, err } = await one.fillIn({
    'https://': 'https://127.0.0.1:1',
    'ca.crt': one.bao.caFile,
    'system:auth-delegator': REVIEWER_TOKEN,
    audience: 'kms',
    namespace: 'kube-system',
    'service account': 'kms',
  })

  assert.is(code, 0, err)
  assert.equal(statesOf(await one.plan()), [...DONE, 'ok', 'ok', 'ok'])
  const role = await one.read('auth/k8s/prod/role/kms')
  assert.equal(role['bound_service_account_names'], ['kms'])
  assert.equal(role['bound_service_account_namespaces'], ['kube-system'])
  assert.is(role['audience'], 'kms')
  assert.is(role['token_no_default_policy'], true)
})

test('cert: whose certificates are let in is by hand, and never all of an authority', async () => {
  await using one = await server(() => ({ method: 'cert', mount: 'cert' }))

  assert.equal(await one.apply(), [...MADE, 'make', 'by hand'])
  const { code, err } = await one.fillIn({ authority: one.bao.caFile, 'common name': 'node-*' })

  assert.is(code, 0, err)
  assert.equal(statesOf(await one.plan()), [...DONE, 'ok', 'ok'])
  const role = await one.read(`auth/cert/certs/${POLICY}`)
  assert.equal(role['allowed_common_names'], ['node-*'])
  assert.equal(role['token_policies'], [POLICY])
})

test('agent: key and policy are made; the login is the business of the agent', async () => {
  await using one = await server(() => ({ method: 'agent' }))

  assert.equal(await one.apply(), [...MADE, 'by hand'])
  assert.equal(statesOf(await one.plan()), [...DONE, 'by hand'])
})

test('approle with a wrapped secret id: the script wraps it, and --apply leaves it to the operator', async () => {
  await using one = await server((at) => ({
    method: 'approle',
    mount: 'approle',
    roleId: 'fixed',
    secretIdFile: at('secret-id'),
    wrappedRole: 'nodes',
  }))

  assert.equal(await one.apply(), [...MADE, 'make', 'make', 'by hand', 'by hand'])
  const { code, err } = await one.fillIn({})

  assert.is(code, 0, err)
  const token = (await readFile(one.folder.at('admin/prod-secret-id'), 'utf8')).trim()
  const made = v.parse(answer, await one.bao.request('POST', 'sys/wrapping/lookup', { token }))
  assert.is(made.data['creation_path'], 'auth/approle/role/nodes/secret-id')
})

test.run()
