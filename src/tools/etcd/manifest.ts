/**
 * Makes a manifest that another API server accepts of an object as an API server stores it: its
 * name and its content, without what only its own cluster knows (uid, resource version, owners,
 * managed fields, finalizers).
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { type DescMessage, fromBinary, type MessageShape } from '@bufbuild/protobuf'
import * as v from 'valibot'
import { KmsError } from '../../base/errors.ts'
import {
  type BytesEntry,
  ConfigMapSchema,
  type ObjectMeta,
  SecretSchema,
  type TextEntry,
  UnknownSchema,
} from './core_pb.ts'
import { parseExactly } from './exact_json.ts'
import { readRecord } from './record.ts'

/** Numbers that JavaScript would round are kept as they were written. */
export interface Manifest {
  readonly [field: string]: unknown
}

const PROTOBUF_START = 4

/**
 * @param plaintext an object as it is stored in the clear
 * @throws KmsError `request_invalid` where no manifest can be made of the object,
 * `ciphertext_invalid` where it is no object
 */
export function manifestOf(plaintext: Uint8Array): Manifest {
  const record = readRecord(plaintext)
  const encoding = record.form === 'plaintext' ? record.encoding : undefined
  if (encoding === 'protobuf') return fromProtobuf(plaintext.subarray(PROTOBUF_START))
  if (encoding === 'json') return fromJson(Buffer.from(plaintext).toString('utf8'))
  if (encoding === 'cbor') throw notHere('objects that are stored as CBOR')
  throw noObject()
}

function fromProtobuf(bytes: Uint8Array): Manifest {
  const { typeMeta, raw } = decoded(UnknownSchema, bytes)
  const { apiVersion = '', kind = '' } = typeMeta ?? {}
  if (apiVersion === 'v1' && kind === 'Secret') return secret(raw)
  if (apiVersion === 'v1' && kind === 'ConfigMap') return configMap(raw)
  throw notHere(`objects of kind ${kind} in ${apiVersion}`)
}

function secret(raw: Uint8Array): Manifest {
  const { metadata, type, data, immutable } = decoded(SecretSchema, raw)
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: metadataOf(metadata),
    ...(type === '' ? {} : { type }),
    ...(data.length === 0 ? {} : { data: base64(data) }),
    ...(immutable === undefined ? {} : { immutable }),
  }
}

function configMap(raw: Uint8Array): Manifest {
  const { metadata, data, binaryData, immutable } = decoded(ConfigMapSchema, raw)
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: metadataOf(metadata),
    ...texts('data', data),
    ...(binaryData.length === 0 ? {} : { binaryData: base64(binaryData) }),
    ...(immutable === undefined ? {} : { immutable }),
  }
}

function metadataOf(metadata: ObjectMeta | undefined): Manifest {
  const { name = '', namespace = '', labels = [], annotations = [] } = metadata ?? {}
  if (name === '') throw noObject()
  return {
    name,
    ...(namespace === '' ? {} : { namespace }),
    ...texts('labels', labels),
    ...texts('annotations', annotations),
  }
}

function texts(field: string, entries: readonly TextEntry[]): Manifest {
  if (entries.length === 0) return {}
  return { [field]: Object.fromEntries(entries.map(({ key, value }) => [key, value])) }
}

function base64(entries: readonly BytesEntry[]): Manifest {
  return Object.fromEntries(
    entries.map(({ key, value }) => [key, Buffer.from(value).toString('base64')]),
  )
}

function decoded<T extends DescMessage>(schema: T, bytes: Uint8Array): MessageShape<T> {
  try {
    return fromBinary(schema, bytes, { readUnknownFields: false })
  } catch (cause) {
    throw noObject(cause)
  }
}

const KEPT = ['name', 'namespace', 'labels', 'annotations']

const jsonObject = v.looseObject({
  apiVersion: v.string(),
  kind: v.string(),
  metadata: v.looseObject({ name: v.string() }),
})

function fromJson(text: string): Manifest {
  const object = parsed(text)
  // The schema only checks: its output would lack fields such as "constructor".
  if (!v.is(jsonObject, object)) throw noObject()
  const { apiVersion, kind, metadata, ...rest } = object
  const kept = Object.entries(metadata).filter(([field]) => KEPT.includes(field))
  return { apiVersion, kind, metadata: Object.fromEntries(kept), ...rest }
}

function parsed(text: string): unknown {
  try {
    return parseExactly(text)
  } catch (cause) {
    throw noObject(cause)
  }
}

function notHere(what: string): KmsError {
  return new KmsError(
    `Only Secrets, ConfigMaps and custom resources can be exported, not ${what}: restore the snapshot for them`,
    { code: 'request_invalid' },
  )
}

function noObject(cause?: unknown): KmsError {
  return new KmsError('It opens, but to nothing that an API server stores', {
    code: 'ciphertext_invalid',
    cause,
  })
}
