/**
 * Parses what an API server stored with code of the tests' own, so that the product's parser is not
 * tested by itself.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'

interface StoredV2 {
  readonly provider: string
  readonly keyId: string
  readonly wrappedSeed: Buffer
  readonly annotations: Readonly<Record<string, Buffer>>
  /** 1 is a seed, 0 a key. */
  readonly sourceType: number
  readonly payload: Buffer
}

/** @throws Error where the value is not of KMS v2 */
export function readStoredV2(value: Buffer): StoredV2 {
  const [, provider] = /^k8s:enc:kms:v2:([^:]+):/.exec(value.toString('latin1', 0, 300)) ?? []
  if (provider === undefined) {
    throw new Error(`Not of KMS v2: begins with ${JSON.stringify(value.toString('latin1', 0, 24))}`)
  }
  const fields = fieldsOf(value.subarray(`k8s:enc:kms:v2:${provider}:`.length))
  const bytes = (wanted: number) =>
    fields.filter(([number]) => number === wanted).map(([, content]) => Buffer.from(content))
  const annotations = bytes(4).map((entry): [string, Buffer] => {
    const parts = new Map(fieldsOf(entry))
    return [Buffer.from(parts.get(1) ?? '').toString(), Buffer.from(parts.get(2) ?? '')]
  })
  return {
    provider,
    payload: bytes(1)[0] ?? Buffer.alloc(0),
    keyId: String(bytes(2)[0] ?? ''),
    wrappedSeed: bytes(3)[0] ?? Buffer.alloc(0),
    annotations: Object.fromEntries(annotations),
    sourceType: bytes(5)[0]?.[0] ?? 0,
  }
}

interface StoredV1 {
  readonly provider: string
  readonly wrappedKey: Buffer
}

/** @throws Error where the value is not of KMS v1 */
export function readStoredV1(value: Buffer): StoredV1 {
  const [prefix, provider] = /^k8s:enc:kms:v1:([^:]+):/.exec(value.toString('latin1', 0, 300)) ?? []
  if (prefix === undefined || provider === undefined) {
    throw new Error(`Not of KMS v1: begins with ${JSON.stringify(value.toString('latin1', 0, 24))}`)
  }
  const at = prefix.length + 2
  return { provider, wrappedKey: value.subarray(at, at + value.readUInt16BE(prefix.length)) }
}

/** The number of distinct seeds: what a restart of the API server asks Decrypt for. */
export function seedsOf(values: Iterable<Buffer>): number {
  const seeds = [...values]
    .map(readStoredV2)
    .map(({ wrappedSeed, keyId }) =>
      createHash('sha256').update(keyId).update('\0').update(wrappedSeed).digest('hex'),
    )
  return new Set(seeds).size
}

type Field = readonly [number: number, content: Uint8Array]

/** Fields of a protobuf message: bytes as they are, a varint as one byte. */
function fieldsOf(message: Uint8Array): Field[] {
  const fields: Field[] = []
  let at = 0
  const varint = () => {
    let result = 0
    for (let shift = 0; ; shift += 7) {
      const byte = message[at++]
      if (byte === undefined) throw new Error('Message is cut short')
      result += (byte & 127) * 2 ** shift
      if (byte < 128) return result
    }
  }
  while (at < message.length) {
    const tag = varint()
    const size = varint()
    if ((tag & 7) === 2) {
      if (at + size > message.length) throw new Error('Field is cut short')
      fields.push([tag >> 3, message.subarray(at, at + size)])
      at += size
    } else if ((tag & 7) === 0) fields.push([tag >> 3, Uint8Array.of(size)])
    else throw new Error(`Wire type ${tag & 7}`)
  }
  return fields
}
