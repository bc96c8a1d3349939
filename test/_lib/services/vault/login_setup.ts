/**
 * Each login to the real OpenBao: how the server is set up for it, the config that
 * uses it, and what to do to its credentials.
 *
 * @module
 */

import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { SignJWT } from 'jose'
import * as v from 'valibot'
import { combined, makeAuthority, makeCertificate } from '../../remote/certificates.ts'
import { SPIFFE_ID, startFakeSpiffe } from '../../remote/fake_spiffe.ts'
import { pcrsOf, policyKey, writePolicies, writeTpmKey } from '../../remote/tpm/login_key.ts'
import { startSwtpm } from '../../remote/tpm/swtpm.ts'
import { replaceFile } from '../../replace_file.ts'
import type { TempFolder } from '../../temp_folder.ts'
import { startFakeKubeApi } from '../../tools/fake_kube_api.ts'
import type { OpenBao, Transit } from './openbao.ts'

export interface LoginScene {
  readonly auth: Readonly<Record<string, unknown>>
  readonly tls?: Readonly<Record<string, unknown>>
  /** From now on the credentials in the files are refused. */
  spoil(): Promise<void>
  /** Revokes the token that the login of the first credentials gave out. */
  revoke(): Promise<void>
  /** Good ones are in the files again, other ones than at first. */
  replace(): Promise<void>
  /** What must never be seen anywhere. */
  secrets(): string[]
  close?(): Promise<void>
}

interface LoginSceneOptions {
  readonly bao: OpenBao
  readonly transit: Transit
  readonly folder: TempFolder
  readonly tokenTtl?: string
  readonly tokenMaxTtl?: string
}

type MakeScene = (options: LoginSceneOptions) => Promise<LoginScene>

const DEFAULT_TTL = '1h'

export const LOGIN_SCENES: Readonly<Record<string, MakeScene>> = {
  approle: approleScene,
  'approle, wrapped': wrappedScene,
  kubernetes: kubernetesScene,
  'jwt from a file': jwtFileScene,
  'jwt, self-signed with ES256': (options) => selfSignedScene(options, 'ES256'),
  'jwt, self-signed with EdDSA': (options) => selfSignedScene(options, 'EdDSA'),
  'jwt, self-signed in a TPM': tpmScene,
  'jwt from a SPIFFE agent': spiffeScene,
  userpass: userpassScene,
  cert: certScene,
  token: tokenScene,
}

function tokenFields(options: LoginSceneOptions): object {
  const { transit, tokenTtl = DEFAULT_TTL, tokenMaxTtl = '0' } = options
  const life = { token_ttl: tokenTtl, token_max_ttl: tokenMaxTtl }
  return { token_policies: transit.policy, token_no_default_policy: true, ...life }
}

function revoker({ bao }: LoginSceneOptions, mount: string): () => Promise<void> {
  return async () => {
    await bao.request('POST', `sys/leases/revoke-prefix/auth/${mount}/login`, { sync: true })
  }
}

async function enable({ bao }: LoginSceneOptions, type: string): Promise<void> {
  await bao.request('POST', `sys/auth/${type}`, { type })
}

function approleScene(options: LoginSceneOptions): Promise<LoginScene> {
  const { transit } = options
  const secrets: string[] = []
  return Promise.resolve({
    auth: transit.provider['auth'] as Record<string, unknown>,
    async spoil() {
      await transit.destroySecretId()
      secrets.push('planted-wrong-secret-id')
      await replaceFile(transit.secretIdFile, 'planted-wrong-secret-id')
    },
    revoke: revoker(options, 'approle'),
    replace: () => transit.replaceSecretId(),
    secrets: () => secrets,
  })
}

const wrapReply = v.object({ wrap_info: v.object({ token: v.string() }) })

async function wrappedScene(options: LoginSceneOptions): Promise<LoginScene> {
  const { bao, transit, folder } = options
  const file = folder.at('wrapped')
  const secrets: string[] = []
  const role = transit.role
  const wrap = async () => {
    const made = v.parse(
      wrapReply,
      await bao.request('POST', `auth/approle/role/${role}/secret-id`, undefined, {
        'x-vault-wrap-ttl': '5m',
      }),
    )
    secrets.push(made.wrap_info.token)
    await replaceFile(file, made.wrap_info.token)
  }
  await wrap()
  const { roleIdFile } = transit
  return {
    auth: { method: 'approle', roleIdFile, secretIdFile: file, wrappedRole: role },
    spoil: () => replaceFile(file, 's.planted-wrapping-token'),
    revoke: revoker(options, 'approle'),
    replace: wrap,
    secrets: () => [...secrets, 's.planted-wrapping-token'],
  }
}

