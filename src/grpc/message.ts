/** Converts messages between bytes and types, and says in words what is wrong. @module */

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

/**
 * Our own answer would break the protocol. An error is better than an answer that the API server
 * must not store.
 */
export function wrongAnswer(what: string): KmsError {
  return new KmsError(`Answer would break the protocol: ${what}`, { code: 'internal' })
}

/**
 * For the plaintext of an Encrypt that has its answer: whoever was not waited for may still use it,
 * and what that makes goes nowhere. Never for one of a Decrypt, since equal ones under way share
 * their bytes.
 */
export function wipe(plaintext: Bytes): void {
  plaintext.fill(0)
}
