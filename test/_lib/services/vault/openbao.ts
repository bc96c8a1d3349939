/**
 * The real OpenBao server, or Vault in its place (`key_server.ts`), with its storage on disk, so
 * that a test can stop and start it, freeze and seal it.
 *
 * @module
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import * as v from 'valibot'
import { policyText } from '../../../../src/services/vault/setup/policy.ts'
import { freePort } from '../../free_port.ts'
import { freeze } from '../../freeze.ts'
import {
  type CertificateFiles,
  makeAuthority,
  makeCertificate,
  type Validity,
} from '../../remote/certificates.ts'
import { replaceFile } from '../../replace_file.ts'
import { until } from '../../wait.ts'
import { KEY_SERVER, keyServerBinary, registerPlugins, serverConfig } from './key_server.ts'

const ROLE = 'trousseau'
const LOOPBACK = '127.0.0.1'

export interface OpenBao extends AsyncDisposable {
  readonly address: string
  /** `127.0.0.1:port`, or another host. */
  readonly host: string
  readonly rootToken: string
  readonly pid: number
  /** PEM of the authority that signed the server's certificate, with `tls`. */
  readonly caFile: string
  /** Every request and answer, a line of JSON each, with `audit`: `true`, or the file to write them to. */
  readonly auditFile: string
  /** Sends a request with the root token; throws on a status other than 200 and 204. */
  request(
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    body?: object,
    headers?: Readonly<Record<string, string>>,
  ): Promise<unknown>
  /** A transit engine with a key, and an AppRole under the policy that the product prints and nothing more. */
  setupTransit(options: TransitOptions): Promise<Transit>
  rotate(transit: Transit): Promise<void>
  /** Ends the server; its data stays. */
  stop(signal?: NodeJS.Signals): Promise<void>
  /** Starts it again at the same address, and unseals it; with `binary` another version, on what the one before left. */
  start(binary?: string): Promise<void>
  /** With `tls`: from now on new connections get a certificate of this authority. */
  replaceCertificate(authority: CertificateFiles, validity?: Validity): Promise<void>
  freeze(): void
  thaw(): void
  seal(): Promise<void>
  unseal(): Promise<void>
}

export interface TransitOptions {
  /** Where the credential files go. */
  readonly folder: string
  readonly mount?: string
  readonly key?: string
  /** What the key is made with; its type is aes256-gcm96 by default. */
  readonly keySettings?: object
  readonly tokenTtl?: string
  readonly tokenMaxTtl?: string
  /** Under the policy of a signer's key. */
  readonly signs?: boolean
  /** Tokens with the `default` policy as well, which makes the server slower. */
  readonly defaultPolicy?: boolean
}

export interface Transit {
  readonly mount: string
  readonly key: string
  readonly policy: string
  /** Name of the AppRole. */
  readonly role: string
  readonly roleIdFile: string
  readonly secretIdFile: string
  /** The keys of a provider's config but for `name` and `type`. */
  readonly provider: Readonly<Record<string, unknown>>
  /** A new token as the plugin would get it. */
  login(): Promise<string>
  /** Revokes every token that the role gave out. */
  revokeTokens(): Promise<void>
  /** The secret id in the file is worth nothing any more. */
  destroySecretId(): Promise<void>
  /** Puts a new secret id into the file. */
  replaceSecretId(): Promise<void>
}

const reply = v.object({ data: v.record(v.string(), v.unknown()) })
export const initReply = v.object({ keys: v.tuple([v.string()]), root_token: v.string() })
const loginReply = v.object({ auth: v.object({ client_token: v.string() }) })

