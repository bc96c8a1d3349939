/**
 * The part of etcd that reading needs, over gRPC with or without TLS. It remembers what was asked.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { type handleUnaryCall, Server, ServerCredentials } from '@grpc/grpc-js'
import {
  type RangeRequest,
  RangeRequestSchema,
  RangeResponseSchema,
} from '../../../src/tools/etcd/range_pb.ts'

interface FakeEtcd extends AsyncDisposable {
  readonly endpoint: string
  readonly requests: RangeRequest[]
}

const PATH = '/etcdserverpb.KV/Range'
const REVISION = 1_234n

export async function startFakeEtcd(
  objects: ReadonlyMap<string, Uint8Array>,
  tls?: { readonly cert: Buffer; readonly key: Buffer },
): Promise<FakeEtcd> {
  const requests: RangeRequest[] = []
  const sorted = [...objects]
    .map(([key, value]) => ({ key: Buffer.from(key), value, modRevision: 1n }))
    .sort((a, b) => a.key.compare(b.key))
  const range: handleUnaryCall<Buffer, Uint8Array> = ({ request: bytes }, callback) => {
    const request = fromBinary(RangeRequestSchema, bytes)
    requests.push(request)
    const within = sorted.filter(
      ({ key }) => key.compare(request.key) >= 0 && key.compare(request.rangeEnd) < 0,
    )
    const kvs = request.countOnly ? [] : within.slice(0, Number(request.limit))
    const answer = create(RangeResponseSchema, {
      header: { revision: REVISION },
      kvs,
      more: kvs.length < within.length,
      count: BigInt(within.length),
    })
    callback(null, toBinary(RangeResponseSchema, answer))
  }
  const server = new Server()
  const method = {
    path: PATH,
    requestStream: false,
    responseStream: false,
    requestSerialize: (bytes: Buffer) => bytes,
    requestDeserialize: (bytes: Buffer) => bytes,
    responseSerialize: (bytes: Uint8Array) => Buffer.from(bytes),
    responseDeserialize: (bytes: Buffer) => bytes,
  } as const
  server.addService({ range: method }, { range })
  const port = await new Promise<number>((resolve, reject) => {
    const credentials =
      tls === undefined
        ? ServerCredentials.createInsecure()
        : ServerCredentials.createSsl(null, [{ cert_chain: tls.cert, private_key: tls.key }])
    server.bindAsync('127.0.0.1:0', credentials, (error, bound) => {
      if (error === null) resolve(bound)
      else reject(error)
    })
  })
  return {
    endpoint: `http${tls === undefined ? '' : 's'}://127.0.0.1:${port}`,
    requests,
    [Symbol.asyncDispose]() {
      server.forceShutdown()
      return Promise.resolve()
    },
  }
}
