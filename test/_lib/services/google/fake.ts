/**
 * Google as far as the provider uses it: Cloud KMS, the Security Token Service, the IAM Credentials
 * API, the metadata server and a source of subject tokens, all on one port and distinguished by
 * their paths. It is strict: what Google would not accept is refused.
 *
 * @module
 */

import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import { FakeAccounts } from './fake/accounts.ts'
import { FakeKey } from './fake/key.ts'
import { FEDERATED, iamCredentials, type LoginState, metadata, sts } from './fake/logins.ts'
import { errorInfo, failure, html, invalid, type Reply } from './fake/reply.ts'
import type { Request } from './fake/request.ts'

export const KEY = 'projects/acme-prod/locations/europe-west1/keyRings/k8s/cryptoKeys/etcd'
export const INSTANCE = 'node@acme-prod.iam.gserviceaccount.com'
const PERMISSIONS = [
  'cloudkms.cryptoKeys.get',
  'cloudkms.cryptoKeyVersions.list',
  'cloudkms.cryptoKeyVersions.useToEncrypt',
  'cloudkms.cryptoKeyVersions.useToDecrypt',
] as const
export type Permission = (typeof PERMISSIONS)[number]

interface Fault {
  readonly path: RegExp
  left: number
  /** Undefined for no answer at all. */
  readonly answer: ((reply: Reply) => Reply) | undefined
}

export class FakeGoogle implements AsyncDisposable {
  readonly accounts: FakeAccounts
  readonly key = new FakeKey(KEY)
  readonly logins: LoginState
  /** Who may do what with the key. */
  readonly policy = new Map<string, Set<Permission>>()
  readonly requests: Request[] = []
  /** The location that the endpoint serves. */
  location = 'europe-west1'
  pageSize = 1_000
  /** What the place with subject tokens answers. */
  subjectAnswer: Reply = { status: 200, body: 'unset' }
  address = ''
  /** Called when a request came; what it returns, when its answer leaves. */
  onRequest: () => () => void = () => () => undefined
  readonly #now: () => number
  readonly #faults: Fault[] = []
  readonly #server = createServer((request, response) => void this.#serve(request, response))

  private constructor(now: () => number) {
    this.#now = now
    this.accounts = new FakeAccounts(now)
    this.logins = {
      accounts: this.accounts,
      now,
      instanceAccount: INSTANCE,
      flavor: 'Google',
      tokenSeconds: 3_600,
      subjectToken: 'unset',
      mayActAs: new Set(),
    }
    this.allow(INSTANCE)
    this.allow(FEDERATED)
    this.key.rotate(now())
  }

  /** @param now its clock, in milliseconds since the epoch */
  static async start(now: () => number = Date.now): Promise<FakeGoogle> {
    const fake = new FakeGoogle(now)
    fake.#server.listen(0, '127.0.0.1')
    await once(fake.#server, 'listening')
    fake.address = `http://127.0.0.1:${(fake.#server.address() as AddressInfo).port}`
    return fake
  }

  allow(account: string, permissions: readonly Permission[] = PERMISSIONS): void {
    this.policy.set(account, new Set(permissions))
  }

  /** The next `times` requests to a path get this instead of their answer. */
  fail(path: RegExp, reply: Reply, times = Number.POSITIVE_INFINITY): void {
    this.#faults.push({ path, left: times, answer: () => reply })
  }

  /** The next `times` answers from a path are changed on their way. */
  tamper(path: RegExp, answer: (reply: Reply) => Reply, times = Number.POSITIVE_INFINITY): void {
    this.#faults.push({ path, left: times, answer })
  }

  /** Requests to a path get no answer. */
  hang(path: RegExp): void {
    this.#faults.push({ path, left: Number.POSITIVE_INFINITY, answer: undefined })
  }

  /** How many requests came to a path. */
  count(path: RegExp): number {
    return this.requests.filter((request) => path.test(request.path)).length
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }

  async #serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const request = await received(incoming)
    this.requests.push(request)
    const answered = this.onRequest()
    // Gives others that are on their way the time to arrive.
    await setImmediate()
    const fault = this.#faults.find(({ path, left }) => left > 0 && path.test(request.path))
    if (fault !== undefined) fault.left -= 1
    if (fault !== undefined && fault.answer === undefined) return
    const reply = this.#route(request)
    const { status, body, headers } = fault?.answer?.(reply) ?? reply
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    answered()
    response.sendDate = false
    response.writeHead(status, {
      date: new Date(this.#now()).toUTCString(),
      'content-type': typeof body === 'string' ? 'text/html' : 'application/json; charset=UTF-8',
      ...headers,
    })
    response.end(text)
  }

  #route(request: Request): Reply {
    const { path } = request
    if (path.startsWith('/computeMetadata/')) return metadata(request, this.logins)
    if (path === '/v1/token') return sts(request, this.logins)
    if (path.startsWith('/v1/projects/-/')) return iamCredentials(request, this.logins)
    if (path.startsWith('/subject')) return this.subjectAnswer
    if (path.startsWith('/v1/projects/')) return this.#kms(request)
    return html(404)
  }

