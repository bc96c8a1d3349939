/** Instance metadata (version 2 alone) and the credentials of containers. @module */

import { randomBytes } from 'node:crypto'
import { type FakeAnswer, isoSeconds, json, plain } from './answers.ts'
import type { Principal, Temporary } from './principals.ts'
import type { SignedRequest } from './signature.ts'

const ROLE = 'control-plane'
const FOLDER = '/latest/meta-data/iam/security-credentials/'

export class FakeMetadata {
  /** False for an instance without a role. */
  hasRole = true
  /** What the container endpoint wants as `Authorization`. */
  containerToken = `planted-container-token-${randomBytes(8).toString('hex')}`
  /** What the credentials that are handed out stand for. */
  principal: Pick<Principal, 'role' | 'policy'> = {}
  readonly #tokens = new Set<string>()
  readonly #make: (principal: FakeMetadata['principal']) => Temporary

  constructor(make: (principal: FakeMetadata['principal']) => Temporary) {
    this.#make = make
  }

  instance(request: SignedRequest): FakeAnswer {
    if (request.path === '/latest/api/token') return this.#token(request)
    const { path, headers } = request
    if (!this.#tokens.has(headers['x-aws-ec2-metadata-token'] ?? '')) return plain(401, '')
    if (this.hasRole && path === FOLDER) return plain(200, ROLE)
    if (!this.hasRole || path !== `${FOLDER}${ROLE}`) return plain(404, 'Not Found')
    return json({ Code: 'Success', Type: 'AWS-HMAC', ...this.#credentials() })
  }

  container({ headers }: SignedRequest): FakeAnswer {
    if (headers['authorization'] !== this.containerToken) return plain(401, 'Unauthorized')
    return json({ RoleArn: 'TASK_ROLE', ...this.#credentials() })
  }

  #token({ method, headers }: SignedRequest): FakeAnswer {
    const seconds = Number(headers['x-aws-ec2-metadata-token-ttl-seconds'])
    if (method !== 'PUT' || !(seconds >= 1 && seconds <= 21_600)) return plain(400, 'Bad Request')
    const token = `planted-imds-token-${randomBytes(12).toString('hex')}`
    this.#tokens.add(token)
    return plain(200, token)
  }

  #credentials(): object {
    const made = this.#make(this.principal)
    return {
      AccessKeyId: made.accessKeyId,
      SecretAccessKey: made.secretAccessKey,
      Token: made.sessionToken,
      Expiration: isoSeconds(made.expiresAt),
    }
  }
}
