/** What the rules of a signer share: a client, its answers, and one Sign that most rules look at. @module */

import { Buffer } from 'node:buffer'
import { createPublicKey, type KeyObject, randomUUID } from 'node:crypto'
import { RpcError } from '../../grpc/client.ts'
import { connectSigner } from '../../grpc/signer_client.ts'
import { codeOf } from './probe.ts'
import { Broken, needed } from './rule.ts'

type Client = ReturnType<typeof connectSigner>
type Keys = Awaited<ReturnType<Client['fetchKeys']>>

/** A part of a token. */
export const SEGMENT = /^[\w-]+$/

interface Signed {
  /** The second segment of the token. */
  readonly claims: string
  /** The other two. */
  readonly header: string
  readonly signature: string
}

export class SignerProbe implements Disposable {
  readonly #client: Client
  /** Every error that the signer answered. */
  readonly errors: RpcError[] = []
  readonly claims: string[] = []
  #keys: Promise<Keys> | undefined
  #sample: Promise<Signed> | undefined

  constructor(path: string, timeoutMs: number) {
    this.#client = connectSigner(path, { timeoutMs })
  }

  [Symbol.dispose](): void {
    this.#client.close()
  }

  metadata() {
    return this.#asked(() => this.#client.metadata())
  }

  fetchKeys(): Promise<Keys> {
    return this.#asked(() => this.#client.fetchKeys())
  }

  async sign(claims = uselessClaims()): Promise<Signed> {
    this.claims.push(claims)
    const { header, signature } = await this.#asked(() => this.#client.sign(claims))
    return { claims, header, signature }
  }

  /** The one answer that most rules look at. */
  firstKeys(): Promise<Keys> {
    this.#keys ??= this.fetchKeys()
    return this.#keys
  }

  /** The same, for rules that are not about whether there is one. */
  keys(): Promise<Keys> {
    return needed('a FetchKeys that works (J2)', this.firstKeys())
  }

  firstSign(): Promise<Signed> {
    this.#sample ??= this.sign()
    return this.#sample
  }

  sample(): Promise<Signed> {
    return needed('a Sign that works (J10)', this.firstSign())
  }

  async #asked<T>(run: () => Promise<T>): Promise<T> {
    try {
      return await run()
    } catch (cause) {
      if (!(cause instanceof RpcError)) {
        throw new Broken('the answer is not a message of this API', { cause })
      }
      this.errors.push(cause)
      throw cause
    }
  }
}

/** A call that must work. */
export function refused(what: string) {
  return (cause: unknown) => {
    if (cause instanceof Broken) throw cause
    throw new Broken(`${what} answered ${codeOf(cause)}`, { cause })
  }
}

/** The fields of a header, or undefined for what is none. */
export function headerOf({ header }: Signed): Readonly<Record<string, unknown>> | undefined {
  if (!SEGMENT.test(header)) return undefined
  try {
    const fields: unknown = JSON.parse(Buffer.from(header, 'base64url').toString())
    return typeof fields === 'object' && fields !== null ? { ...fields } : undefined
  } catch {
    return undefined
  }
}

/** Undefined for what is no public key in SubjectPublicKeyInfo. */
export function publicKeyOf(spki: Uint8Array): KeyObject | undefined {
  try {
    return createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
  } catch {
    return undefined
  }
}

/** Nobody takes a token of them: it ended in 1970, and is of no issuer and for no audience that there is. */
function uselessClaims(): string {
  const nobody = 'trousseau-check.invalid'
  const claims = { iss: nobody, aud: [nobody], sub: nobody, iat: 0, exp: 1, jti: randomUUID() }
  return Buffer.from(JSON.stringify(claims)).toString('base64url')
}
