/**
 * KMS, STS, instance metadata and container credentials of a fake AWS, on one address. It verifies
 * every signature, token and header, does real cryptography, and fails on demand in the ways that
 * AWS does.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { once } from 'node:events'
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http'
import * as v from 'valibot'
import {
  type FakeAnswer,
  type Fault,
  faulty,
  json,
  Refusal,
  refused,
  type Service,
} from './fake/answers.ts'
import { allows, type Facts } from './fake/iam.ts'
import { type Context, decrypt, encrypt, type FakeKey, FakeKeys, metadataOf } from './fake/keys.ts'
import { FakeMetadata } from './fake/metadata.ts'
import { type Principal, Principals } from './fake/principals.ts'
import { parseAuthorization, type SignedRequest } from './fake/signature.ts'
import { type FakeRole, sts } from './fake/sts.ts'

interface Seen {
  readonly service: Service
  readonly action: string
  readonly accessKeyId: string | undefined
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

const ACCOUNT = '111122223333'
export const REGION = 'eu-central-1'

const kmsBody = v.strictObject({
  KeyId: v.string(),
  Plaintext: v.optional(v.string()),
  CiphertextBlob: v.optional(v.string()),
  EncryptionContext: v.optional(v.record(v.string(), v.string()), {}),
  GrantTokens: v.optional(v.array(v.string())),
})

export class FakeAws {
  readonly keys: FakeKeys
  readonly principals: Principals
  readonly metadata: FakeMetadata
  readonly faults: Fault[] = []
  readonly seen: Seen[] = []
  /** The clock that dates answers and judges signatures. */
  now: () => number = () => Date.now()
  /** How long credentials live that are handed out from now on. */
  lifeMs = 3_600_000
  /** Requests under way at once, at most so far. */
  mostUnderWay = 0
  /** Every request waits for this. */
  gate: Promise<void> = Promise.resolve()
  #underWay = 0
  readonly #roles = new Map<string, FakeRole>()
  readonly #server = createServer((request, response) => {
    this.#handle(request, response).catch((error: unknown) => {
      response.writeHead(500).end(String(error))
    })
  })

  private constructor(region: string) {
    this.keys = new FakeKeys(region, ACCOUNT)
    this.principals = new Principals(region, () => this.now())
    this.metadata = new FakeMetadata((principal) =>
      this.principals.temporary(this.lifeMs, principal),
    )
  }

  static async start({ region = REGION } = {}): Promise<FakeAws> {
    const fake = new FakeAws(region)
    fake.#server.listen(0, '127.0.0.1')
    await once(fake.#server, 'listening')
    return fake
  }

  get address(): string {
    const at = this.#server.address()
    if (at === null || typeof at === 'string') throw new Error('Fake is not listening')
    return `http://127.0.0.1:${at.port}`
  }

  get containerUri(): string {
    return `${this.address}/v2/credentials/planted-container-path`
  }

  role(name: string, options: Partial<FakeRole>): FakeRole {
    const role = { arn: `arn:aws:iam::${ACCOUNT}:role/${name}`, trusts: [], ...options }
    this.#roles.set(role.arn, role)
    return role
  }

  fail(fault: Fault): Fault {
    this.faults.push(fault)
    return fault
  }

  actions(service: Service): string[] {
    return this.seen.filter((one) => one.service === service).map(({ action }) => action)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }

  async #handle(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const request = await readRequest(incoming)
    const service = serviceOf(request)
    const action = actionOf(service, request)
    const accessKeyId = parseAuthorization(request.headers['authorization'])?.accessKeyId
    this.seen.push({ service, action, accessKeyId, headers: incoming.headers, body: request.body })
    this.#underWay += 1
    this.mostUnderWay = Math.max(this.mostUnderWay, this.#underWay)
    await this.gate
    this.#underWay -= 1
    const fault = this.#takeFault(service, action)
    if (fault?.cut === true) {
      incoming.socket.destroy()
      return
    }
    const answer = fault === undefined ? this.#answer(service, action, request) : faulty(fault)
    response.setHeader('date', new Date(this.now()).toUTCString())
    response.writeHead(answer.status, { 'content-type': answer.type }).end(answer.body)
  }

  #takeFault(service: Service, action: string): Fault | undefined {
    const found = this.faults.find(
      (fault) =>
        fault.service === service && (fault.action ?? action) === action && (fault.times ?? 1) > 0,
    )
    if (found?.times !== undefined) found.times -= 1
    return found
  }

  #answer(service: Service, action: string, request: SignedRequest): FakeAnswer {
    if (service === 'imds') return this.metadata.instance(request)
    if (service === 'container') return this.metadata.container(request)
    try {
      if (service === 'kms') return this.#kms(action, request)
      return sts(action, request, this.#roles, this.principals, this.lifeMs)
    } catch (error) {
      if (error instanceof Refusal) return refused(service, error)
      throw error
    }
  }

  #kms(action: string, request: SignedRequest): FakeAnswer {
    if (request.headers['content-type'] !== 'application/x-amz-json-1.1') {
      throw new Refusal('SerializationException')
    }
    const principal = this.principals.authenticate('kms', request)
    const body = v.parse(v.pipe(v.string(), v.parseJson(), kmsBody), request.body)
    const key = this.keys.find(body.KeyId)
    this.#authorise(principal, action, key, body.EncryptionContext)
    if (body.GrantTokens?.includes('bad') === true) throw new Refusal('InvalidGrantTokenException')
    return json(kmsResult(action, key, body))
  }

  #authorise(who: Principal, action: string, key: FakeKey, context: Context): void {
    if (who.policy === undefined) return
    const names = Object.keys(context)
    const pairs = Object.entries(context).map(([name, value]) => [
      `kms:EncryptionContext:${name}`,
      value,
    ])
    const facts: Facts = {
      ...Object.fromEntries(pairs),
      'kms:EncryptionContextKeys': names.length === 0 ? undefined : names,
      'kms:ResourceAliases': this.keys.aliasesOf(key),
    }
    if (allows(who.policy, `kms:${action}`, key.arn, facts)) return
    const message = `User: planted-user is not authorized to perform: kms:${action}`
    throw new Refusal('AccessDeniedException', message)
  }
}

