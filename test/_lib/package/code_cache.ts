/** The code cache inside a binary, and binaries in which it is another one. @module */

import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'

/** How Node writes the name of an asset: its length in eight bytes, then the name. */
const NAME = Buffer.concat([Buffer.from([5, 0, 0, 0, 0, 0, 0, 0]), Buffer.from('cache')])

interface Found {
  readonly cache: Buffer
  /** The digest that the loader compares, as it is written there. */
  readonly digest: Buffer
}

/** Views of the binary's bytes. */
function codeCacheIn(binary: Buffer): Found {
  const at = binary.lastIndexOf(NAME)
  if (at === -1) throw new Error('The binary has no code cache')
  const start = at + NAME.length + 8
  const cache = binary.subarray(start, start + Number(binary.readBigUInt64LE(start - 8)))
  const digest = binary.indexOf(sha256(cache))
  if (digest === -1) throw new Error('The binary names another digest than that of its code cache')
  return { cache, digest: binary.subarray(digest, digest + 64) }
}

/** Writes a binary whose loader takes the changed cache for the right one, or for a wrong one. */
export async function withCodeCache(
  { from, to }: { readonly from: string; readonly to: string },
  change: (cache: Buffer) => void,
  { trusted }: { readonly trusted: boolean },
): Promise<void> {
  const binary = await readFile(from)
  const { cache, digest } = codeCacheIn(binary)
  change(cache)
  if (trusted) digest.write(sha256(cache), 'latin1')
  await writeFile(to, binary, { mode: 0o755 })
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}
