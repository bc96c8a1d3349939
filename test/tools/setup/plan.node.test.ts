/**
 * `trousseau vault setup` against the real OpenBao server: whatever can be known to
 * fail is found by the plan, before anything is changed. Each case has a namespace
 * of its own.
 *
 * @module
 */

import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { type OpenBao, startOpenBao } from '../../_lib/services/vault/openbao.ts'
import { type Ran, type VaultSetup, vaultSetup } from '../../_lib/services/vault/setup.ts'
import { suite } from '../../_lib/uvu.ts'

const POLICY = 'trousseau-k8s-etcd'
const ROLE = `auth/approle/role/${POLICY}`
const OURS = { token_policies: POLICY, token_no_default_policy: true }
const tokenReply = v.object({ auth: v.object({ client_token: v.string() }) })
const secretIdReply = v.object({ data: v.object({ secret_id: v.string() }) })
const test = suite('tools/setup/plan', () => ({}))

/** One namespace, and a folder for the files of its node. */
interface Place {
  at(name: string): string
  request(method: 'GET' | 'POST', path: string, body?: object): Promise<unknown>
}

interface Case {
  readonly title: string
  readonly provider: (place: Place) => object
  readonly prepare?: (place: Place) => Promise<unknown>
  /** The line of the plan, or what is said where there is no plan. */
  readonly refusal: RegExp
}

const approle = ({ at }: Place) => ({
  auth: { method: 'approle', roleIdFile: at('role-id'), secretIdFile: at('secret-id') },
})
const userpass = ({ at }: Place) => ({
  auth: { method: 'userpass', username: 'node-1', passwordFile: at('password') },
})
const tokenLogin = ({ at }: Place) => ({ auth: { method: 'token', tokenFile: at('token') } })

async function putToken({ at, request }: Place, fields: object): Promise<void> {
  const body = { policies: [POLICY], no_default_policy: true, ...fields }
  const made = v.parse(tokenReply, await request('POST', 'auth/token/create-orphan', body))
  await writeFile(at('token'), made.auth.client_token)
}

async function putSecretId({ at, request }: Place, role: string): Promise<string> {
  const made = v.parse(secretIdReply, await request('POST', `${role}/secret-id`))
  await writeFile(at('secret-id'), made.data.secret_id)
  return made.data.secret_id
}

