/** A gRPC service of which an input says what it answers, in place of a connection. @module */

import type { Buffer } from 'node:buffer'
import { Client, type ClientUnaryCall, type requestCallback, status } from '@grpc/grpc-js'

/** The bytes of a message, or a status; undefined for silence. */
type Answer = { readonly bytes: Buffer } | { readonly code: number; readonly details: string }

const { makeUnaryRequest } = Client.prototype

/** Until it is disposed of, no client of gRPC in this thread reaches anybody. */
export class PlayedAgent implements Disposable {
  answer: Answer | undefined

  constructor() {
    const answer = () => this.answer
    const call = (...args: unknown[]) => answered(args, answer())
    Client.prototype.makeUnaryRequest = call as typeof makeUnaryRequest
  }

  [Symbol.dispose](): void {
    Client.prototype.makeUnaryRequest = makeUnaryRequest
  }
}

/** As grpc-js does: what cannot be made of the bytes is its own error. */
function answered(args: readonly unknown[], answer: Answer | undefined): ClientUnaryCall {
  const deserialize = args[2] as (bytes: Buffer) => unknown
  const callback = args.at(-1) as requestCallback<unknown>
  let isOver = false
  const end = (error: { code: number; details: string } | null, value?: unknown) => {
    if (isOver) return
    isOver = true
    callback(error === null ? null : (Object.assign(new Error('Played'), error) as never), value)
  }
  queueMicrotask(() => {
    if (answer === undefined) return
    if ('bytes' in answer) end(null, deserialize(answer.bytes))
    else end(answer)
  })
  const cancel = () => end({ code: status.CANCELLED, details: 'Cancelled on client' })
  return { cancel } as ClientUnaryCall
}