  #kms(request: Request): Reply {
    const account = this.accounts.whoIs(request.headers.authorization, 'cloudkms')
    if (account === undefined) {
      const message = 'Request had invalid authentication credentials.'
      return failure(401, 'UNAUTHENTICATED', message, [errorInfo('ACCESS_TOKEN_TYPE_UNSUPPORTED')])
    }
    const { key, location, versions, number, verb } = RESOURCE.exec(request.path)?.groups ?? {}
    if (location !== this.location) return invalid(`Location ${location} is not served here.`)
    const call = `${request.method} ${(versions ?? '').replace(/\d+/, 'N')}${verb ?? ''}`
    const permission = CALLS[call]
    if (permission === undefined) return html(404)
    if (key !== this.key.name || this.policy.get(account)?.has(permission) !== true) {
      const message = `Permission '${permission}' denied on resource '${key}' (or it may not exist).`
      return failure(403, 'PERMISSION_DENIED', message, [errorInfo('IAM_PERMISSION_DENIED')])
    }
    if (request.method === 'GET') return this.#read(call, request.query)
    return this.#use(request, number ?? this.key.primary)
  }

  #read(call: string, query: URLSearchParams): Reply {
    if (call === 'GET ') return this.key.get()
    const size = Math.min(Number(query.get('pageSize') ?? '100'), this.pageSize)
    return this.key.list(size, query.get('pageToken') ?? '')
  }

  #use({ headers, json, path }: Request, number: string | number | undefined): Reply {
    const isJson = headers['content-type'] === 'application/json'
    if (!isJson || typeof json !== 'object' || json === null) return invalid('Invalid JSON payload')
    const fields = Object.fromEntries(Object.entries(json))
    if (path.endsWith(':decrypt')) return this.key.decrypt(fields)
    return this.key.encrypt(Number(number), fields)
  }
}

const RESOURCE =
  /^\/v1\/(?<key>projects\/[^/]+\/locations\/(?<location>[^/]+)\/[^:]*?)(?<versions>\/cryptoKeyVersions(?:\/(?<number>\d+))?)?(?<verb>:\w+)?$/

const CALLS: Readonly<Record<string, Permission>> = {
  'GET ': 'cloudkms.cryptoKeys.get',
  'GET /cryptoKeyVersions': 'cloudkms.cryptoKeyVersions.list',
  'POST :encrypt': 'cloudkms.cryptoKeyVersions.useToEncrypt',
  'POST /cryptoKeyVersions/N:encrypt': 'cloudkms.cryptoKeyVersions.useToEncrypt',
  'POST :decrypt': 'cloudkms.cryptoKeyVersions.useToDecrypt',
}

async function received(incoming: IncomingMessage): Promise<Request> {
  let text = ''
  for await (const chunk of incoming) text += String(chunk)
  const { pathname, searchParams } = new URL(incoming.url ?? '', 'http://fake')
  const { method = '', headers, socket } = incoming
  const url = { path: pathname, query: searchParams, port: socket.remotePort }
  return { method, ...url, headers, text, json: jsonIn(text) }
}

function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
