/**
 * A file that is read in pieces at any place, and the refusal of a file that is not as it should
 * be.
 *
 * @module
 */

import type { Buffer } from 'node:buffer'
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { KmsError, systemReasonOf } from '../../base/errors.ts'

/** Makes the error for a file that is not as etcd wrote it. */
export type Refuse = (what: string) => KmsError

export interface RawFile extends Disposable {
  readonly size: number
  readonly refuse: Refuse
  /**
   * Fills `into` with the bytes from `at` on; at the end of the file the result is shorter.
   *
   * @throws KmsError `unavailable` where the disk fails
   */
  read(into: Buffer, at: number): Buffer
}

/** @throws KmsError `request_invalid` where the file does not exist, or may not be read */
export function openRaw(path: string): RawFile {
  const failed = (cause: unknown) =>
    new KmsError(`Cannot open ${path}: ${systemReasonOf(cause)}`, {
      code: 'request_invalid',
      cause,
    })
  const descriptor = attempt(() => openSync(path, 'r'), failed)
  const close = () => closeSync(descriptor)
  const stats = fstatSync(descriptor)
  if (!stats.isFile()) {
    close()
    throw new KmsError(`Cannot open ${path}: wanted a file that can be read at any place`, {
      code: 'request_invalid',
    })
  }
  return {
    size: stats.size,
    refuse: (what) =>
      new KmsError(`Cannot read ${path}: ${what}. Use another snapshot, or take a new one`, {
        code: 'ciphertext_invalid',
      }),
    read: (into, at) =>
      into.subarray(
        0,
        attempt(() => readSync(descriptor, into, 0, into.length, at), unread(path)),
      ),
    [Symbol.dispose]: close,
  }
}

function unread(path: string): (cause: unknown) => KmsError {
  return (cause) =>
    new KmsError(`Cannot read ${path}: ${systemReasonOf(cause)}`, {
      code: 'unavailable',
      cause,
    })
}

function attempt<T>(run: () => T, failed: (cause: unknown) => KmsError): T {
  try {
    return run()
  } catch (cause) {
    throw failed(cause)
  }
}