function kmsResult(action: string, key: FakeKey, body: v.InferOutput<typeof kmsBody>): object {
  const { EncryptionContext: context, Plaintext = '', CiphertextBlob = '' } = body
  if (action === 'DescribeKey') return { KeyMetadata: metadataOf(key, ACCOUNT) }
  const rest = { KeyId: key.arn, EncryptionAlgorithm: 'SYMMETRIC_DEFAULT' }
  if (action === 'Encrypt') {
    const made = encrypt(key, Buffer.from(Plaintext, 'base64'), context)
    return { CiphertextBlob: made.toString('base64'), ...rest }
  }
  const opened = decrypt(key, Buffer.from(CiphertextBlob, 'base64'), context)
  return { Plaintext: opened.toString('base64'), ...rest }
}

async function readRequest(incoming: IncomingMessage): Promise<SignedRequest> {
  let body = ''
  incoming.setEncoding('utf8')
  for await (const chunk of incoming) body += String(chunk)
  const { method = '', url = '' } = incoming
  const headers = Object.fromEntries(
    Object.entries(incoming.headers).map(([name, value]) => [name, String(value)]),
  )
  return { method, path: url, headers, body }
}

function serviceOf({ path, headers }: SignedRequest): Service {
  if (path.startsWith('/latest/')) return 'imds'
  if (path.startsWith('/v2/credentials/')) return 'container'
  return headers['x-amz-target'] === undefined ? 'sts' : 'kms'
}

function actionOf(service: Service, { path, headers, body }: SignedRequest): string {
  if (service === 'kms') return (headers['x-amz-target'] ?? '').replace(/^TrentService\./, '')
  if (service === 'sts') return new URLSearchParams(body).get('Action') ?? ''
  return path
}
