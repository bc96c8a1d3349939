/**
 * Answers as Vault and OpenBao word them. The texts are those that OpenBao 2.7.2
 * gave (see `test/services/vault/fake/real.node.test.ts`), or, where they are Vault
 * Enterprise's alone, those of its documentation.
 *
 * @module
 */

import { randomUUID } from 'node:crypto'

export interface Reply {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** Absent where the answer has no body. */
  readonly text?: string
}

export type JsonObject = Readonly<Record<string, unknown>>

/** What the server says of a request that is not refused outright; also the body of a batch with bad items. */
export function success(
  parts: { readonly data?: JsonObject | null; readonly auth?: JsonObject | null },
  { status = 200, warnings = null as readonly string[] | null, leaseDuration = 0 } = {},
): Reply {
  const { data = null, auth = null } = parts
  return json(status, {
    request_id: randomUUID(),
    lease_id: '',
    renewable: false,
    lease_duration: leaseDuration,
    data,
    wrap_info: null,
    warnings,
    auth,
  })
}

export function failure(status: number, ...errors: readonly string[]): Reply {
  return json(status, { errors })
}

/** As the server wraps what one of its engines failed with. */
export function wrapped(status: number, text: string): Reply {
  return failure(status, `1 error occurred:\n\t* ${text}\n\n`)
}

/** For a missing or dead token, and for a login at a mount that is not there. */
export const noToken = (): Reply => failure(403, 'permission denied')

/** For a live token whose policy does not say yes. */
export const denied = (): Reply => wrapped(403, 'permission denied')

export const sealed = (): Reply => failure(503, 'Vault is sealed')

/** A standby that should forward and knows of no active node. */
export const noActiveNode = (): Reply =>
  failure(500, 'local node not active but active cluster node not found')

/** The warning about keys that an endpoint does not know; it serves the request all the same. */
export function ignoredFields(
  body: JsonObject,
  known: readonly string[],
): readonly string[] | null {
  const unknown = Object.keys(body).filter((name) => !known.includes(name))
  if (unknown.length === 0) return null
  return [`Endpoint ignored these unrecognized parameters: [${unknown.join(' ')}]`]
}

export function json(status: number, body: unknown): Reply {
  return { status, headers: { 'content-type': 'application/json' }, text: JSON.stringify(body) }
}
