/**
 * Where the objects of a cluster are read from: a running etcd at one revision, or a
 * snapshot file. Both give the same, page by page, so that nothing but one page is held.
 *
 * @module
 */

/** A key that lives at the source's revision, as the API server wrote it. */
export interface StoredObject {
  readonly key: Uint8Array
  readonly value: Uint8Array
  /** Revision of its last change. */
  readonly modRevision: bigint
}

export interface ObjectSource extends AsyncDisposable {
  /** Everything that is read is as it was at this revision. */
  readonly revision: bigint
  /** How many keys there are below the prefix. */
  readonly count: number
  /**
   * All objects below the prefix, no key twice.
   *
   * @throws KmsError `unavailable` where etcd does not answer, `ciphertext_invalid` where a file is damaged
   */
  pages(): AsyncIterable<readonly StoredObject[]>
}
