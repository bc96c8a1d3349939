/**
 * Reads the objects of a running etcd a page at a time, all at one revision, so that the result is
 * one state of the cluster however long it takes. It never writes.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import { KmsError } from '../../base/errors.ts'
import { RangeRequestSchema, type RangeResponse, RangeResponseSchema } from './range_pb.ts'
import type { ObjectSource, StoredObject } from './source.ts'

/** An answer of etcd whose status is not OK. */
export interface EtcdRefusal {
  /** The name of the status, such as `PERMISSION_DENIED`. */
  readonly status: string
  /** The server's own words, or the reason why there are none. */
  readonly details: string
}

/** Sends bytes to etcd; `src/tools/etcd/client.ts` implements it. */
export interface Transport {
  /** @throws KmsError `unavailable` */
  call(path: string, request: Uint8Array): Promise<Uint8Array | EtcdRefusal>
}

interface Range {
  readonly start: Uint8Array
  readonly end: Uint8Array
}

const PATH = '/etcdserverpb.KV/Range'
/** The length that a page should have, unless a single object is longer. */
const PAGE_BYTES = 4 * 1024 * 1024
const FIRST_LIMIT = 500
const MAX_LIMIT = 10_000
const STEP = 4
/** The character after a slash, which ends the range below a prefix. */
const AFTER_SLASH = '0'

/**
 * @param prefix of the API server, without a slash at its end
 * @throws KmsError `unavailable`, `denied`, `protocol`
 */
export async function openRange(transport: Transport, prefix: string): Promise<ObjectSource> {
  const range = { start: Buffer.from(`${prefix}/`), end: Buffer.from(`${prefix}${AFTER_SLASH}`) }
  const first = await ask(transport, { key: range.start, rangeEnd: range.end, countOnly: true })
  if (first === 'too long') throw wrong('more than the number of keys')
  const revision = first.header?.revision ?? 0n
  if (revision === 0n) throw wrong('no revision')
  return {
    revision,
    count: Number(first.count),
    pages: () => pages(transport, range, revision),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}

async function* pages(
  transport: Transport,
  { start, end }: Range,
  revision: bigint,
): AsyncGenerator<readonly StoredObject[]> {
  let key = start
  let limit = FIRST_LIMIT
  for (;;) {
    const request = { key, rangeEnd: end, limit: BigInt(limit), revision }
    const answer = await ask(transport, request)
    if (answer === 'too long') {
      limit = smaller(limit)
      continue
    }
    yield answer.kvs
    if (!answer.more) return
    key = after(answer.kvs.at(-1)?.key, key)
    limit = limitAfter(answer.kvs, limit)
  }
}

function smaller(limit: number): number {
  if (limit === 1) throw wrong('an object that is too long')
  return Math.ceil(limit / STEP)
}

function after(last: Uint8Array | undefined, asked: Uint8Array): Buffer {
  if (last === undefined || Buffer.compare(last, asked) < 0) throw wrong('the same keys again')
  return Buffer.concat([last, Uint8Array.of(0)])
}

/**
 * Estimated from the length of these objects. The next ones may be longer, so the limit grows step
 * by step.
 */
function limitAfter(kvs: readonly StoredObject[], limit: number): number {
  const bytes = kvs.reduce((sum, { value }) => sum + value.length, 1)
  const fitting = Math.floor((PAGE_BYTES / bytes) * kvs.length)
  return Math.max(Math.min(fitting, limit * STEP, MAX_LIMIT), 1)
}

async function ask(
  transport: Transport,
  request: MessageInitShape<typeof RangeRequestSchema>,
): Promise<RangeResponse | 'too long'> {
  const bytes = toBinary(RangeRequestSchema, create(RangeRequestSchema, request))
  const answer = await transport.call(PATH, bytes)
  if (!(answer instanceof Uint8Array)) {
    if (/larger than (?:the )?max/.test(answer.details)) return 'too long'
    throw refusal(answer)
  }
  try {
    return fromBinary(RangeResponseSchema, answer, { readUnknownFields: false })
  } catch (cause) {
    throw wrong('no message of its API', cause)
  }
}

const NOT_ALLOWED = ['PERMISSION_DENIED', 'UNAUTHENTICATED']

function refusal({ status, details }: EtcdRefusal): KmsError {
  if (status === 'OUT_OF_RANGE' && details.includes('compacted')) {
    return new KmsError(
      'etcd no longer has the revision that was being read: kube-apiserver lets it forget old ones every few minutes. Run it again, or on a file that "etcdctl snapshot save" wrote',
      { code: 'unavailable' },
    )
  }
  // When etcd has users and the client's certificate names none of them, it answers "invalid
  // argument".
  if (NOT_ALLOWED.includes(status) || details.includes('user name is empty')) {
    return new KmsError(
      'etcd does not let this client read the keys: use the certificate of kube-apiserver (--etcd-certfile), or one whose user may read them',
      { code: 'denied' },
    )
  }
  return wrong(`${status}${/^[ -~]{1,200}$/.test(details) ? `, ${details}` : ''}`)
}

function wrong(what: string, cause?: unknown): KmsError {
  return new KmsError(`etcd answered with ${what}`, { code: 'protocol', cause })
}