const CASES: readonly Case[] = [
  {
    title: 'an engine below another one',
    provider: (place) => ({ ...approle(place), mount: 'tr/kms' }),
    prepare: ({ request }) => request('POST', 'sys/mounts/tr', { type: 'kv' }),
    refusal: /refused +transit engine at tr\/kms\/ +tr\/ is mounted above or below/,
  },
  {
    title: 'an engine above another one',
    provider: (place) => ({ ...approle(place), mount: 'tr' }),
    prepare: ({ request }) => request('POST', 'sys/mounts/tr/kms', { type: 'kv' }),
    refusal: /refused +transit engine at tr\/ +tr\/kms\/ is mounted above or below/,
  },
  {
    title: 'an engine among the logins',
    provider: (place) => ({ ...approle(place), mount: 'auth/kms' }),
    refusal: /refused +transit engine at auth\/kms\/ +auth\/ is mounted above/,
  },
  {
    title: 'a login below another one',
    provider: ({ at }) => ({
      auth: { ...approle({ at } as Place).auth, mount: 'nodes/a' },
    }),
    prepare: ({ request }) => request('POST', 'sys/auth/nodes', { type: 'approle' }),
    refusal: /refused +approle login at nodes\/a\/ +nodes\/ is mounted above/,
  },
  {
    title: 'a role that takes no secret ids',
    provider: approle,
    async prepare({ request }) {
      await request('POST', 'sys/auth/approle', { type: 'approle' })
      const bound = { bind_secret_id: false, token_bound_cidrs: '127.0.0.1/32' }
      await request('POST', ROLE, { ...OURS, ...bound })
    },
    refusal: /refused +file \S+secret-id +the role takes no secret ids \(bind_secret_id=false\)/,
  },
  {
    title: 'a credential whose folder is none',
    provider: ({ at }) => ({
      auth: { ...approle({ at } as Place).auth, secretIdFile: at('file/secret-id') },
    }),
    prepare: ({ at }) => writeFile(at('file'), ''),
    refusal: /refused +file \S+file\/secret-id +its folder is none, or you may not write there/,
  },
  {
    title: 'one file for two credentials',
    provider: ({ at }) => ({
      auth: { method: 'approle', roleIdFile: at('same'), secretIdFile: at('same') },
    }),
    refusal: /refused +file \S+same +is that of the role id too/,
  },
  {
    title: 'a secret id of a role that is not there',
    provider: approle,
    prepare: ({ at }) => writeFile(at('secret-id'), 'planted-secret'),
    refusal: /refused +file \S+secret-id +holds a secret id that the role does not know/,
  },
  {
    title: 'a secret id that is destroyed',
    provider: approle,
    async prepare(place) {
      await place.request('POST', 'sys/auth/approle', { type: 'approle' })
      await place.request('POST', ROLE, OURS)
      const secret_id = await putSecretId(place, ROLE)
      await place.request('POST', `${ROLE}/secret-id/destroy`, { secret_id })
    },
    refusal: /refused +file \S+secret-id +holds a secret id that the role does not know/,
  },
  {
    title: 'a password of two lines',
    provider: userpass,
    prepare: ({ at }) => writeFile(at('password'), 'planted-secret\nhorse\n'),
    refusal: /refused +file \S+password +File "\S+" of auth.passwordFile holds more than one line/,
  },
  {
    title: 'an empty password',
    provider: userpass,
    prepare: ({ at }) => writeFile(at('password'), '\n'),
    refusal: /refused +file \S+password +File "\S+" of auth.passwordFile is empty/,
  },
  {
    title: 'a password that is longer than the service takes',
    provider: userpass,
    prepare: ({ at }) => writeFile(at('password'), 'planted-secret'.repeat(6)),
    refusal: /refused +file \S+password +holds a password of more than 72 bytes/,
  },
  {
    title: 'a user name that the service has no path for',
    provider: ({ at }) => ({
      auth: { method: 'userpass', username: 'bob.', passwordFile: at('password') },
    }),
    refusal: /Name "bob\." begins or ends with a character/,
  },
  {
    title: 'a key name that the service has no path for',
    provider: (place) => ({ ...approle(place), key: 'k8s-' }),
    refusal: /Name "k8s-" begins or ends with a character/,
  },
  {
    title: 'a token that is dead',
    provider: tokenLogin,
    prepare: ({ at }) => writeFile(at('token'), 's.planted-secret'),
    refusal: /refused +file \S+token +holds a token that is dead/,
  },
  {
    title: 'a token for few uses',
    provider: tokenLogin,
    prepare: (place) => putToken(place, { period: '1h', num_uses: 5 }),
    refusal: /refused +file \S+token +holds a token for 5 more uses/,
  },
  {
    title: 'a token of another policy',
    provider: tokenLogin,
    prepare: (place) => putToken(place, { period: '1h', policies: ['default'] }),
    refusal: /refused +file \S+token +holds a token without policy trousseau-k8s-etcd/,
  },
]

let shared: Promise<OpenBao> | undefined

/** For cases that keep to a namespace of their own. */
function server(): Promise<OpenBao> {
  shared ??= startOpenBao()
  return shared
}

async function placeIn({ bao, folder }: VaultSetup, namespace: string): Promise<Place> {
  await bao.request('POST', `sys/namespaces/${namespace}`)
  return {
    at: (name) => folder.at(`node/${name}`),
    request: (method, path, body) => bao.request(method, `${namespace}/${path}`, body),
  }
}

/** What a namespace and the node's folder hold that setting up could change. */
async function stateOf({ bao, folder }: VaultSetup, namespace: string): Promise<string> {
  const paths = ['sys/mounts', 'sys/auth', 'sys/policies/acl?list=true', ROLE]
  const found: unknown[] = []
  for (const path of paths) found.push(await dataAt(bao, `${namespace}/${path}`))
  for (const name of await readdir(folder.at('node'))) {
    found.push(name, await contentOf(join(folder.at('node'), name)))
  }
  return JSON.stringify(found)
}