export async function startOpenBao({
  tls = false,
  audit = false,
  host = LOOPBACK,
}: {
  tls?: boolean
  audit?: boolean | string
  /** Where it listens. */
  host?: string
} = {}): Promise<OpenBao> {
  const folder = await mkdtemp(join(tmpdir(), 'tr-bao-'))
  const [port, clusterPort] = [await freePort(), await freePort()]
  const caFile = join(folder, 'ca.pem')
  const auditFile = typeof audit === 'string' ? audit : join(folder, 'audit.log')
  if (tls) {
    // Without a host of its own, the names of loopback.
    const use = host === LOOPBACK ? {} : { extensions: `subjectAltName = IP:${host}` }
    await makeCertificate(folder, 'server', await makeAuthority(folder, 'ca'), undefined, use)
  }
  await mkdir(join(folder, 'data'))
  const auditDevice = audit === false ? undefined : auditInto(auditFile)
  await writeFile(
    join(folder, 'config.json'),
    JSON.stringify({
      ...configOf(folder, { host, port, clusterPort, tls }),
      ...(await serverConfig()),
      ...(auditDevice === undefined ? {} : auditConfig(auditDevice)),
    }),
  )
  const server = new Server(folder, port, tls, host)
  await server.start()
  const init = v.parse(
    initReply,
    await server
      .send('POST', 'sys/init', { secret_shares: 1, secret_threshold: 1 }, '')
      .catch(async (error: unknown) => {
        await server.stop()
        throw error
      }),
  )
  server.unsealKey = init.keys[0]
  await server.unseal()
  const request: OpenBao['request'] = (method, path, body, headers) =>
    server.send(method, path, body, init.root_token, headers)
  await registerPlugins(request)
  if (auditDevice !== undefined && KEY_SERVER.vault !== undefined) {
    await request('POST', 'sys/audit/all', auditDevice)
  }
  return {
    address: server.address,
    host: `${host}:${port}`,
    rootToken: init.root_token,
    caFile,
    auditFile,
    get pid() {
      return server.pid
    },
    request,
    setupTransit: (options) => setupTransit(server, request, options),
    rotate: async ({ mount, key }) => {
      await request('POST', `${mount}/keys/${key}/rotate`)
    },
    stop: (signal) => server.stop(signal),
    start: async (binary) => {
      await server.start(binary)
      await server.unseal()
    },
    replaceCertificate: async (authority, validity) => {
      const made = await makeCertificate(folder, 'next', authority, validity)
      await rename(made.cert, join(folder, 'server.pem'))
      await rename(made.key, join(folder, 'server-key.pem'))
      // It reads its certificate again.
      process.kill(server.pid, 'SIGHUP')
    },
    freeze: () => freeze(server.pid),
    thaw: () => process.kill(server.pid, 'SIGCONT'),
    seal: async () => {
      await request('POST', 'sys/seal')
    },
    unseal: () => server.unseal(),
    async [Symbol.asyncDispose]() {
      await server.stop('SIGKILL')
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** The process of one node, and requests to it. */
export class Server {
  readonly address: string
  unsealKey = ''
  readonly #folder: string
  #child: ChildProcess | undefined
  #output = ''

  constructor(folder: string, port: number, tls: boolean, host = '127.0.0.1') {
    this.#folder = folder
    this.address = `http${tls ? 's' : ''}://${host}:${port}`
  }

  get pid(): number {
    const pid = this.#child?.pid
    if (pid === undefined) throw new Error('Server is not running')
    return pid
  }

  async start(binary?: string): Promise<void> {
    const args = ['server', `-config=${join(this.#folder, 'config.json')}`]
    const program = binary ?? (await keyServerBinary())
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child = child
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        this.#output = (this.#output + chunk).slice(-10_000)
      })
    }
    await until(`${KEY_SERVER.product} answers`, async () => {
      if (child.exitCode !== null) throw new Error(`${KEY_SERVER.product} exited: ${this.#output}`)
      return await this.status().then(
        () => true,
        () => false,
      )
    })
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.#child
    if (child === undefined) return
    this.#child = undefined
    if (child.exitCode !== null || child.signalCode !== null) return
    const closed = once(child, 'close')
    // A frozen process takes no other signal.
    child.kill('SIGCONT')
    child.kill(signal)
    await closed
  }

  async unseal(): Promise<void> {
    await this.send('POST', 'sys/unseal', { key: this.unsealKey }, '')
    await until(`${KEY_SERVER.product} is active`, async () => (await this.status()) === 200)
  }

  async send(
    method: string,
    path: string,
    body: object | undefined,
    token: string,
    headers: Readonly<Record<string, string>> = {},
  ) {
    const { status, text } = await this.#curl(method, path, body, {
      'x-vault-token': token,
      ...headers,
    })
    if (status !== 200 && status !== 204) {
      throw new Error(`${method} ${path} answered ${status}: ${text}`)
    }
    return text === '' ? undefined : (JSON.parse(text) as unknown)
  }

  /** What `sys/health` answers; rejects where nothing does. */
  async status(): Promise<number> {
    return (await this.#curl('GET', 'sys/health', undefined, {})).status
  }

  /** A client of its own, so that the tests do not judge the product by the product. */
  async #curl(
    method: string,
    path: string,
    body: object | undefined,
    given: Readonly<Record<string, string>>,
  ) {
    const { request } = await import(this.address.startsWith('https') ? 'node:https' : 'node:http')
    return await new Promise<{ status: number; text: string }>((resolve, reject) => {
      const headers = { ...given, connection: 'close' }
      const outgoing = request(
        `${this.address}/v1/${path}`,
        { method, headers, rejectUnauthorized: false, agent: false },
        (incoming: NodeJS.ReadableStream & { statusCode: number }) => {
          let text = ''
          incoming.setEncoding('utf8')
          incoming.on('data', (chunk: string) => {
            text += chunk
          })
          incoming.on('end', () => resolve({ status: incoming.statusCode, text }))
          incoming.on('error', reject)
        },
      )
      outgoing.on('error', reject)
      outgoing.end(body === undefined ? undefined : JSON.stringify(body))
    })
  }
}

