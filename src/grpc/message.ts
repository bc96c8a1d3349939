/** Messages between bytes and types, with what is wrong said in words. @module */

import { type DescMessage, fromBinary, type MessageShape } from '@bufbuild/protobuf'
import { KmsError } from '../base/errors.ts'
import type { Bytes } from './unary.ts'

/** @throws KmsError `request_invalid` */
export function decodeRequest<T extends DescMessage>(schema: T, bytes: Bytes): MessageShape<T> {
  try {
    return fromBinary(schema, bytes)
  } catch (cause) {
    const message = `Request is not a ${schema.typeName} message`
    throw new KmsError(message, { code: 'request_invalid', cause })
  }
}

export function requestInvalid(message: string): KmsError {
  return new KmsError(message, { code: 'request_invalid' })
}

/** Something of ours would break the protocol: better no answer than one the API server must not store. */
export function wrongAnswer(what: string): KmsError {
  return new KmsError(`Answer would break the protocol: ${what}`, { code: 'internal' })
}
