/** The wanted objects of a source, each with what its key and its value say. @module */

import { Buffer } from 'node:buffer'
import { type ObjectKey, readKey } from './object_key.ts'
import { readRecord, type StoredRecord } from './record.ts'
import type { ObjectSource, StoredObject } from './source.ts'

export interface Found {
  /** The whole key in etcd. */
  readonly key: Uint8Array
  readonly value: Uint8Array
  readonly record: StoredRecord
  /** Undefined where the key is not that of an object. */
  readonly object: ObjectKey | undefined
  /** `secrets/default/db`, or the key itself; not safe for a terminal. */
  readonly name: string
}

export interface Selection {
  /** Resources as keys in etcd name them; all where absent. */
  readonly resources?: readonly string[] | undefined
  readonly namespace?: string | undefined
  readonly name?: string | undefined
}

/**
 * @param prefix the API server's `--etcd-prefix`, without a slash at its end
 * @param progress called with the number of keys that were read
 */
export async function* pagesOf(
  source: ObjectSource,
  prefix: string,
  wanted: (found: Found) => boolean,
  progress: { step(keys: number): void },
): AsyncGenerator<readonly Found[]> {
  for await (const page of source.pages()) {
    yield page.map((stored) => foundOf(stored, prefix)).filter(wanted)
    progress.step(page.length)
  }
}

function foundOf({ key, value }: StoredObject, prefix: string): Found {
  const text = Buffer.from(key).toString('utf8')
  const object = readKey(text, prefix)
  return { key, value, record: readRecord(value), object, name: nameOf(object) ?? text }
}

function nameOf(object: ObjectKey | undefined): string | undefined {
  if (object === undefined) return undefined
  return [object.resource, object.namespace ?? [], object.name].flat().join('/')
}

export function isSelected({ object }: Found, selection: Selection): boolean {
  const { resources, namespace, name } = selection
  if (resources !== undefined && !resources.includes(object?.resource ?? '')) return false
  if (namespace !== undefined && object?.namespace !== namespace) return false
  return name === undefined || object?.name === name
}

/** False for what is in the clear, and for what is no object of an API server. */
export function isEncrypted({ record: { form } }: Found): boolean {
  return form !== 'plaintext' && form !== 'foreign'
}
