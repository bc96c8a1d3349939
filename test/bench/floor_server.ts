/**
 * The lower bound: grpc-js on a unix socket with the messages of KMS v2 and nothing behind them.
 * Its ciphertext is the plaintext.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import process from 'node:process'
import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf'
import { type handleUnaryCall, Server, ServerCredentials } from '@grpc/grpc-js'
import { METHODS, type Method } from '../../src/grpc/client.ts'

const KEY_ID = 'floor'

type Answer<O extends DescMessage> = MessageInitShape<O>

function unary<I extends DescMessage, O extends DescMessage>(
  { path, input, output }: Method<I, O>,
  answer: (request: MessageShape<I>) => Answer<O>,
) {
  const handle: handleUnaryCall<MessageShape<I>, MessageShape<O>> = ({ request }, reply) =>
    reply(null, create(output, answer(request)))
  return {
    method: {
      path,
      requestStream: false,
      responseStream: false,
      requestDeserialize: (bytes: Buffer) => fromBinary(input, bytes),
      requestSerialize: (message: MessageShape<I>) => Buffer.from(toBinary(input, message)),
      responseDeserialize: (bytes: Buffer) => fromBinary(output, bytes),
      responseSerialize: (message: MessageShape<O>) => Buffer.from(toBinary(output, message)),
    },
    handle,
  }
}

const { status, encrypt, decrypt } = METHODS.v2
const Status = unary(status, () => ({ version: 'v2', healthz: 'ok', keyId: KEY_ID }))
const Encrypt = unary(encrypt, ({ plaintext }) => ({ ciphertext: plaintext, keyId: KEY_ID }))
const Decrypt = unary(decrypt, ({ ciphertext }) => ({ plaintext: ciphertext }))

const server = new Server()
server.addService(
  { Status: Status.method, Encrypt: Encrypt.method, Decrypt: Decrypt.method },
  { Status: Status.handle, Encrypt: Encrypt.handle, Decrypt: Decrypt.handle },
)
server.bindAsync(`unix:${process.argv[2]}`, ServerCredentials.createInsecure(), (error) => {
  if (error !== null) throw error
})
process.once('SIGTERM', () => server.tryShutdown(() => process.exit(0)))