async function kubernetesScene(options: LoginSceneOptions): Promise<LoginScene> {
  const { bao, folder } = options
  const kube = await startFakeKubeApi()
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const file = folder.at('sa-token')
  let last = ''
  const account = async () => {
    last = await serviceAccountToken(privateKey)
    kube.accounts.set(last, 'kube-system:trousseau')
    await replaceFile(file, last)
  }
  await account()
  await enable(options, 'kubernetes')
  const config = { kubernetes_host: kube.address, token_reviewer_jwt: kube.reviewerToken }
  await bao.request('POST', 'auth/kubernetes/config', {
    ...config,
    // It insists on one, also where the address is http.
    kubernetes_ca_cert: await readFile(bao.caFile, 'utf8'),
    disable_local_ca_jwt: true,
  })
  await bao.request('POST', 'auth/kubernetes/role/trousseau', {
    bound_service_account_names: 'trousseau',
    bound_service_account_namespaces: 'kube-system',
    audience: 'vault',
    ...tokenFields(options),
  })
  return {
    auth: { method: 'kubernetes', role: 'trousseau', tokenFile: file },
    spoil() {
      kube.accounts.clear()
      return Promise.resolve()
    },
    revoke: revoker(options, 'kubernetes'),
    replace: account,
    secrets: () => [last, kube.reviewerToken],
    close: async () => await kube[Symbol.asyncDispose](),
  }
}

function serviceAccountToken(key: KeyObject): Promise<string> {
  const [namespace, name] = ['kube-system', 'trousseau']
  const serviceaccount = { name, uid: `uid-of-${namespace}:${name}` }
  return new SignJWT({ 'kubernetes.io': { namespace, serviceaccount } })
    .setProtectedHeader({ alg: 'ES256' })
    .setIssuer('https://kubernetes.default.svc')
    .setSubject(`system:serviceaccount:${namespace}:${name}`)
    .setAudience(['vault'])
    .setIssuedAt()
    .setJti(crypto.randomUUID())
    .setExpirationTime('1h')
    .sign(key)
}

function pemOf(key: KeyObject): string {
  return createPublicKey(key).export({ type: 'spki', format: 'pem' }).toString()
}

async function jwtRole(options: LoginSceneOptions, claims: object): Promise<void> {
  await options.bao.request('POST', 'auth/jwt/role/trousseau', {
    role_type: 'jwt',
    user_claim: 'sub',
    bound_audiences: ['vault'],
    ...claims,
    ...tokenFields(options),
  })
}

async function jwtFileScene(options: LoginSceneOptions): Promise<LoginScene> {
  const { bao, folder } = options
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const file = folder.at('jwt')
  const secrets: string[] = []
  const issue = async (audience: string) => {
    const jwt = await new SignJWT({})
      .setProtectedHeader({ alg: 'RS256' })
      .setSubject('node-1')
      .setAudience(audience)
      .setIssuedAt()
      .setJti(crypto.randomUUID())
      .setExpirationTime('10m')
      .sign(privateKey)
    secrets.push(jwt)
    await replaceFile(file, jwt)
  }
  await issue('vault')
  await enable(options, 'jwt')
  await bao.request('POST', 'auth/jwt/config', { jwt_validation_pubkeys: [pemOf(privateKey)] })
  await jwtRole(options, {})
  return {
    auth: { method: 'jwt', role: 'trousseau', tokenFile: file },
    spoil: () => issue('somebody-else'),
    revoke: revoker(options, 'jwt'),
    replace: () => issue('vault'),
    secrets: () => secrets,
  }
}

async function selfSignedScene(
  options: LoginSceneOptions,
  algorithm: 'ES256' | 'EdDSA',
): Promise<LoginScene> {
  const { bao, folder } = options
  const file = folder.at('node-key')
  const secrets: string[] = []
  const newKey = () =>
    algorithm === 'EdDSA'
      ? generateKeyPairSync('ed25519').privateKey
      : generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  const use = async (key: KeyObject) => {
    const pem = key.export({ type: 'pkcs8', format: 'pem' }).toString()
    secrets.push(pem.split('\n')[1] ?? '')
    await replaceFile(file, pem)
  }
  const trust = async (key: KeyObject) => {
    await bao.request('POST', 'auth/jwt/config', { jwt_validation_pubkeys: [pemOf(key)] })
  }
  await enable(options, 'jwt')
  const key = newKey()
  await use(key)
  await trust(key)
  await jwtRole(options, { bound_claims: { node: 'cp-1' } })
  const selfSigned = {
    keyFile: file,
    audience: 'vault',
    subject: 'kms:test:cp-1',
    claims: { node: 'cp-1' },
  }
  return {
    auth: { method: 'jwt', role: 'trousseau', selfSigned },
    spoil: () => use(newKey()),
    revoke: revoker(options, 'jwt'),
    async replace() {
      const next = newKey()
      await trust(next)
      await use(next)
    },
    secrets: () => secrets,
  }
}

