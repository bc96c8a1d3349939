/** Who may do what, and the tokens that say who asks. @module */

import { Buffer } from 'node:buffer'
import { generateKeyPairSync, type KeyObject, randomBytes, verify } from 'node:crypto'
import * as v from 'valibot'

export const SCOPES = {
  cloudkms: 'https://www.googleapis.com/auth/cloudkms',
  platform: 'https://www.googleapis.com/auth/cloud-platform',
} as const

type Service = 'cloudkms' | 'iamcredentials'

interface Issued {
  readonly account: string
  readonly scope: string
  /** Milliseconds since the epoch. */
  readonly expiresAt: number
}

const SCOPES_OF: Readonly<Record<Service, readonly string[]>> = {
  cloudkms: [SCOPES.cloudkms, SCOPES.platform],
  iamcredentials: [SCOPES.platform],
}
const CLOCK_SKEW_S = 10
const MAX_LIFE_S = 3_600

const header = v.strictObject({ alg: v.literal('RS256'), typ: v.literal('JWT'), kid: v.string() })
const claims = v.strictObject({
  iss: v.string(),
  sub: v.string(),
  aud: v.string(),
  iat: v.number(),
  exp: v.number(),
})

export class FakeAccounts {
  readonly #now: () => number
  readonly #tokens = new Map<string, Issued>()
  /** By account and id. */
  readonly #keys = new Map<string, KeyObject>()

  constructor(now: () => number) {
    this.#now = now
  }

  issue(account: string, scope: string, seconds: number): string {
    const value = `ya29.${randomBytes(18).toString('base64url')}`
    this.#tokens.set(value, { account, scope, expiresAt: this.#now() + seconds * 1000 })
    return value
  }

  /** All tokens so far are worth nothing any more. */
  revoke(): void {
    this.#tokens.clear()
  }

  /** A key file as the console hands it out. */
  makeKey(account: string, type: 'rsa' | 'ec' = 'rsa'): Record<string, string> {
    const { publicKey, privateKey } =
      type === 'rsa'
        ? generateKeyPairSync('rsa', { modulusLength: 2048 })
        : generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const id = randomBytes(20).toString('hex')
    this.#keys.set(`${account} ${id}`, publicKey)
    return {
      type: 'service_account',
      project_id: 'acme-prod',
      private_key_id: id,
      private_key: String(privateKey.export({ type: 'pkcs8', format: 'pem' })),
      client_email: account,
      client_id: '1',
      token_uri: 'https://oauth2.googleapis.com/token',
      universe_domain: 'googleapis.com',
    }
  }

  deleteKeys(): void {
    this.#keys.clear()
  }

  /** The account that a header stands for, at one service; undefined for a header that is worth nothing. */
  whoIs(authorization: string | undefined, service: Service): string | undefined {
    const token = /^Bearer ([\w.~+/=-]+)$/.exec(authorization ?? '')?.[1] ?? ''
    if (token.startsWith('ey')) return this.#signer(token, service)
    const issued = this.#tokens.get(token)
    if (issued === undefined || this.#now() >= issued.expiresAt) return undefined
    return SCOPES_OF[service].includes(issued.scope) ? issued.account : undefined
  }

  #signer(jwt: string, service: Service): string | undefined {
    const [head = '', body = '', signature = ''] = jwt.split('.')
    const { kid } = v.parse(header, decoded(head))
    const { iss, sub, aud, iat, exp } = v.parse(claims, decoded(body))
    const key = this.#keys.get(`${iss} ${kid}`)
    if (key === undefined) return undefined
    const signed = Buffer.from(`${head}.${body}`)
    const now = this.#now() / 1000
    const good =
      verify('RSA-SHA256', signed, key, Buffer.from(signature, 'base64url')) &&
      sub === iss &&
      aud === `https://${service}.googleapis.com/` &&
      exp - iat <= MAX_LIFE_S &&
      iat <= now + CLOCK_SKEW_S &&
      exp > now
    return good ? iss : undefined
  }
}

function decoded(part: string): unknown {
  return JSON.parse(Buffer.from(part, 'base64url').toString())
}