async function dataAt(bao: OpenBao, path: string): Promise<unknown> {
  const absent = (error: Error) => {
    if (!error.message.includes(' answered 404')) throw error
  }
  const reply = await bao.request('GET', path).catch(absent)
  return reply === undefined ? undefined : v.parse(v.object({ data: v.unknown() }), reply).data
}

async function contentOf(path: string): Promise<string> {
  return (await stat(path)).isDirectory() ? 'folder' : await readFile(path, 'utf8')
}

for (const [index, { title, provider, prepare, refusal }] of CASES.entries()) {
  test(`--apply finds ahead: ${title}`, async () => {
    await using one = await vaultSetup({}, { on: await server() })
    const namespace = `case-${index}`
    const place = await placeIn(one, namespace)
    await one.change({ namespace, ...provider(place) })
    await prepare?.(place)
    const before = await stateOf(one, namespace)

    const { code, out, err } = await one.apply()

    assert.is(code, 1, `${out}${err}`)
    assert.match(`${out}${err}`, refusal)
    assert.is(await stateOf(one, namespace), before)
    assert.not.match(one.said(), 'planted-secret')
  })
}

test('--apply finds ahead: a namespace that is not there', async () => {
  await using one = await vaultSetup({}, { on: await server() })
  await one.change({
    namespace: 'none',
    ...approle({ at: (name) => one.folder.at(name) } as Place),
  })

  const { code, out } = await one.apply()

  assert.is(code, 1)
  assert.match(
    out,
    /refused +transit engine at transit\/ +the namespace of the config is not there/,
  )
})

/** What planning reads, and what each login's steps write on a fresh server. */
const READS = [
  'sys/mounts',
  'sys/auth',
  'transit/keys/k8s-etcd',
  'transit/config/keys',
  `sys/policies/acl/${POLICY}`,
]
const COMMON = {
  'sys/mounts/transit': ['update'],
  'transit/keys/k8s-etcd': ['update'],
  'transit/config/keys': ['update'],
  [`sys/policies/acl/${POLICY}`]: ['update'],
}
const SCENES = {
  approle: {
    provider: approle,
    writes: {
      'sys/auth/approle': ['update', 'sudo'],
      [ROLE]: ['create'],
      [`${ROLE}/role-id`]: ['read'],
      [`${ROLE}/secret-id`]: ['update'],
    },
  },
  userpass: {
    provider: userpass,
    writes: { 'sys/auth/userpass': ['update', 'sudo'], 'auth/userpass/users/node-1': ['create'] },
  },
  token: { provider: tokenLogin, writes: { 'auth/token/create-orphan': ['update', 'sudo'] } },
  'jwt, self-signed': {
    provider: ({ at }: Place) => ({
      auth: {
        method: 'jwt',
        role: 'nodes',
        selfSigned: { keyFile: at('key'), audience: 'kms', subject: 'node' },
      },
    }),
    writes: { 'sys/auth/jwt': ['update', 'sudo'], 'auth/jwt/role/nodes': ['create'] },
  },
} as const satisfies Record<string, { provider: (place: Place) => object; writes: object }>

type Rights = Readonly<Record<string, readonly string[]>>

/** Runs `--apply` under a token of the namespace that has these rights, and those that planning needs. */
async function applyWith(one: VaultSetup, place: Place, rights: Rights): Promise<Ran> {
  const all: Record<string, readonly string[]> = { ...rights }
  const reads = [...READS, ROLE, 'auth/userpass/users/node-1', 'auth/jwt/role/nodes']
  for (const path of [...reads, 'auth/jwt/config']) all[path] = ['read', ...(all[path] ?? [])]
  const policy = Object.entries(all)
    .map(([path, of]) => `path "${path}" { capabilities = ${JSON.stringify([...new Set(of)])} }`)
    .join('\n')
  await place.request('POST', 'sys/policies/acl/admin', { policy })
  // Orphan tokens of a policy that the maker lacks want one that may give it.
  const made = await place.request('POST', 'auth/token/create', { policies: ['admin', 'default'] })
  const file = one.folder.at('limited-token')
  await writeFile(file, v.parse(tokenReply, made).auth.client_token)
  return await one.vault('setup', '--apply', '--token-file', file)
}