/** The node's state is another one, and then approved of. */
async function tpmScene(options: LoginSceneOptions): Promise<LoginScene> {
  const { bao, folder } = options
  const tpm = await startSwtpm()
  const [keyFile, policyFile] = [folder.at('login-key.json'), folder.at('policies.json')]
  const { publicKey: authority, privateKey } = policyKey()
  const approve = async () => {
    const now = await pcrsOf(tpm.device, [7, 11])
    await writePolicies(policyFile, privateKey, now, tpm.extended(now, 7))
  }
  const publicKey = await writeTpmKey(keyFile, tpm.device, { authority })
  await approve()
  await enable(options, 'jwt')
  await bao.request('POST', 'auth/jwt/config', {
    jwt_validation_pubkeys: [publicKey.export({ type: 'spki', format: 'pem' }).toString()],
  })
  await jwtRole(options, {})
  const selfSigned = {
    tpm: { keyFile, policyFile, device: tpm.device },
    audience: 'vault',
    subject: 'kms:test:cp-1',
  }
  return {
    auth: { method: 'jwt', role: 'trousseau', selfSigned },
    spoil: () => tpm.extend(11),
    revoke: revoker(options, 'jwt'),
    async replace() {
      await approve()
      await tpm.extend(7)
    },
    secrets: () => ['PRIVATE KEY'],
    close: async () => await tpm[Symbol.asyncDispose](),
  }
}

async function spiffeScene(options: LoginSceneOptions): Promise<LoginScene> {
  const { bao, folder } = options
  const spiffe = await startFakeSpiffe(folder.at('agent.sock'))
  await enable(options, 'jwt')
  await bao.request('POST', 'auth/jwt/config', { jwks_url: spiffe.jwksUrl })
  await jwtRole(options, { bound_subject: SPIFFE_ID })
  return {
    auth: {
      method: 'jwt',
      role: 'trousseau',
      spiffe: { socket: spiffe.address, audience: 'vault', id: SPIFFE_ID },
    },
    spoil() {
      spiffe.agent.rotateKeys({ publish: false })
      return Promise.resolve()
    },
    revoke: revoker(options, 'jwt'),
    replace() {
      spiffe.agent.rotateKeys()
      return Promise.resolve()
    },
    secrets: () => spiffe.agent.issued,
    close: async () => await spiffe[Symbol.asyncDispose](),
  }
}

async function userpassScene(options: LoginSceneOptions): Promise<LoginScene> {
  const { bao, folder } = options
  const file = folder.at('password')
  const set = async (password: string) => {
    await bao.request('POST', 'auth/userpass/users/node-1', { password, ...tokenFields(options) })
    await replaceFile(file, `${password}\n`)
  }
  await enable(options, 'userpass')
  await set('planted pass word 1')
  return {
    auth: { method: 'userpass', username: 'node-1', passwordFile: file },
    spoil: () => replaceFile(file, 'planted wrong pass word'),
    revoke: revoker(options, 'userpass'),
    replace: () => set('planted pass word 2'),
    secrets: () => ['planted'],
  }
}

async function certScene(options: LoginSceneOptions): Promise<LoginScene> {
  const { bao, folder } = options
  const authority = await makeAuthority(folder.path, 'clients')
  const other = await makeAuthority(folder.path, 'others')
  // As the kubelet has it: certificate and key in one file.
  const file = folder.at('client-current.pem')
  let turn = 0
  const issue = async (by: typeof authority) => {
    turn += 1
    await replaceFile(file, await combined(await makeCertificate(folder.path, `node-${turn}`, by)))
  }
  await issue(authority)
  await enable(options, 'cert')
  const certificate = await readFile(authority.cert, 'utf8')
  const role = { certificate, allowed_common_names: 'node-*', ...tokenFields(options) }
  await bao.request('POST', 'auth/cert/certs/trousseau', role)
  return {
    auth: { method: 'cert', role: 'trousseau' },
    tls: { certFile: file },
    spoil: () => issue(other),
    revoke: revoker(options, 'cert'),
    replace: () => issue(authority),
    secrets: () => ['PRIVATE KEY'],
  }
}

async function tokenScene(options: LoginSceneOptions): Promise<LoginScene> {
  const { bao, transit, folder, tokenTtl = DEFAULT_TTL } = options
  const file = folder.at('token')
  const secrets: string[] = []
  const issue = async () => {
    const made = v.parse(
      v.object({ auth: v.object({ client_token: v.string() }) }),
      await bao.request('POST', 'auth/token/create-orphan', {
        policies: [transit.policy],
        no_default_policy: true,
        period: tokenTtl,
      }),
    )
    secrets.push(made.auth.client_token)
    await replaceFile(file, made.auth.client_token)
  }
  await issue()
  return {
    auth: { method: 'token', tokenFile: file },
    spoil: () => Promise.resolve(),
    async revoke() {
      const [first = ''] = secrets
      await bao.request('POST', 'auth/token/revoke', { token: first })
    },
    replace: issue,
    secrets: () => secrets,
  }
}
