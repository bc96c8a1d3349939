/**
 * The key id: the public name of everything that decides what the next Encrypt
 * produces (docs/envelope.md, "Key id"). Equal on every node that has the same
 * protection, also after restarts, and unchanged by credentials, addresses or software
 * versions.
 *
 * @module
 */

import { createHash } from 'node:crypto'

/** One provider's part in a key id. */
export interface Member {
  readonly providerId: string
  /** The key version that wraps. */
  readonly version: string
  /** Seconds since the epoch by the service's clock; 0 where it does not tell. */
  readonly createdAt: number
}

/** How a plaintext is spread over providers, and how many of them are needed to get it back. */
export interface Scheme {
  readonly scheme: 'any' | 'threshold'
  /** 1 for `any`. */
  readonly k: number
}

/** Everything from which a key id is computed. `members` are sorted by provider id. */
export interface KeyIdInputs extends Scheme {
  readonly format: number
  readonly members: readonly Member[]
  /** Thumbprints of the recovery recipients, sorted: 43 characters of base64url each. */
  readonly recipients: readonly string[]
}

const DOMAIN = 'trousseau key id 1\n'
const LABEL_CHARACTERS = 12

/**
 * `tr1-any-v3-` or `tr1-2of3-v3+v1+v7-` and 43 characters of digest: format, scheme
 * and versions for people, the digest for everything. The form is part of
 * docs/envelope.md; a change of it is a rotation for every cluster.
 */
export function keyIdOf({ format, scheme, k, members, recipients }: KeyIdInputs): string {
  const listed = members.map(({ providerId, version, createdAt }) => [
    providerId,
    version,
    createdAt,
  ])
  const stated = [format, scheme, k, listed, ...(recipients.length === 0 ? [] : [recipients])]
  const digest = createHash('sha256')
    .update(DOMAIN)
    .update(JSON.stringify(stated))
    .digest('base64url')
  const spread = scheme === 'any' ? 'any' : `${k}of${members.length}`
  const labels = members.map(({ version }) => `v${readable(version)}`).join('+')
  return `tr${format}-${spread}-${labels}-${digest}`
}

export function byProviderId(a: Member, b: Member): number {
  if (a.providerId === b.providerId) return 0
  return a.providerId < b.providerId ? -1 : 1
}

/** A label is the service's own text; only what is safe in logs and metrics is shown of it. */
function readable(label: string): string {
  return label.replaceAll(/[^A-Za-z0-9._]/g, '_').slice(0, LABEL_CHARACTERS)
}
