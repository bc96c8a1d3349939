/** Digest, owner and mode of a file; its content is read again only after it has changed. @module */

import { createHash } from 'node:crypto'
import { type BigIntStats, createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { systemCodeOf, systemReasonOf } from '../../base/errors.ts'
import { type Fact, Unknown } from './value.ts'

/** A manifest or a config; a whole program is far larger, and is read once. */
const MAX_BYTES = 16_777_216
const PERMISSIONS = 0o7777

interface FileFacts {
  readonly present: Fact
  readonly sha256: Fact
  readonly owner: Fact
  readonly group: Fact
  readonly mode: Fact
}

/** Follows links, as whoever reads the file does. */
export class FollowedFile {
  readonly path: string
  #mark = ''
  #sha256: Fact = new Unknown('not read yet')

  constructor(path: string) {
    this.path = path
  }

  async read(): Promise<FileFacts> {
    try {
      const found = await stat(this.path, { bigint: true })
      if (!found.isFile()) return nothing(new Unknown(`${this.path} is no file`))
      const { uid, gid, mode } = found
      const mark = markOf(found)
      if (mark !== this.#mark) {
        this.#sha256 = await digestOf(this.path, MAX_BYTES)
        this.#mark = mark
      }
      return {
        present: true,
        sha256: this.#sha256,
        owner: Number(uid),
        group: Number(gid),
        mode: (Number(mode) & PERMISSIONS).toString(8).padStart(4, '0'),
      }
    } catch (error) {
      this.#mark = ''
      const unknown = new Unknown(`${this.path}: ${systemReasonOf(error)}`)
      return systemCodeOf(error) === 'ENOENT'
        ? { ...nothing(unknown), present: false }
        : nothing(unknown)
    }
  }
}

/** It is another one as soon as somebody wrote to the file, or put another in its place. */
export function markOf({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs, ctimeNs].join(' ')
}

/** SHA-256 in hex; what cannot be read is unknown. */
export async function digestOf(path: string, maxBytes = Number.POSITIVE_INFINITY): Promise<Fact> {
  const digest = createHash('sha256')
  let size = 0
  try {
    for await (const chunk of createReadStream(path)) {
      size += chunk.length
      if (size > maxBytes) return new Unknown(`${path} is longer than ${maxBytes} bytes`)
      digest.update(chunk)
    }
    return digest.digest('hex')
  } catch (error) {
    return new Unknown(`${path}: ${systemReasonOf(error)}`)
  }
}

function nothing(unknown: Unknown): FileFacts {
  return { present: unknown, sha256: unknown, owner: unknown, group: unknown, mode: unknown }
}