export async function setupTransit(
  server: Pick<Server, 'address' | 'send'>,
  request: OpenBao['request'],
  options: TransitOptions,
): Promise<Transit> {
  const { folder, mount = 'transit', key = 'k8s-etcd', defaultPolicy = false } = options
  const policy = `trousseau-${mount}-${key}`
  const roleIdFile = join(folder, `${policy}-role-id`)
  const secretIdFile = join(folder, `${policy}-secret-id`)
  const role = `auth/approle/role/${ROLE}-${key}`
  await request('POST', `sys/mounts/${mount}`, { type: 'transit' })
  await request('POST', `${mount}/keys/${key}`, options.keySettings ?? {})
  await request('POST', `sys/policies/acl/${policy}`, {
    policy: policyText({
      mount,
      key,
      signs: options.signs,
      auth: { method: 'approle', mount: 'approle' },
    }),
  })
  await request('POST', 'sys/auth/approle', { type: 'approle' }).catch((error: Error) => {
    if (!error.message.includes('already in use')) throw error
  })
  await request('POST', role, {
    token_policies: policy,
    token_no_default_policy: !defaultPolicy,
    token_ttl: options.tokenTtl ?? '1h',
    token_max_ttl: options.tokenMaxTtl ?? '0',
  })
  const { data } = v.parse(reply, await request('GET', `${role}/role-id`))
  const roleId = String(data['role_id'])
  await writeFile(roleIdFile, `${roleId}\n`, { mode: 0o600 })
  let secretId = ''
  const replaceSecretId = async () => {
    const made = v.parse(reply, await request('POST', `${role}/secret-id`))
    secretId = String(made.data['secret_id'])
    await replaceFile(secretIdFile, `${secretId}\n`)
  }
  await replaceSecretId()
  return {
    mount,
    key,
    policy,
    role: `${ROLE}-${key}`,
    roleIdFile,
    secretIdFile,
    provider: {
      address: server.address,
      mount,
      key,
      auth: { method: 'approle', roleIdFile, secretIdFile },
    },
    login: async () => {
      const body = { role_id: roleId, secret_id: secretId }
      const made = v.parse(loginReply, await server.send('POST', 'auth/approle/login', body, ''))
      return made.auth.client_token
    },
    revokeTokens: async () => {
      await request('POST', 'sys/leases/revoke-prefix/auth/approle/login', { sync: true })
    },
    destroySecretId: async () => {
      await request('POST', `${role}/secret-id/destroy`, { secret_id: secretId })
    },
    replaceSecretId,
  }
}

interface Listening {
  readonly host: string
  readonly port: number
  readonly clusterPort: number
  readonly tls: boolean
}

function configOf(folder: string, { host, port, clusterPort, tls }: Listening): object {
  const listener = {
    address: `${host}:${port}`,
    // Otherwise the next port, which may be another's.
    cluster_address: `127.0.0.1:${clusterPort}`,
    ...(tls
      ? { tls_cert_file: join(folder, 'server.pem'), tls_key_file: join(folder, 'server-key.pem') }
      : { tls_disable: true }),
  }
  return {
    storage: { raft: { path: join(folder, 'data'), node_id: 'one', performance_multiplier: 1 } },
    listener: { tcp: listener },
    api_addr: `http${tls ? 's' : ''}://${host}:${port}`,
    cluster_addr: `https://127.0.0.1:${clusterPort}`,
    log_level: 'warn',
  }
}

/** Vault's numbers are hashed too, unless it is told to hash nothing. */
function auditInto(file: string): object {
  const raw = KEY_SERVER.vault === undefined ? {} : { log_raw: 'true' }
  return { type: 'file', options: { file_path: file, ...raw } }
}

/** OpenBao takes audit devices from its config file alone, Vault over its API alone. */
function auditConfig(device: object): object {
  return KEY_SERVER.vault === undefined ? { audit: [{ path: 'all', ...device }] } : {}
}
