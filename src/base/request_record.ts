/**
 * What one request did, written down on its way by those that it passes. It travels with the
 * request's {@link Call}, and is made only where the audit stream or traces want it.
 *
 * Nothing in it is secret: no key material, plaintext, ciphertext, claim, token or answer of a service.
 *
 * @module
 */

import type { Clock } from './clock.ts'
import { type KmsErrorCode, toKmsError } from './errors.ts'
import type { KmsEvent } from './events.ts'
import type { Operation } from './gate.ts'

/** What is known of a request from its message alone. */
export interface RequestFacts {
  /** The API server's id of the request, as it came. */
  uid?: string
  keyId?: string
}

export interface RequestRecord extends RequestFacts {
  /** W3C trace context that came with the request, as it came. */
  readonly traceparent: string | undefined
  /** Each time a key was asked for, in order. */
  readonly uses: KeyUseRecord[]
  /** Each rule that did not pass. */
  readonly decisions: DecisionRecord[]
}

/** One item at one provider; from when it was handed over until its own answer was there. */
export interface KeyUseRecord {
  readonly request: RequestRecord
  readonly provider: string
  readonly operation: 'wrap' | 'unwrap' | 'sign'
  readonly keyVersion: string
  /** In `Clock.monotonic` milliseconds. */
  readonly start: number
  durationMs: number
  /** Undefined while it is under way. */
  code: KmsErrorCode | 'ok' | undefined
  /** The call to the key service that carried it; undefined where it never left. */
  batch: BatchRecord | undefined
}

/** One call to a key service, which may carry items of many requests. */
export interface BatchRecord {
  /** Those that wait for it, the one that came first at the head. */
  readonly uses: readonly KeyUseRecord[]
}

type DecisionRecord = Pick<
  Extract<KmsEvent, { type: 'policy' }>,
  'rule' | 'mode' | 'outcome' | 'provider'
> & { readonly operation: Operation }

export function newRecord(traceparent: string | undefined): RequestRecord {
  return { traceparent, uses: [], decisions: [] }
}

/** Runs `work` and writes down what became of it. */
export async function recorded<T>(
  request: RequestRecord,
  about: Pick<KeyUseRecord, 'provider' | 'operation' | 'keyVersion'>,
  clock: Clock,
  work: (use: KeyUseRecord) => Promise<T>,
): Promise<T> {
  const start = clock.monotonic()
  const use: KeyUseRecord = {
    request,
    ...about,
    start,
    durationMs: 0,
    code: undefined,
    batch: undefined,
  }
  request.uses.push(use)
  const end = (code: KmsErrorCode | 'ok') => {
    use.durationMs = clock.monotonic() - start
    use.code = code
  }
  try {
    const done = await work(use)
    end('ok')
    return done
  } catch (error) {
    end(toKmsError(error).code)
    throw error
  }
}
