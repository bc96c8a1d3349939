/**
 * Where the objects of a cluster are read from: a running etcd at one revision, or a snapshot file.
 * Both give the objects page by page, so that only one page is in memory.
 *
 * @module
 */

/** A key that exists at the source's revision, as the API server wrote it. */
export interface StoredObject {
  readonly key: Uint8Array
  readonly value: Uint8Array
  /** The revision of its last change. */
  readonly modRevision: bigint
}

export interface ObjectSource extends AsyncDisposable {
  /** Everything is read as it was at this revision. */
  readonly revision: bigint
  /** The number of keys below the prefix. */
  readonly count: number
  /**
   * All objects below the prefix, each key once.
   *
   * @throws KmsError `unavailable` where etcd does not answer, `ciphertext_invalid` where a file is
   * damaged
   */
  pages(): AsyncIterable<readonly StoredObject[]>
}
