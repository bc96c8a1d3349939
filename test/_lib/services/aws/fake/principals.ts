/** Who may ask the fake, and whether a request is really theirs. @module */

import { randomBytes } from 'node:crypto'
import { Refusal } from './answers.ts'
import {
  type Authorization,
  parseAmzDate,
  parseAuthorization,
  type SignedRequest,
  signatureOf,
  unsignedHeaders,
} from './signature.ts'

export interface Principal {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string | undefined
  /** Milliseconds since the epoch by the fake's clock. */
  readonly expiresAt?: number | undefined
  /** IAM policy; everything is allowed where absent. */
  readonly policy?: string | undefined
  /** ARN of the role that it stands for. */
  readonly role?: string | undefined
}

export type Temporary = Principal & { readonly sessionToken: string; readonly expiresAt: number }

const TOLERANCE_MS = 300_000

/** The same failure by its name in the service's own protocol. */
const NAMES = {
  unknown: { kms: 'UnrecognizedClientException', sts: 'InvalidClientTokenId' },
  expired: { kms: 'ExpiredTokenException', sts: 'ExpiredToken' },
  signature: { kms: 'InvalidSignatureException', sts: 'SignatureDoesNotMatch' },
} as const

export class Principals {
  readonly all = new Map<string, Principal>()
  readonly #region: string
  readonly #now: () => number

  constructor(region: string, now: () => number) {
    this.#region = region
    this.#now = now
  }

  /** A user with keys that do not end. */
  user(options: Partial<Principal> = {}): Principal {
    return this.#add({ ...keys('AKIA'), ...options })
  }

  temporary(lifeMs: number, options: Partial<Principal> = {}): Temporary {
    const sessionToken = `planted-session/${randomBytes(12).toString('base64')}`
    const expiresAt = this.#now() + lifeMs
    return this.#add({ ...keys('ASIA'), ...options, sessionToken, expiresAt })
  }

  authenticate(service: 'kms' | 'sts', request: SignedRequest): Principal {
    const given = parseAuthorization(request.headers['authorization'])
    if (given === undefined) throw new Refusal('MissingAuthenticationTokenException')
    this.#checkScope(service, request, given)
    const principal = this.all.get(given.accessKeyId)
    if (principal?.sessionToken !== request.headers['x-amz-security-token'] || !principal) {
      throw new Refusal(NAMES.unknown[service])
    }
    if ((principal.expiresAt ?? Number.POSITIVE_INFINITY) <= this.#now()) {
      throw new Refusal(NAMES.expired[service])
    }
    if (signatureOf(request, given, principal.secretAccessKey) !== given.signature) {
      throw new Refusal(NAMES.signature[service])
    }
    return principal
  }

  #checkScope(service: 'kms' | 'sts', request: SignedRequest, given: Authorization): void {
    const bad = (message: string) => new Refusal(NAMES.signature[service], message)
    const date = request.headers['x-amz-date'] ?? ''
    const skew = Math.abs(parseAmzDate(date) - this.#now())
    if (!(skew <= TOLERANCE_MS)) throw bad(`Signature expired: ${date} is now earlier than …`)
    if (given.day !== date.slice(0, 8) || given.service !== service) throw bad('Scope is wrong')
    if (given.region !== this.#region) {
      throw bad(`Credential should be scoped to a valid region, not '${given.region}'`)
    }
    const missing = unsignedHeaders(request, given.signedHeaders)
    if (missing.length > 0) throw bad(`Not signed: ${missing.join(', ')}`)
  }

  #add<T extends Principal>(principal: T): T {
    this.all.set(principal.accessKeyId, principal)
    return principal
  }
}

function keys(prefix: string) {
  return {
    accessKeyId: `${prefix}${randomBytes(8).toString('hex').toUpperCase()}`,
    secretAccessKey: `planted-secret-${randomBytes(12).toString('hex')}`,
  }
}
