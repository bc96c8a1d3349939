/** Single items through a provider of type `gcpkms`, and errors that hold nothing they must not. @module */

import { Buffer } from 'node:buffer'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { KmsError } from '../../../../src/base/errors.ts'
import type { Outcome } from '../../../../src/base/provider.ts'
import { rejection } from '../../uvu.ts'
import { GOOGLES_WORDS, type Reply } from './fake/reply.ts'
import type { GoogleSetup } from './setup.ts'

export const ITEM = {
  plaintext: Buffer.from('planted-secret-plaintext'),
  associatedData: Buffer.alloc(32, 9),
}

export async function wrapOne({ provider, limited }: GoogleSetup, version = '1') {
  const [outcome] = await limited((call) => provider.wrap(version, [ITEM], call))
  if (outcome === undefined) throw new Error('No outcome')
  return outcome
}

export async function unwrapOne(
  { provider, limited }: GoogleSetup,
  bytes: Uint8Array,
  associatedData: Uint8Array = ITEM.associatedData,
) {
  const item = { version: '1', bytes, associatedData }
  const [outcome] = await limited((call) => provider.unwrap([item], call))
  if (outcome === undefined) throw new Error('No outcome')
  return outcome
}

export function valueIn(outcome: Outcome<Uint8Array>): Uint8Array {
  if (!outcome.ok) throw outcome.error
  return outcome.value
}

/** The error of an outcome, which holds nothing that it must not. */
export function errorIn(outcome: Outcome<Uint8Array>): KmsError {
  if (outcome.ok) throw new Error('Expected a failure')
  return harmless(outcome.error)
}

export function harmless(error: unknown): KmsError {
  assert.instance(error, KmsError)
  const { message, stack } = error as KmsError
  const base64 = ITEM.plaintext.toString('base64')
  for (const secret of [GOOGLES_WORDS, 'planted', base64, 'ya29.', 'Bearer']) {
    assert.not.ok(`${message} ${stack}`.includes(secret), `no ${secret} in: ${message}`)
  }
  return error as KmsError
}

export async function stateError({ provider, limited }: GoogleSetup): Promise<KmsError> {
  return harmless(await rejection(limited((call) => provider.keyState(call))))
}

export function changed(
  fields: (body: Record<string, unknown>) => object,
): (reply: Reply) => Reply {
  const record = v.record(v.string(), v.unknown())
  return (reply) => ({
    ...reply,
    body: { ...v.parse(record, reply.body), ...fields(v.parse(record, reply.body)) },
  })
}
