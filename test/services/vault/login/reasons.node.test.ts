/** Why the real OpenBao refuses a login, or is not understood at all, in words that fit. */

import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { SignJWT } from 'jose'
import * as assert from 'uvu/assert'
import type { KmsError } from '../../../../src/base/errors.ts'
import { KEY_SERVER } from '../../../_lib/services/vault/key_server.ts'
import { type OpenBao, startOpenBao, type Transit } from '../../../_lib/services/vault/openbao.ts'
import { vaultProvider } from '../../../_lib/services/vault/provider.ts'
import { tempFolder } from '../../../_lib/temp_folder.ts'
import { rejection, suite } from '../../../_lib/uvu.ts'

const test = suite(`auth/login_reasons on ${KEY_SERVER.title}`, () => ({}))
const NODE_KEY = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const OTHER_KEY = generateKeyPairSync('ec', { namedCurve: 'P-256' })

/** Every phrase of the service that is passed on, with what is said of it. */
const JWTS: readonly (readonly [change: object, wanted: string])[] = [
  [{ aud: 'planted' }, 'invalid audience (aud) claim: '],
  [{ sub: 'planted' }, 'invalid subject (sub) claim: '],
  [{ iss: 'planted' }, 'invalid issuer (iss) claim: '],
  [{ exp: 1, iat: undefined, nbf: undefined }, 'invalid expiration time (exp) claim: '],
  [{ nbf: 4e9, exp: 5e9 }, 'invalid not before (nbf) claim: '],
  [{ iat: 4e9, nbf: 1, exp: 5e9 }, 'invalid issued at (iat) claim: '],
  [{ iat: undefined, nbf: undefined, exp: undefined }, 'no issued at (iat): '],
  [{ node: 'planted' }, 'does not match any associated bound claim values: '],
  [{ node: undefined }, 'error validating claims: '],
]

test('a refused JWT is told with its reason, and nothing is quoted', async () => {
  await using one = await setup()

  for (const [change, wanted] of JWTS) {
    assert.match(
      await one.jwtLogin({ claims: change }),
      `auth/jwt/login was refused (400): ${wanted}`,
    )
  }
  for (const [options, wanted] of [
    [{ key: OTHER_KEY.privateKey }, 'no known key successfully validated the token signature: '],
    [{ role: 'planted' }, 'could not be found: the mount has no role of this name'],
    [{ role: undefined }, 'missing role: set auth.role'],
    [{ role: 'upn' }, 'not found in token: '],
    [{ mount: 'empty' }, 'could not load configuration: the mount is not configured yet'],
  ] as const) {
    assert.match(await one.jwtLogin(options), wanted)
  }
})

test('a wrong mount or method of the login is not told as wrong credentials', async () => {
  await using one = await setup()
  const { auth } = one.transit.provider
  const approle = auth as object

  const mount = await one.complaint({ auth: { ...approle, mount: 'nowhere' } })
  assert.match(
    mount,
    /auth\/nowhere\/login was refused \(403\): no reason given: check that auth\.mount is there, in this namespace/,
  )
  const method = await one.complaint({ auth: { ...approle, mount: 'jwt' } })
  assert.match(method, 'missing role: set auth.role; or the mount is for another method')
  assert.match(
    await one.jwtLogin({ mount: 'approle' }),
    /(?:missing role_id: the mount is one of AppRoles|failed to determine alias name from login request: the mount is for another method): check auth\.mount and auth\.method/,
  )
  await writeFile(one.transit.secretIdFile, 'planted')
  assert.match(
    await one.complaint({}),
    /invalid (?:role or secret ID|secret id): check the files of role id and secret id/,
  )
})

// Vault Community takes any namespace for its root.
if (KEY_SERVER.product === 'OpenBao') {
  test('a wrong namespace is told as that, of the login and of the key', async () => {
    await using one = await setup()
    const approle = one.transit.provider['auth'] as object

    const ofLogin = await one.complaint({ auth: { ...approle, namespace: 'nowhere' } })
    const ofKey = await one.complaint({
      namespace: 'nowhere',
      auth: { ...approle, namespace: 'root' },
    })

    assert.match(
      ofLogin,
      'was refused (404): namespace not found: check auth.namespace, or namespace',
    )
    assert.not.match(ofLogin, 'auth.mount')
    assert.match(ofKey, 'answered 404: there is no such namespace: check namespace')
  })
}

test('http:// to a port with TLS and https:// to one without are told as that', async () => {
  await using one = await setup()
  const plain = createServer((_, answer) => answer.end('{}')).listen(0, '127.0.0.1')
  await once(plain, 'listening')
  const { port } = plain.address() as AddressInfo

  const toTls = await one.complaint({
    address: one.bao.address.replace('https:', 'http:'),
    tls: {},
  })
  const toPlain = await one.complaint({ address: `https://127.0.0.1:${port}` })
  plain.close()

  assert.match(toTls, 'answered 400: it speaks TLS there: write https:// in the address')
  assert.match(toPlain, 'it speaks no TLS there: is it http://, or another port?')
})

interface JwtOptions {
  readonly claims?: object
  readonly key?: typeof NODE_KEY.privateKey
  readonly role?: string | undefined
  readonly mount?: string
}

async function setup() {
  const folder = await tempFolder()
  const bao = await startOpenBao({ tls: true })
  const transit = await bao.setupTransit({ folder: folder.path })
  await setUpJwt(bao, transit)
  /** What is said of a provider that cannot work. */
  async function complaint(change: object): Promise<string> {
    const tls = { caFile: bao.caFile }
    await using provider = vaultProvider({ ...transit.provider, tls, ...change }, 10_000)
    const { message } = (await rejection(provider.keyState())) as KmsError
    assert.not.match(message, 'planted')
    return message
  }
  return {
    bao,
    transit,
    complaint,
    async jwtLogin({ claims, key = NODE_KEY.privateKey, ...rest }: JwtOptions) {
      const tokenFile = folder.at('jwt')
      const now = Math.floor(Date.now() / 1_000)
      const good = {
        iss: 'issuer',
        sub: 'node',
        aud: 'vault',
        node: 'cp-1',
        iat: now,
        exp: now + 300,
      }
      const payload = JSON.parse(JSON.stringify({ ...good, ...claims }))
      await writeFile(
        tokenFile,
        await new SignJWT(payload).setProtectedHeader({ alg: 'ES256' }).sign(key),
      )
      return await complaint({ auth: { method: 'jwt', tokenFile, role: 'node', ...rest } })
    },
    async [Symbol.asyncDispose]() {
      await bao[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

async function setUpJwt(bao: OpenBao, { policy }: Transit): Promise<void> {
  const pem = NODE_KEY.publicKey.export({ type: 'spki', format: 'pem' })
  for (const mount of ['jwt', 'empty'])
    await bao.request('POST', `sys/auth/${mount}`, { type: 'jwt' })
  await bao.request('POST', 'auth/jwt/config', {
    jwt_validation_pubkeys: [pem],
    bound_issuer: 'issuer',
  })
  const role = { role_type: 'jwt', bound_audiences: ['vault'], token_policies: policy }
  await bao.request('POST', 'auth/jwt/role/node', {
    ...role,
    user_claim: 'sub',
    bound_subject: 'node',
    bound_claims: { node: 'cp-1' },
  })
  await bao.request('POST', 'auth/jwt/role/upn', { ...role, user_claim: 'upn' })
}

test.run()