for (const [name, { provider, writes }] of Object.entries(SCENES)) {
  test(`${name}: each right that the token lacks is found ahead, and with all of them --apply succeeds`, async () => {
    await using one = await vaultSetup({}, { on: await server() })
    const namespace = name.replace(/\W.*/, '')
    const place = await placeIn(one, namespace)
    await one.change({ namespace, ...provider(place) })
    const rights: Rights = { ...COMMON, ...writes }

    for (const [path, of] of Object.entries(rights)) {
      for (const left of of) {
        const fewer = { ...rights, [path]: of.filter((each) => each !== left) }
        const ran = await applyWith(one, place, fewer)

        assert.is(ran.code, 1, `without ${left} on ${path}: ${ran.out}${ran.err}`)
        assert.match(ran.out, `its policy must allow ${of.join(' and ')} on ${path}`)
        assert.not.match(ran.out, 'Done: ')
      }
    }
    const ran = await applyWith(one, place, rights)

    assert.is(ran.err, '')
    assert.is(ran.code, 0, ran.out)
  })
}

test('a token of few uses for --token-file is found ahead', async () => {
  await using one = await vaultSetup({})
  await one.change(approle({ at: (name) => one.folder.at(`node/${name}`) } as Place))
  const before = await stateOf(one, '.')
  const ends: number[] = []
  for (const num_uses of [13, 40]) {
    const body = { policies: ['root'], num_uses }
    const made = await one.bao.request('POST', 'auth/token/create', body)
    const file = one.folder.at('few')
    await writeFile(file, v.parse(tokenReply, made).auth.client_token)
    const { code, out } = await one.vault('setup', '--apply', '--token-file', file)
    ends.push(code)
    if (code === 0) continue
    assert.match(out, /the token of --token-file is for \d+ more requests, and 8 are needed/)
    assert.is(await stateOf(one, '.'), before)
  }
  assert.equal(ends, [1, 0])
})

test('userpass: a password with spaces is set as it stands in the file, and the plugin logs in', async () => {
  await using one = await vaultSetup({})
  const place = { at: (name: string) => one.folder.at(`node/${name}`) } as Place
  await one.change(userpass(place))
  await writeFile(place.at('password'), ' correct horse \n')

  const { code, err } = await one.apply()

  assert.is(err, '')
  assert.is(code, 0)
  await one.roundTrip()
  await one.bao.request('POST', 'auth/userpass/login/node-1', { password: ' correct horse ' })
  assert.not.match(one.said(), 'correct horse')
})

test('a role whose tokens are for few uses is mended, and one whose secret ids are is told of', async () => {
  await using one = await vaultSetup({})
  await one.change(approle({ at: (name) => one.folder.at(`node/${name}`) } as Place))
  await one.apply()
  const limits = { token_num_uses: 5, secret_id_num_uses: 4, secret_id_ttl: '10h' }
  await one.bao.request('POST', ROLE, limits)

  const mended = await one.apply()
  const after = await one.apply()

  assert.match(
    mended.out,
    /change +role \S+ +token_num_uses: 0, since tokens for 5 uses are refused/,
  )
  assert.match(after.out, /ok +role \S+ +but a secret id is for 4 logins \(secret_id_num_uses\)/)
  await one.roundTrip()
})

test('credentials that are there and will end are told of', async () => {
  await using one = await vaultSetup({})
  const place = { at: (name: string) => one.folder.at(`node/${name}`), request: one.bao.request }
  await one.change(approle(place))
  await one.apply()
  await one.bao.request('POST', ROLE, { secret_id_num_uses: 4, secret_id_ttl: '10h' })
  await putSecretId(place, ROLE)
  assert.match(
    (await one.apply()).out,
    /ok +file \S+secret-id +but: The secret id is good for 4 more logins.*but: The secret id ends at/,
  )

  await one.change(tokenLogin(place))
  await putToken(place, { ttl: '1h' })
  assert.match((await one.apply()).out, /ok +file \S+token +but: The token ends for good/)
})

test('what the cases shared ends', async () => {
  await (await shared)?.[Symbol.asyncDispose]()
})

test.run()
