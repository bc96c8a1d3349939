/** Calls a handler without a socket. @module */

import type { ServerUnaryCall } from '@grpc/grpc-js'
import type { Bytes, UnaryHandler } from '../../../src/grpc/unary.ts'

/** With what grpc-js hands over, as far as a handler looks at it; resolves once it has answered. */
export function called(handler: UnaryHandler, request: Uint8Array): Promise<void> {
  const call = {
    request,
    metadata: { get: () => [] },
    getDeadline: () => Number.POSITIVE_INFINITY,
    on: () => call,
  } as unknown as ServerUnaryCall<Bytes, Bytes>
  return new Promise((resolve) => {
    handler(call, () => resolve())
  })
}
